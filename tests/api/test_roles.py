"""Who may do what by the API: each role at each address, and the scope an API key needs for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accounts.models import AuditEntry, Membership, Organization
from accounts.roles import MATRIX, Action, Role, scope_of
from tests.api.caller import Caller
from tests.conftest import new_member

NOWHERE = "01932c3b-0000-7000-8000-000000000000"
ALL, HANDS = "owner admin supervisor agent viewer", "owner admin supervisor agent"
STAFF, TOP = "owner admin supervisor", "owner admin"

# method, address, who may: everybody else gets 403. Written out, so that a slip in the code's table shows.
TABLE = [
    ("GET", "me", ALL),
    ("PUT", "me/presence", HANDS),
    ("GET", "me/offers", HANDS),
    ("PUT", f"members/{NOWHERE}/presence", STAFF),
    ("GET", "break-reasons", ALL),
    ("POST", "break-reasons", STAFF),
    ("PATCH", f"break-reasons/{NOWHERE}", STAFF),
    ("DELETE", f"break-reasons/{NOWHERE}", STAFF),
    *[("GET", name, ALL) for name in ("departments", "members", "skills", "calendars", "queues", "contacts")],
    ("GET", "sla-policies", ALL),
    ("GET", "desk-settings", ALL),
    ("PATCH", "desk-settings", STAFF),
    ("POST", f"conversations/{NOWHERE}/priority", STAFF),
    *[
        (method, f"{name}{tail}", STAFF)
        for name in ("departments", "skills", "calendars", "queues", "sla-policies")
        for method, tail in (
            ("POST", ""),
            ("PUT", f"/{NOWHERE}"),
            ("PATCH", f"/{NOWHERE}"),
            ("DELETE", f"/{NOWHERE}"),
        )
    ],
    ("GET", f"calendars/{NOWHERE}/explain", ALL),
    ("POST", f"calendars/{NOWHERE}/import", STAFF),
    ("POST", "members", TOP),
    ("PATCH", f"members/{NOWHERE}", STAFF),
    ("PUT", f"members/{NOWHERE}", TOP),
    ("DELETE", f"members/{NOWHERE}", TOP),
    ("GET", "api-keys", TOP),
    ("POST", "api-keys", TOP),
    ("DELETE", f"api-keys/{NOWHERE}", TOP),
    ("GET", "channels", STAFF),
    ("POST", "channels", TOP),
    ("PATCH", f"channels/{NOWHERE}", TOP),
    ("DELETE", f"channels/{NOWHERE}", TOP),
    ("POST", f"channels/{NOWHERE}/test", TOP),
    ("GET", f"channels/{NOWHERE}/health", STAFF),
    ("POST", "contacts", HANDS),
    ("PATCH", f"contacts/{NOWHERE}", HANDS),
    ("DELETE", f"contacts/{NOWHERE}", HANDS),
    ("POST", f"contacts/{NOWHERE}/block", HANDS),
    ("POST", f"contacts/{NOWHERE}/identities", HANDS),
    ("GET", "conversations", ALL),
    ("GET", f"conversations/{NOWHERE}", ALL),
    ("GET", f"conversations/{NOWHERE}/messages", ALL),
    ("GET", f"conversations/{NOWHERE}/events", ALL),
    ("POST", f"conversations/{NOWHERE}/messages", HANDS),
    ("POST", "media", HANDS),
    ("GET", f"media/{NOWHERE}", ALL),
    ("POST", f"conversations/{NOWHERE}/notes", HANDS),
    ("GET", f"conversations/{NOWHERE}/later", ALL),
    ("POST", f"conversations/{NOWHERE}/later", HANDS),
    ("PATCH", f"conversations/{NOWHERE}/later/{NOWHERE}", HANDS),
    ("DELETE", f"conversations/{NOWHERE}/later/{NOWHERE}", HANDS),
    *[
        ("POST", f"conversations/{NOWHERE}/{move}", HANDS)
        for move in (
            "request-handoff",
            "claim",
            "transfer",
            "release-to-bot",
            "close",
            "snooze",
            "hold",
            "resume",
            "decline",
        )
    ],
    ("POST", f"conversations/{NOWHERE}/assign", STAFF),
    ("POST", f"conversations/{NOWHERE}/take-over", STAFF),
    ("GET", f"queues/{NOWHERE}/metrics", ALL),
    ("GET", f"queues/{NOWHERE}/expected-wait", ALL),
    ("GET", f"conversations/{NOWHERE}/why", ALL),
    ("POST", "queue/pull", HANDS),
    ("GET", "flows", "owner admin supervisor viewer"),
    ("POST", "flows", STAFF),
    ("PUT", f"flows/{NOWHERE}/draft", STAFF),
    ("POST", f"flows/{NOWHERE}/validate", "owner admin supervisor viewer"),
    ("POST", f"flows/{NOWHERE}/publish", TOP),
    ("POST", f"flows/{NOWHERE}/versions/1/restore", STAFF),
    ("POST", "messages", STAFF),
    ("GET", f"messages/{NOWHERE}", STAFF),
    ("POST", f"messages/{NOWHERE}/retry", STAFF),
    ("POST", f"messages/{NOWHERE}/cancel", STAFF),
    ("GET", "outbox/stats", STAFF),
    ("GET", "webhooks", TOP),
    ("POST", "webhooks", TOP),
    *[(method, f"webhooks/{NOWHERE}", TOP) for method in ("GET", "PUT", "PATCH", "DELETE")],
    ("POST", f"webhooks/{NOWHERE}/rotate-secret", TOP),
    ("POST", f"webhooks/{NOWHERE}/test", TOP),
    ("GET", f"webhooks/{NOWHERE}/messages", TOP),
    ("POST", f"webhooks/{NOWHERE}/messages/{NOWHERE}/resend", TOP),
]


@pytest.mark.parametrize("role", list(Role))
def test_each_role_at_each_address(acme: Organization, role: Role) -> None:
    caller = Caller.of(new_member(acme, "somebody", role.value))

    for method, path, allowed in TABLE:
        status = caller(method, path, {} if method != "GET" else None, If_Match="*").status_code
        forbidden = role.value not in allowed.split()
        assert (status == 403) is forbidden, f"{role} {method} {path}: {status}"
        assert status < 500


def test_strangers_get_401_everywhere(db: None) -> None:
    for method, path, _allowed in TABLE:
        assert Caller()(method, path).status_code == 401, path


def test_a_refusal_is_on_record(vic: Membership) -> None:
    Caller.of(vic).post("queues", {})

    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.actor_id, entry.data["method"]) == ("access.denied", vic.pk, "POST")


PROBES = {
    Action.READ_CONVERSATIONS: ("GET", "conversations"),
    Action.ANSWER: ("POST", "queue/pull"),
    Action.ASSIGN: ("POST", f"conversations/{NOWHERE}/assign"),
    Action.TAKE_OVER: ("POST", f"conversations/{NOWHERE}/take-over"),
    Action.WRITE_NOTES: ("POST", f"conversations/{NOWHERE}/notes"),
    Action.READ_CONTACTS: ("GET", "contacts"),
    Action.EDIT_CONTACTS: ("DELETE", f"contacts/{NOWHERE}"),
    Action.READ_QUEUES: ("GET", "queues"),
    Action.EDIT_QUEUES: ("DELETE", f"queues/{NOWHERE}"),
    Action.READ_PEOPLE: ("GET", "members"),
    Action.EDIT_PEOPLE: ("DELETE", f"members/{NOWHERE}"),
    Action.EDIT_CAPACITY: ("PATCH", f"members/{NOWHERE}"),
    Action.READ_FLOWS: ("GET", "flows"),
    Action.EDIT_FLOWS: ("DELETE", f"flows/{NOWHERE}"),
    Action.PUBLISH_FLOWS: ("POST", f"flows/{NOWHERE}/publish"),
    Action.READ_CHANNELS: ("GET", "channels"),
    Action.EDIT_CHANNELS: ("DELETE", f"channels/{NOWHERE}"),
    Action.EDIT_API_KEYS: ("GET", "api-keys"),
    Action.EDIT_WEBHOOKS: ("GET", "webhooks"),
    Action.SEND_DIRECT: ("POST", "messages"),
    Action.READ_OUTBOX: ("GET", "outbox/stats"),
    Action.REPLAY: ("POST", f"messages/{NOWHERE}/retry"),
    Action.READ_FIGURES: ("GET", f"queues/{NOWHERE}/metrics"),
}
# Audit log, admin and simulator have no address in the API yet.
ELSEWHERE = {Action.READ_AUDIT, Action.USE_ADMIN, Action.USE_SIMULATOR}


def test_every_action_is_probed() -> None:
    assert set(PROBES) | ELSEWHERE == set(MATRIX)


@pytest.mark.parametrize("action", list(PROBES))
def test_a_key_needs_the_scope_of_the_action(
    olivia: Membership, make_key: Callable[..., Caller], action: Action
) -> None:
    method, path = PROBES[action]
    others = {scope_of(other) for other in Action} - {scope_of(action)}

    with_it = make_key(olivia, scope_of(action))(method, path, {} if method != "GET" else None, If_Match="*")
    without = make_key(olivia, *others)(method, path, {} if method != "GET" else None, If_Match="*")

    assert with_it.status_code != 403
    assert without.status_code == 403
