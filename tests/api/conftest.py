"""Callers of the API."""

from __future__ import annotations

from collections.abc import Callable
from random import randrange

import pytest

from accounts import tokens
from accounts.models import ApiKey, Membership, Organization
from tests.api.caller import Caller, Calls
from tests.conftest import new_member


@pytest.fixture
def by() -> Calls:
    """`by(ana).get("me")`: a call by a member, with an access token."""
    return Caller.of


@pytest.fixture
def place() -> str:
    """An address nobody has tried to log in from: counts outlive a test."""
    return f"2001:db8::{randrange(1, 2**16):x}:{randrange(1, 2**16):x}"


@pytest.fixture
def adam(acme: Organization) -> Membership:
    return new_member(acme, "adam", "admin")


@pytest.fixture
def make_key(acme: Organization) -> Callable[..., Caller]:
    """A caller with an API key of these scopes."""

    def make(creator: Membership, *scopes: str) -> Caller:
        key, prefix, digest = tokens.new_key()
        ApiKey.objects.create(
            organization=acme,
            name="robot",
            creator=creator,
            prefix=prefix,
            digest=digest,
            scopes=list(scopes),
        )
        return Caller(Authorization=f"Api-Key {key}")

    return make
