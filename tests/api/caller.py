"""A client of the API as one member: JSON in and out, outside of any scope that a test has open."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.test import Client
from django_scopes import scope
from django_scopes.state import state

from accounts import tokens
from accounts.models import Membership

ROOT = "/api/v1/"


@contextmanager
def outside() -> Iterator[None]:
    """Views must open their own scope; the test's would hide that one forgot."""
    before = state.set(None)
    try:
        yield
    finally:
        state.reset(before)


class Caller:
    def __init__(self, **headers: str) -> None:
        self.client = Client()
        self.headers = headers

    @classmethod
    def of(cls, member: Membership) -> Caller:
        with scope(organization=member.organization):
            return cls(Authorization=f"Bearer {tokens.open_family(member).access}")

    def __call__(self, method: str, path: str, data: Any = None, **headers: str) -> Any:
        body = {} if data is None else {"data": json.dumps(data), "content_type": "application/json"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with outside():
            return self.client.generic(method, ROOT + path, headers={**self.headers, **named}, **body)

    def get(self, path: str, **headers: str) -> Any:
        return self("GET", path, **headers)

    def post(self, path: str, data: Any = None, **headers: str) -> Any:
        return self("POST", path, {} if data is None else data, **headers)

    def put(self, path: str, data: Any, **headers: str) -> Any:
        return self("PUT", path, data, **headers)

    def patch(self, path: str, data: Any, **headers: str) -> Any:
        return self("PATCH", path, data, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self("DELETE", path, **headers)


Calls = Callable[[Membership], Caller]
