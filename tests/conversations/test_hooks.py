"""Our own webhooks: who is told of what, signed how, tried how often, and when an endpoint is given up."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from accounts.models import AuditEntry, Membership, Organization
from channels_hub.models import ChannelAccount
from conversations import handoff, hook_calls, hooks, housekeeping, intake, outbox
from conversations.models import (
    Conversation,
    HookEvent,
    WebhookAttempt,
    WebhookEndpoint,
    WebhookMessage,
)
from conversations.moves import database_now, writing
from queues.models import Queue
from tests import twilio
from tests.receiver import Receiver, receiving

Make = Callable[..., Any]
STATUS, RECEIVED, MOVED = HookEvent.MESSAGE_STATUS, HookEvent.MESSAGE_RECEIVED, HookEvent.CONVERSATION_MOVED


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    with receiving() as found:
        settings.PYTAKE_ALLOW_PRIVATE_HOSTS = [urlsplit(found.url).netloc]
        yield found


@pytest.fixture
def make_endpoint(acme: Organization) -> Callable[..., WebhookEndpoint]:
    def make(url: str = "https://example.com/desk", *events: str, **fields: Any) -> WebhookEndpoint:
        secrets = {"current": hooks.new_secret()}
        return WebhookEndpoint.objects.create(
            **{"organization": acme, "url": url, "events": list(events), "secrets": secrets, **fields}
        )

    return make


@pytest.fixture
def endpoint(make_endpoint: Make, receiver: Receiver) -> WebhookEndpoint:
    return make_endpoint(receiver.url)


def tell(organization: Organization, n: int = 1) -> list[WebhookMessage]:
    known = set(WebhookMessage.objects.values_list("pk", flat=True))
    now = database_now()
    hooks.emit(organization.pk, STATUS, *(hooks.Told({"n": i, "nome": "José"}) for i in range(n)), at=now)
    return list(WebhookMessage.objects.exclude(pk__in=known).order_by("pk"))


def due_now() -> None:
    WebhookMessage.objects.filter(state="pending").update(next_at=timezone.now() - timedelta(seconds=1))


def told(event: HookEvent) -> list[dict[str, Any]]:
    return list(WebhookMessage.objects.filter(type=event).order_by("pk").values_list("data", flat=True))


# ---------------------------------------------------------------- what is told
def test_each_status_of_a_message_is_told(
    make_endpoint: Make, make_conversation: Make, ana: Membership, twilio_channel: ChannelAccount
) -> None:
    make_endpoint()
    talk = make_conversation("human_handoff", agent=ana)
    message, _new = outbox.reply(talk.pk, agent=ana, text="Bom dia!", client_id="order-7")
    outbox.cancel(message.pk)

    (data,) = told(STATUS)
    assert data == {
        "message_id": str(message.pk), "conversation_id": str(talk.pk), "channel_id": str(twilio_channel.pk),
        "client_id": "order-7", "provider_id": "", "status": "cancelled", "error": None, "at": data["at"],
    }  # fmt: skip
    assert "Bom dia" not in json.dumps(data)


def test_a_failure_tells_its_code(make_endpoint: Make, make_conversation: Make, ana: Membership) -> None:
    make_endpoint()
    talk = make_conversation("human_handoff", agent=ana)
    message, _new = outbox.reply(talk.pk, agent=ana, text="Bom dia!")
    message.deliveries.update(status="failed", error_code="63016", error_detail="window")
    with writing(talk.pk) as conversation:
        outbox.refresh_status(conversation, message)

    assert told(STATUS)[-1]["error"] == {"code": "63016", "detail": "window"}


@pytest.mark.parametrize(("events", "text"), [((), None), ((RECEIVED,), "Oi, tudo bem?")])
def test_what_a_customer_wrote_goes_only_to_who_asked_for_it_by_name(
    make_endpoint: Make, twilio_channel: ChannelAccount, events: tuple[str, ...], text: str | None
) -> None:
    make_endpoint("https://example.com/", *events)
    twilio.post(twilio_channel, twilio.form("Oi, tudo bem?"))
    intake.drain()

    (data,) = told(RECEIVED)
    assert data.get("text") == text
    assert Conversation.objects.get().pk.hex == data["conversation_id"].replace("-", "")


def test_a_move_tells_the_places_before_and_after(
    make_endpoint: Make, make_conversation: Make, support: Queue, ana: Membership
) -> None:
    make_endpoint()
    talk = make_conversation("queued", queue=support)
    handoff.claim(talk.pk, agent_id=ana.pk)

    first, second = told(MOVED)
    assert (first["before"]["state"], first["state"], first["queue_id"]) == (
        "pending", "queued", str(support.pk),
    )  # fmt: skip
    assert (second["before"]["state"], second["state"], second["agent_id"]) == (
        "queued", "human_handoff", str(ana.pk),
    )  # fmt: skip
    assert second["seq"] > first["seq"]


def test_only_who_wants_it_is_told(make_endpoint: Make, acme: Organization, rival: Organization) -> None:
    wants = make_endpoint("https://a.example.com/", STATUS)
    make_endpoint("https://b.example.com/", MOVED)
    make_endpoint("https://c.example.com/", is_active=False)
    make_endpoint("https://d.example.com/", organization=rival)

    assert [message.endpoint_id for message in tell(acme)] == [wants.pk]


def test_without_an_endpoint_an_event_costs_one_statement(acme: Organization) -> None:
    with CaptureQueriesContext(connection) as queries:
        hooks.emit(acme.pk, STATUS, *(hooks.Told({}) for _ in range(50)), at=timezone.now())

    assert len(queries) == 1


def test_what_is_undone_is_not_told(make_endpoint: Make, acme: Organization) -> None:
    make_endpoint()
    with transaction.atomic():
        tell(acme)
        transaction.set_rollback(True)

    assert not WebhookMessage.objects.exists()


# ---------------------------------------------------------------- how it is told
def test_the_official_library_accepts_the_signature(
    endpoint: WebhookEndpoint, receiver: Receiver, acme: Organization
) -> None:
    (message,) = tell(acme)
    assert hook_calls.drain() == 1

    ((headers, body),) = receiver.calls
    given = Webhook(endpoint.keys()["current"]).verify(body, headers)
    assert given == {
        "type": "message.status", "timestamp": message.occurred_at.isoformat(),
        "data": {"n": 0, "nome": "José"},
    }  # fmt: skip
    assert headers["webhook-id"] == str(message.pk)
    with pytest.raises(WebhookVerificationError):
        Webhook(hooks.new_secret()).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoint.keys()["current"]).verify(body + b" ", headers)


def test_both_secrets_sign_for_a_day_after_a_rotation(
    endpoint: WebhookEndpoint, receiver: Receiver, acme: Organization
) -> None:
    old, now = endpoint.keys()["current"], database_now()
    new = hooks.rotate(endpoint, now)
    tell(acme)
    hook_calls.drain()

    ((headers, body),) = receiver.calls
    for secret in (old, new):
        Webhook(secret).verify(body, headers)
    assert old != new
    assert hooks.signing(endpoint.keys(), now + timedelta(hours=25)) == [new]


def test_a_try_is_on_record_with_what_it_was_answered(
    endpoint: WebhookEndpoint, receiver: Receiver, acme: Organization
) -> None:
    receiver.body = b"a\x00\xff" + b"x" * 1000
    (message,) = tell(acme)
    hook_calls.drain()

    attempt = message.calls.get()
    message.refresh_from_db()
    assert (message.state, attempt.number, attempt.status) == ("delivered", 1, 200)
    assert len(attempt.answer) <= 500
    assert attempt.milliseconds is not None


# ---------------------------------------------------------------- again
def test_it_is_tried_eight_times_under_one_id_and_then_given_up(
    endpoint: WebhookEndpoint, receiver: Receiver, acme: Organization
) -> None:
    receiver.then = 500
    (message,) = tell(acme)
    waits = []
    for _ in range(10):
        due_now()
        hook_calls.drain()
        message.refresh_from_db()
        waits.append(message.next_at - timezone.now())

    assert (message.state, message.attempts) == ("failed", 8)
    assert receiver.ids() == [str(message.pk)] * 8
    assert {body for _headers, body in receiver.calls} == {receiver.calls[0][1]}
    for wait, step in zip(waits, hook_calls.STEPS, strict=False):
        assert 0.75 * step < wait < 1.25 * step


@pytest.mark.parametrize("status", [301, 302, 400, 404, 500])
def test_whatever_is_no_2xx_has_failed(
    endpoint: WebhookEndpoint, receiver: Receiver, acme: Organization, status: int
) -> None:
    receiver.then, receiver.headers = status, {"Location": receiver.url}
    (message,) = tell(acme)
    hook_calls.drain()

    message.refresh_from_db()
    assert (message.state, len(receiver.calls)) == ("pending", 1)


def test_the_endpoints_own_wait_is_obeyed(
    endpoint: WebhookEndpoint, receiver: Receiver, acme: Organization
) -> None:
    receiver.then, receiver.headers = 429, {"Retry-After": "600"}
    (message,) = tell(acme)
    hook_calls.drain()

    message.refresh_from_db()
    assert message.next_at - timezone.now() > timedelta(seconds=590)
    assert hook_calls.pause(1, 1e12) == hook_calls.LONGEST_WAIT


def test_a_worker_that_dies_between_claim_and_call_costs_a_second_telling_at_most(
    endpoint: WebhookEndpoint, receiver: Receiver, acme: Organization
) -> None:
    (message,) = tell(acme)
    (lost,) = hook_calls.claim(5)  # and then the process is gone
    assert hook_calls.drain() == 0  # its lease still runs
    due_now()
    assert hook_calls.drain() == 1

    message.refresh_from_db()
    assert (message.state, message.attempts, receiver.ids()) == ("delivered", 2, [str(message.pk)])
    hook_calls.settle(hook_calls.Ended(lost, 5, error="no answer"))
    message.refresh_from_db()
    assert message.state == "delivered"


def test_what_failed_can_be_told_again(
    endpoint: WebhookEndpoint, receiver: Receiver, acme: Organization
) -> None:
    (message,) = tell(acme)
    hook_calls.drain()
    assert hooks.resend(message.pk, database_now())
    assert not hooks.resend(message.pk, database_now())
    hook_calls.drain()

    assert receiver.ids() == [str(message.pk)] * 2


# ---------------------------------------------------------------- the endpoint
def test_gone_is_gone_at_once(endpoint: WebhookEndpoint, receiver: Receiver, acme: Organization) -> None:
    receiver.then = 410
    _first, second = tell(acme, 2)
    WebhookMessage.objects.filter(pk=second.pk).update(next_at=timezone.now() + timedelta(minutes=1))
    hook_calls.drain()

    endpoint.refresh_from_db()
    assert (endpoint.is_active, endpoint.disabled_because) == (False, "gone")
    entry = AuditEntry.objects.get(action="webhook.disabled")
    assert (entry.object_id, entry.data) == (str(endpoint.pk), {"reason": "gone"})
    due_now()
    assert hook_calls.drain() == 0
    assert not tell(acme)


@pytest.mark.parametrize(("days", "stays"), [(4.9, True), (5.1, False)])
def test_five_days_of_nothing_but_failures_switch_it_off(
    endpoint: WebhookEndpoint, receiver: Receiver, acme: Organization, days: float, stays: bool
) -> None:
    receiver.then = 500
    WebhookEndpoint.objects.update(failing_since=timezone.now() - timedelta(days=days))
    tell(acme)
    hook_calls.drain()

    endpoint.refresh_from_db()
    assert endpoint.is_active is stays


def test_one_success_forgives_what_failed_before(
    endpoint: WebhookEndpoint, receiver: Receiver, acme: Organization
) -> None:
    receiver.script = [500]
    tell(acme)
    hook_calls.drain()
    endpoint.refresh_from_db()
    assert endpoint.failing_since
    due_now()
    hook_calls.drain()

    endpoint.refresh_from_db()
    assert endpoint.failing_since is None


def test_a_test_tells_once_and_counts_for_nothing(endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    receiver.then = 410
    message = hook_calls.test(endpoint)

    endpoint.refresh_from_db()
    assert (message.type, message.state, message.calls.get().status) == ("webhook.test", "failed", 410)
    assert (endpoint.is_active, endpoint.failing_since) == (True, None)


def test_a_deleted_endpoint_ends_quietly(endpoint: WebhookEndpoint, acme: Organization) -> None:
    tell(acme)
    (one,) = hook_calls.claim(1)
    endpoint.delete()
    hook_calls.settle(hook_calls.Ended(one, 5, status=200))

    assert not WebhookAttempt.objects.exists()


# ---------------------------------------------------------------- slow ones and bad ones
def test_a_slow_endpoint_keeps_four_calls_busy_and_harms_nobody_else(
    endpoint: WebhookEndpoint, receiver: Receiver, make_endpoint: Make, acme: Organization, settings: Any
) -> None:
    receiver.gate = threading.Event()
    with receiving() as quick:
        settings.PYTAKE_ALLOW_PRIVATE_HOSTS += [urlsplit(quick.url).netloc]
        make_endpoint(quick.url)
        tell(acme, 12)
        seen: list[int] = []

        def let_go_when_the_quick_one_is_done() -> None:
            until = time.monotonic() + 8
            while len(quick.calls) < 12 and time.monotonic() < until:
                time.sleep(0.05)
            seen.append(len(quick.calls))
            receiver.gate.set()

        threading.Thread(target=let_go_when_the_quick_one_is_done).start()
        assert hook_calls.drain(seconds=20) == 24

    assert seen == [12]  # while the other still waited
    assert receiver.most_at_once == hook_calls.AT_ONCE


def test_one_that_fails_gets_one_call_at_a_time(endpoint: WebhookEndpoint, acme: Organization) -> None:
    WebhookEndpoint.objects.update(failing_since=timezone.now())
    tell(acme, 5)

    assert len(hook_calls.claim(16)) == 1
    assert hook_calls.claim(16) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "https://user:pass@example.com/", "ftp://example.com/", "https://127.0.0.1/",
        "https://169.254.169.254/latest", "https://[::1]/", "https://10.0.0.8/", "https://localhost/",
        "https://[::ffff:10.0.0.8]/", "https://example.com:99999/",
    ],
)  # fmt: skip
def test_an_address_that_we_would_not_call_is_not_taken(make_endpoint: Make, url: str) -> None:
    with pytest.raises(ValidationError):
        make_endpoint(url).clean()


def test_a_name_that_leads_inside_is_not_called(
    endpoint: WebhookEndpoint, receiver: Receiver, acme: Organization, settings: Any
) -> None:
    settings.PYTAKE_ALLOW_PRIVATE_HOSTS = []
    (message,) = tell(acme)
    hook_calls.drain()

    assert (receiver.calls, message.calls.get().error) == ([], "address is not public")


def test_what_was_told_is_forgotten_with_the_raw_bodies(make_endpoint: Make, acme: Organization) -> None:
    make_endpoint()
    old, new = tell(acme, 2)
    days = timedelta(days=max(9, acme.raw_retention_days) + 1)
    WebhookMessage.objects.filter(pk=old.pk).update(occurred_at=timezone.now() - days)
    housekeeping.drop_old_raw_bodies()

    assert [message.pk for message in WebhookMessage.objects.all()] == [new.pk]
