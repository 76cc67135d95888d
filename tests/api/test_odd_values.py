"""Whatever stands in a field, the answer is a refusal or a success, never a failure of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator

from accounts import tokens
from accounts.models import Membership, Organization
from tests.api.caller import Caller
from tests.isolation import World, build

ODD: list[Any] = [
    None, "", " ", "x" * 5000, "😀\u202e", -1, 0, 10**20, 1.5, 1e308, True, [], {}, [[]], [None], {"id": 5},
    ["x"], [{}],
    "2026-13-45T99:99:99Z", "01932c3b-0000-7000-8000-000000000000",
]  # fmt: skip
KINDS = {
    "departments": "department", "members": "member", "skills": "skill", "api-keys": "api_key",
    "calendars": "calendar", "channels": "channel", "contacts": "contact", "conversations": "conversation",
    "queues": "queue", "flows": "flow", "messages": "message",
}  # fmt: skip


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and the fields of every operation that takes a JSON body."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody") if isinstance(operation, dict) else None
            if "application/json" not in (body or {}).get("content", {}):
                continue
            if path.startswith("/api/v1/") and not path.startswith("/api/v1/auth/"):
                yield method.upper(), path.removeprefix("/api/v1/"), _fields(schema, body)


def _fields(schema: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    shape = _resolved(schema, body["content"]["application/json"]["schema"])
    return {name: _resolved(schema, field) for name, field in shape.get("properties", {}).items()}


def _resolved(schema: dict[str, Any], field: dict[str, Any]) -> dict[str, Any]:
    for option in (field, *field.get("allOf", ()), *field.get("oneOf", ())):
        if "$ref" in option:
            return schema["components"]["schemas"][option["$ref"].rpartition("/")[2]]
    return field


def _example(world: World, name: str, field: dict[str, Any]) -> Any:
    """Something that may well be right, so that the other fields are looked at."""
    known = {"channel_id": "channel", "queue_id": "queue", "department": "department", "agent_id": "member"}
    if name in known:
        return world.ids[known[name]]
    values = {"kind": "phone", "type": "queue", "email": "a@b.test", "to": "+5511987654321", "status": "busy"}
    values |= {"scheme": "email", "value": "a@b.test", "until": "2099-01-01T00:00:00Z", "timezone": "UTC"}
    if name in values:
        return values[name]
    if "enum" in field:
        return field["enum"][0]
    match field.get("type"):
        case "integer" | "number":
            return 1
        case "boolean":
            return True
        case "array":
            return []
        case "object":
            return {}
    return "abc"


@pytest.mark.slow
def test_no_odd_value_breaks_an_operation(
    acme: Organization, olivia: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Thousands of calls by one person: looking her up each time would be half of the work.
    monkeypatch.setattr(tokens, "bearer", cache(tokens.bearer))
    world, caller = build(acme, olivia), Caller.of(olivia)
    broken = []

    for method, path, fields in operations():
        kind = KINDS.get(path.partition("/")[0], "conversation")
        address = (
            path.replace("{id}", world.ids[kind]).replace("{pk}", world.ids[kind]).replace("{number}", "1")
        )
        good = {name: _example(world, name, field) for name, field in fields.items()}
        for name in fields:
            for value in ODD:
                alone = {name: value} if method == "PATCH" else good | {name: value}
                if caller(method, address, alone, If_Match="*").status_code >= 500:
                    broken.append(f"{method} {path} {name}={json.dumps(value)[:40]}")

    assert not broken, broken
