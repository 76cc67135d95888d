"""No address of the API reads or writes another tenant's rows, whoever calls it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.models import Membership, Organization
from accounts.roles import Role
from channels_hub.models import ChannelAccount
from conversations.models import Conversation
from queues.models import Queue
from tests.api.caller import ROOT, Caller
from tests.conftest import new_member
from tests.isolation import Case, World, build, fingerprint, missing, patterns

X: dict[str, Any] = {}
ONE = {"GET": None, "PUT": {"name": "X"}, "PATCH": {"name": "X"}, "DELETE": None}
LIST = "a list shows the caller's organization only"
OWN = "concerns the caller alone"
OWN_DESK = "concerns the caller's organization alone"
OPEN = "nobody is known yet"
SOON = (datetime.now(UTC) + timedelta(days=1)).isoformat()

CASES = {
    "api-schema": Case("schema", holds="describes addresses, holds no rows"),
    "api-docs": Case("docs", holds="describes addresses, holds no rows"),
    "api-token": Case("auth/token", {"POST": X}, holds=OPEN),
    "api-token-refresh": Case("auth/token/refresh", {"POST": X}, holds=OPEN),
    "api-logout": Case("auth/logout", {}, holds=OWN),
    "api-me": Case("me", holds=OWN),
    "api-offers": Case("me/offers", holds=OWN),
    "api-presence": Case("me/presence", {"PUT": {"status": "busy"}}, holds=OWN),
    "api-member-presence": Case("members/{member}/presence", {"PUT": {"status": "offline"}}),
    "api-break-reasons": Case("break-reasons", holds=LIST),
    "api-break-reason": Case("break-reasons/{break_reason}", ONE),
    "api-departments": Case("departments", holds=LIST),
    "api-department": Case("departments/{department}", ONE),
    "api-members": Case("members", holds=LIST),
    "api-member": Case("members/{member}", {**ONE, "PATCH": {"capacity": 1}}),
    "api-skills": Case("skills", holds=LIST),
    "api-skill": Case("skills/{skill}", ONE),
    "api-api-keys": Case("api-keys", holds=LIST),
    "api-api-key": Case("api-keys/{api_key}", ONE),
    "api-calendars": Case("calendars", holds=LIST),
    "api-sla-policys": Case("sla-policies", holds=LIST),
    "api-sla-policy": Case("sla-policies/{sla_policy}", ONE),
    "api-desk-settings": Case("desk-settings", {"GET": None, "PATCH": {}}, holds=OWN_DESK),
    "api-priority": Case("conversations/{waiting}/priority", {"POST": {"priority": "high"}}),
    "api-calendar": Case("calendars/{calendar}", ONE),
    "api-calendar-explain": Case("calendars/{calendar}/explain"),
    "api-calendar-import": Case("calendars/{calendar}/import", {"POST": X}),
    "api-channels": Case("channels", holds=LIST),
    "api-channel": Case("channels/{channel}", ONE),
    "api-channel-test": Case("channels/{channel}/test", {"POST": X}),
    "api-channel-health": Case("channels/{channel}/health"),
    "api-contacts": Case("contacts", holds=LIST),
    "api-contact": Case("contacts/{contact}", ONE),
    "api-identities": Case(
        "contacts/{contact}/identities", {"GET": None, "POST": {"scheme": "email", "value": "a@b.test"}}
    ),
    "api-identity": Case("contacts/{contact}/identities/{identity}", {"DELETE": None}),
    "api-contact-block": Case("contacts/{contact}/block", {"POST": X, "DELETE": None}),
    "api-conversations": Case("conversations", holds=LIST),
    "api-conversation-lookup": Case("conversations/lookup?channel={channel}&address=5511933333333"),
    "api-conversation": Case("conversations/{conversation}"),
    "api-conversation-messages": Case(
        "conversations/{conversation}/messages", {"GET": None, "POST": {"text": "x"}}
    ),
    "api-media": Case("media", {"POST": X}, holds="takes a file: test_files.py tries foreign conversations"),
    "api-file": Case("media/{media}"),
    "api-conversation-notes": Case(
        "conversations/{conversation}/notes", {"GET": None, "POST": {"text": "x"}}
    ),
    "api-conversation-laters": Case(
        "conversations/{conversation}/later", {"GET": None, "POST": {"text": "x", "send_at": SOON}}
    ),
    "api-conversation-later": Case(
        "conversations/{conversation}/later/{later}", {"PATCH": {"send_at": SOON}, "DELETE": None}
    ),
    "api-conversation-events": Case("conversations/{conversation}/events"),
    "api-conversation-routing": Case("conversations/{conversation}/routing"),
    "api-conversation-why": Case("conversations/{conversation}/why"),
    "api-request-handoff": Case(
        "conversations/{conversation}/request-handoff", {"POST": {"queue_id": "{queue}"}}
    ),
    "api-claim": Case("conversations/{waiting}/claim", {"POST": X}),
    "api-take-over": Case("conversations/{conversation}/take-over", {"POST": X}),
    "api-assign": Case("conversations/{waiting}/assign", {"POST": {"agent_id": "{member}"}}),
    "api-transfer": Case("conversations/{conversation}/transfer", {"POST": {"queue_id": "{queue}"}}),
    "api-release-to-bot": Case(
        "conversations/{conversation}/release-to-bot", {"POST": {"flow_id": "{flow}"}}
    ),
    "api-close": Case("conversations/{conversation}/close", {"POST": X}),
    "api-hold": Case("conversations/{conversation}/hold", {"POST": X}),
    "api-resume": Case("conversations/{conversation}/resume", {"POST": X}),
    "api-decline": Case("conversations/{waiting}/decline", {"POST": X}),
    "api-snooze": Case("conversations/{conversation}/snooze", {"POST": {"until": "2099-01-01T00:00:00Z"}}),
    "api-queues": Case("queues", holds=LIST),
    "api-queue": Case("queues/{queue}", ONE),
    "api-queue-metrics": Case("queues/{queue}/metrics"),
    "api-queue-expected-wait": Case("queues/{queue}/expected-wait"),
    "api-pull": Case("queue/pull", {"POST": {"queue_id": "{queue}"}}),
    "api-flows": Case("flows", holds=LIST),
    "api-flow": Case("flows/{flow}", ONE),
    "api-flow-draft": Case("flows/{flow}/draft", {"GET": None, "PUT": {"schema": 1}}),
    "api-flow-validate": Case("flows/{flow}/validate", {"POST": X}),
    "api-flow-publish": Case("flows/{flow}/publish", {"POST": X}),
    "api-flow-versions": Case("flows/{flow}/versions"),
    "api-flow-restore": Case("flows/{flow}/versions/1/restore", {"POST": X}),
    "api-flow-simulate": Case("flows/{flow}/simulate", {"POST": {"events": []}}),
    "api-messages": Case(
        "messages", {"POST": {"channel_id": "{channel}", "to": "+5511944444444", "text": "x"}}
    ),
    "api-message": Case("messages/{message}"),
    "api-message-retry": Case("messages/{message}/retry", {"POST": X}),
    "api-message-cancel": Case("messages/{message}/cancel", {"POST": X}),
    "api-outbox-stats": Case("outbox/stats", holds="figures of the caller's organization"),
    "api-webhooks": Case("webhooks", holds=LIST),
    "api-webhook": Case("webhooks/{webhook}", ONE),
    "api-webhook-rotate-secret": Case("webhooks/{webhook}/rotate-secret", {"POST": X}),
    "api-webhook-test": Case("webhooks/{webhook}/test", {"POST": X}),
    "api-webhook-messages": Case("webhooks/{webhook}/messages"),
    "api-webhook-resend": Case("webhooks/{webhook}/messages/{webhook_message}/resend", {"POST": X}),
    "api-nowhere": Case("nowhere", holds="never finds anything"),
}


def test_every_address_of_the_api_has_a_case() -> None:
    lacking = missing(patterns("api/v1/"), CASES)

    assert not lacking, f"Say in tests/api/test_isolation.py how these are called with foreign ids: {lacking}"


@pytest.fixture
def other(rival: Organization, rival_agent: Membership) -> World:
    return build(rival, rival_agent)


@pytest.fixture
def crew(acme: Organization) -> dict[Role, Caller]:
    """Somebody of each role, in the organization that must see nothing."""
    return {role: Caller.of(new_member(acme, role.value, role.value)) for role in Role}


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.holds])
def test_foreign_ids_are_404_and_nothing_changes(crew: dict[Role, Caller], other: World, name: str) -> None:
    before = fingerprint(other.organization)

    for role, caller in crew.items():
        for method, body in CASES[name].calls.items():
            path, key = other.fill(CASES[name].path), f"{method} {name}"
            answer = caller(method, path, other.fill(body), If_Match="*", Idempotency_Key=key)
            expected = {404} if role is Role.OWNER else {403, 404}
            assert answer.status_code in expected, f"{role} {method}: {answer.content!r}"
            assert b"lhei" not in answer.content

    assert fingerprint(other.organization) == before


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.holds])
def test_addresses_without_an_id_show_nothing_foreign(
    crew: dict[Role, Caller], other: World, name: str
) -> None:
    before = fingerprint(other.organization)

    for caller in crew.values():
        for method, body in CASES[name].calls.items():
            answer = caller(method, CASES[name].path, body)
            assert answer.status_code < 500
            assert b"lhei" not in answer.content
            assert not any(pk.encode() in answer.content for pk in other.ids.values())

    assert fingerprint(other.organization) == before


@pytest.mark.parametrize(
    "path",
    [
        "queues?department={department}", "conversations?queue={queue}", "conversations?agent={member}",
        "conversations?channel={channel}", "conversations?department={department}",
        "conversations?contact={contact}", "conversations?q=Segredo", "contacts?q=Alheia",
        "contacts?q=933333333", "members?q=rita", "flows?q=Alheio",
    ],
)  # fmt: skip
def test_filters_by_foreign_ids_find_nothing(olivia: Membership, other: World, path: str) -> None:
    answer = Caller.of(olivia).get(other.fill(path))

    assert (answer.status_code, answer.json()["results"]) == (200, [])


TWILIO = {
    "kind": "twilio_whatsapp", "name": "X", "address": "+551144444444",
    "config": {"account_sid": "AC1"}, "secrets": {"auth_token": "x"},
}  # fmt: skip


@pytest.mark.parametrize(
    "path, body",
    [
        ("queues", {"name": "X", "department": "{department}"}),
        ("queues", {"name": "X", "department": "{own}", "overflow_queue": "{queue}"}),
        ("queues", {"name": "X", "department": "{own}", "calendar": "{calendar}"}),
        ("queues", {"name": "X", "department": "{own}", "settings": {"allowed_agent_ids": ["{member}"]}}),
        ("queues", {"name": "X", "department": "{own}", "settings": {"skills_required": ["alheia"]}}),
        ("queues", {"name": "X", "department": "{own}", "sla_policy": "{sla_policy}"}),
        ("sla-policies", {"name": "X", "wait_minutes": 5, "calendar": "{calendar}"}),
        (
            "sla-policies",
            {"name": "X", "wait_minutes": 5, "escalations": [{"act": "move", "queue": "{queue}"}]},
        ),
        ("members", {"email": "n@acme.test", "name": "N", "skills": [{"skill": "{skill}"}]}),
        ("channels", {**TWILIO, "default_flow": "{flow}"}),
        ("channels", {**TWILIO, "default_queue": "{queue}"}),
    ],
)
def test_foreign_ids_in_a_body_are_refused(
    olivia: Membership, support: Queue, other: World, path: str, body: Any
) -> None:
    before = fingerprint(other.organization)
    world = World(other.organization, {**other.ids, "own": str(support.department_id)})

    answer = Caller.of(olivia).post(path, world.fill(body))

    assert answer.status_code == 400, answer.content
    assert fingerprint(other.organization) == before


@pytest.mark.parametrize(
    "move, body",
    [
        ("transfer", {"queue_id": "{queue}"}), ("transfer", {"department_id": "{department}"}),
        ("transfer", {"agent_id": "{member}"}), ("assign", {"agent_id": "{member}"}),
        ("request-handoff", {"queue_id": "{queue}"}), ("release-to-bot", {"flow_id": "{flow}"}),
        ("messages", {"text": "x", "reply_to": "{message}"}),
    ],
)  # fmt: skip
def test_ones_own_conversation_never_goes_to_another_tenant(
    olivia: Membership, make_conversation: Any, other: World, move: str, body: Any
) -> None:
    own = make_conversation("human_handoff", agent=olivia)
    before = fingerprint(other.organization)

    answer = Caller.of(olivia).post(f"conversations/{own.pk}/{move}", other.fill(body))

    assert answer.status_code == 404, answer.content
    assert Conversation.objects.get(pk=own.pk).assigned_agent_id == olivia.pk
    assert fingerprint(other.organization) == before


def test_a_foreign_channel_is_found_by_no_spelling(
    olivia: Membership, twilio_channel: ChannelAccount, other: World
) -> None:
    path = f"conversations/lookup?channel={twilio_channel.pk}&address=5511933333333"

    assert Caller.of(olivia).get(path).status_code == 404


def test_addresses_are_walked_from_the_root() -> None:
    assert len(patterns(ROOT.lstrip("/"))) < len(patterns())
