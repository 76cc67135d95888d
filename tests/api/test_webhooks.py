"""Our own webhooks by API: the secret is shown once, a stale change is refused, the log says how it went."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.utils import timezone
from standardwebhooks.webhooks import Webhook

from accounts.models import AuditEntry, Membership, Organization
from conversations import hook_calls, hooks
from conversations.models import HookEvent, WebhookEndpoint, WebhookMessage
from conversations.moves import database_now
from tests.api.caller import Caller
from tests.receiver import Receiver, receiving


@pytest.fixture
def caller(olivia: Membership) -> Caller:
    return Caller.of(olivia)


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    with receiving() as found:
        settings.PYTAKE_ALLOW_PRIVATE_HOSTS = [urlsplit(found.url).netloc]
        yield found


def made(caller: Caller, url: str = "https://example.com/desk", **more: Any) -> dict[str, Any]:
    answer = caller.post("webhooks", {"url": url, **more})
    assert answer.status_code == 201, answer.content
    return answer.json()


def tell(organization: Organization) -> None:
    hooks.emit(organization.pk, HookEvent.MESSAGE_STATUS, hooks.Told({"n": 1}), at=database_now())


def test_the_secret_is_shown_once(caller: Caller) -> None:
    new = made(caller, events=["message.status"], description="ERP")

    assert new["secret"].startswith("whsec_")
    assert (new["events"], new["is_active"]) == (["message.status"], True)
    assert WebhookEndpoint.objects.get().keys() == {"current": new["secret"]}
    for path in ("webhooks", f"webhooks/{new['id']}"):
        assert new["secret"] not in caller.get(path).content.decode()
    assert new["secret"] not in str(list(AuditEntry.objects.values()))


def test_a_repeated_key_gives_the_same_endpoint_and_secret(caller: Caller) -> None:
    body = {"url": "https://example.com/"}
    first, second = (caller.post("webhooks", body, Idempotency_Key="one").json() for _ in range(2))

    assert first == second
    assert WebhookEndpoint.objects.count() == 1


def test_it_is_changed_only_in_the_revision_that_was_seen(caller: Caller) -> None:
    path = f"webhooks/{made(caller)['id']}"

    assert caller.get(path)["ETag"] == '"1"'
    assert caller.patch(path, {"description": "x"}).status_code == 428
    assert caller.patch(path, {"description": "x"}, If_Match='"1"')["ETag"] == '"2"'
    assert caller.patch(path, {"description": "y"}, If_Match='"1"').status_code == 412
    assert caller.delete(path, If_Match='"2"').status_code == 204


@pytest.mark.parametrize(
    "body",
    [
        {}, {"url": "nonsense"}, {"url": "http://example.com/"}, {"url": "https://192.168.0.1/"},
        {"url": "https://example.com/", "events": ["nothing.known"]},
        {"url": "https://example.com/", "events": "message.status"},
    ],
)  # fmt: skip
def test_nonsense_is_refused_at_its_field(caller: Caller, body: Any) -> None:
    answer = caller.post("webhooks", body)

    assert answer.status_code == 400
    assert any(name.split(".")[0] in ("url", "events") for name in answer.json()["errors"])


def test_switched_on_again_it_begins_anew(caller: Caller) -> None:
    path = f"webhooks/{made(caller)['id']}"
    WebhookEndpoint.objects.update(
        is_active=False, disabled_because="failing", failing_since=timezone.now() - timedelta(days=6)
    )

    answer = caller.patch(path, {"is_active": True}, If_Match="*").json()

    assert (answer["is_active"], answer["disabled_because"], answer["failing_since"]) == (True, "", None)


def test_a_new_secret_is_shown_once_and_the_old_one_signs_on(
    caller: Caller, receiver: Receiver, acme: Organization
) -> None:
    new = made(caller, receiver.url)
    answer = caller.post(f"webhooks/{new['id']}/rotate-secret")
    tell(acme)
    hook_calls.drain()

    ((headers, body),) = receiver.calls
    for secret in (new["secret"], answer.json()["secret"]):
        Webhook(secret).verify(body, headers)
    assert answer["ETag"] == caller.get(f"webhooks/{new['id']}")["ETag"] == '"2"'
    assert caller.post(f"webhooks/{new['id']}/rotate-secret", If_Match='"1"').status_code == 412


def test_the_test_says_at_once_how_it_went(caller: Caller, receiver: Receiver) -> None:
    receiver.script = [200, 503]
    path = f"webhooks/{made(caller, receiver.url)['id']}/test"
    good, bad = (caller.post(path).json() for _ in range(2))

    assert (good["type"], good["state"], good["attempts"][0]["status"]) == ("webhook.test", "delivered", 200)
    assert (bad["state"], bad["next_attempt_at"], bad["attempts"][0]["status"]) == ("failed", None, 503)


def test_the_log_shows_every_try(caller: Caller, receiver: Receiver, acme: Organization) -> None:
    receiver.script = [500]
    path = f"webhooks/{made(caller, receiver.url)['id']}/messages"
    tell(acme)
    hook_calls.drain()
    WebhookMessage.objects.update(next_at=timezone.now())
    hook_calls.drain()

    (row,) = caller.get(path).json()["results"]
    assert [(one["number"], one["status"], one["answer"]) for one in row["attempts"]] == [
        (1, 500, "thanks"), (2, 200, "thanks"),
    ]  # fmt: skip
    assert caller.get(f"{path}?state=pending").json()["results"] == []


def test_what_was_told_is_told_again_on_demand(
    caller: Caller, receiver: Receiver, acme: Organization
) -> None:
    path = f"webhooks/{made(caller, receiver.url)['id']}/messages"
    tell(acme)
    hook_calls.drain()
    again = f"{path}/{WebhookMessage.objects.get().pk}/resend"

    assert caller.post(again).json()["state"] == "pending"
    assert caller.post(again).status_code == 409
    hook_calls.drain()
    assert len(set(receiver.ids())) == 1
    assert len(receiver.calls) == 2
