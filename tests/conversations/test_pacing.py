"""Whose turn and how fast: rates that hold, fairness, rest; judged by when the fake provider was called."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone
from django_scopes import scope

from accounts.models import Membership, Organization
from channels_hub.contract import Delivery as Report
from channels_hub.contract import State
from channels_hub.fake_provider import FakeProvider
from channels_hub.models import ChannelAccount
from channels_twilio.adapter import TwilioWhatsApp
from conversations import outbox, pacing, receipts, sending, settling
from conversations.models import Attempt, Conversation, Delivery, Pace, Receipt
from tests.conftest import new_channel, new_member

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., Conversation]


def set_rate(channel: ChannelAccount, per_second: float) -> None:
    ChannelAccount.objects.filter(pk=channel.pk).update(rate_per_second=per_second)


def send(count: int, channel: ChannelAccount, *, priority: int = 0) -> None:
    """To as many people, so that order in a conversation does not slow it down."""
    for number in range(count):
        outbox.add_message(f"+55119{81000000 + number}", "oi", channel.organization_id, channel.pk, priority)


def work_until_empty(organization: Organization) -> None:
    """A sender of its own, as in another process."""
    try:
        with scope(organization=organization):
            while Delivery.objects.filter(status__in=outbox.NOT_HANDED).exists():
                found = sending.claim(4)
                if found and found.rows:
                    settling.settle([sending.call(row) for row in found.rows])
                else:
                    time.sleep(0.01)
    finally:
        connections.close_all()


def arrivals(fake: FakeProvider) -> list[float]:
    return sorted(request["at"] for request in fake.requests())


@pytest.mark.slow
def test_no_sliding_second_sees_more_calls_than_the_rate_allows(
    fake: FakeProvider, twilio_channel: ChannelAccount, acme: Organization
) -> None:
    set_rate(twilio_channel, 15)
    fake.script([], then={"delay": 0.03})
    send(60, twilio_channel)
    workers = [threading.Thread(target=work_until_empty, args=(acme,)) for _n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    came = arrivals(fake)
    assert len(came) == 60
    assert min(later - earlier for earlier, later in zip(came, came[15:], strict=False)) >= 1.0
    assert came[-1] - came[0] < 8, "it must not be much slower than the rate either"


def test_a_slow_rate_is_one_call_in_so_many_seconds(
    fake: FakeProvider, twilio_channel: ChannelAccount
) -> None:
    set_rate(twilio_channel, 0.5)
    send(2, twilio_channel)
    sending.drain()
    assert len(arrivals(fake)) == 1
    Attempt.objects.update(ended_at=timezone.now() - timedelta(seconds=2.1))
    sending.drain()
    assert len(arrivals(fake)) == 2


def test_a_patient_drain_waits_for_the_next_permit(
    fake: FakeProvider, twilio_channel: ChannelAccount
) -> None:
    set_rate(twilio_channel, 2)
    send(4, twilio_channel)
    assert sending.drain(patient=True) == 4
    first, _second, third, last = arrivals(fake)
    assert third - first >= 1.0
    assert last - first < 3


def test_bulk_leaves_room_for_an_answer(
    fake: FakeProvider, twilio_channel: ChannelAccount, make_conversation: Make, ana: Membership
) -> None:
    set_rate(twilio_channel, 10)
    send(20, twilio_channel)
    assert sending.drain() == 9
    talk = make_conversation("human_handoff", agent=ana)
    outbox.reply(talk.pk, agent=ana, text="Já vejo")
    assert sending.drain() == 1
    assert fake.requests()[-1]["body"] == "Já vejo"


def test_the_lowest_priority_gets_its_turn_now_and_then(
    fake: FakeProvider, twilio_channel: ChannelAccount
) -> None:
    send(1, twilio_channel, priority=0)
    for number in range(20):
        phone = f"+55119{82000000 + number}"
        outbox.add_message(phone, "urgente", twilio_channel.organization_id, twilio_channel.pk, 10)
    for _turn in range(pacing.LOWEST_EVERY):
        settling.settle([sending.call(row) for row in sending.claim(1).rows])
    assert [request["body"] for request in fake.requests()].count("oi") == 1


def test_organizations_take_turns(
    fake: FakeProvider, twilio_channel: ChannelAccount, rival: Organization
) -> None:
    with scope(organization=rival):
        other = new_channel(rival, "twilio_whatsapp", api_base=fake.url)
        new_member(rival, "rita", "agent")
        outbox.add_message("+5511977776666", "do rival", rival.pk, other.pk)
    send(6, twilio_channel)
    turns = [sending.claim(1).channel_id for _n in range(3)]
    assert other.pk in turns[:2]
    assert turns.count(twilio_channel.pk) == 2


def test_a_platform_that_is_not_there_is_left_alone_for_a_while(
    fake: FakeProvider, twilio_channel: ChannelAccount
) -> None:
    closed = fake.url.rpartition(":")[0] + ":9"
    twilio_channel.config = {**twilio_channel.config, "api_base": closed}
    twilio_channel.save(update_fields=["config"])
    send(20, twilio_channel)
    for _n in range(pacing.UNREACHABLE_AFTER):
        settling.settle([sending.call(row) for row in sending.claim(1).rows])
    pace = Pace.objects.get(channel=twilio_channel)
    assert (pace.rests_because, sending.claim(1)) == ("unreachable", None)
    Pace.objects.update(rests_until=timezone.now())
    (probe,) = sending.claim(5).rows
    assert not sending.claim(5).rows, "one call tries, the others wait for what it finds"
    twilio_channel.config = {**twilio_channel.config, "api_base": fake.url}
    twilio_channel.save(update_fields=["config"])
    settling.settle([sending.call(probe)])
    assert Pace.objects.get().rests_until > timezone.now()
    Pace.objects.update(rests_until=timezone.now())
    settling.settle([sending.call(row) for row in sending.claim(1).rows])
    assert len(sending.claim(5).rows) == 5


def test_history_costs_a_claim_nothing() -> None:
    """Permits are two ranges of an index: a condition asked row by row would walk every call ever made."""
    asked = {"channel": uuid4(), "kept": timedelta(seconds=1)}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        cursor.execute(f"EXPLAIN {pacing.TAKEN}", asked)
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert plan.count("attempts_of_channel") == 2
    assert "Filter" not in plan


def test_too_fast_rests_the_whole_channel_as_long_as_the_platform_says(
    fake: FakeProvider, twilio_channel: ChannelAccount
) -> None:
    fake.script([{"status": 429, "retry_after": 30}])
    send(3, twilio_channel)
    settling.settle([sending.call(row) for row in sending.claim(1).rows])
    pace = Pace.objects.get()
    assert timedelta(seconds=25) < pace.rests_until - timezone.now() < timedelta(seconds=31)
    assert (pace.rests_because, sending.claim(5)) == ("rate_limited", None)


def test_one_person_is_not_flooded(
    fake: FakeProvider,
    twilio_channel: ChannelAccount,
    make_conversation: Make,
    ana: Membership,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(TwilioWhatsApp, "caps", replace(TwilioWhatsApp.caps, pair_interval=5, pair_burst=2))
    talk, other = (make_conversation("human_handoff", agent=ana) for _n in range(2))
    for number in range(4):
        outbox.reply(talk.pk, agent=ana, text=str(number))
    outbox.reply(other.pk, agent=ana, text="para outra pessoa")
    sending.drain()
    assert sorted(request["body"] for request in fake.requests()) == ["0", "1", "para outra pessoa"]
    Attempt.objects.update(ended_at=timezone.now() - timedelta(seconds=11))
    sending.drain()
    assert len(fake.requests()) == 5


def test_each_call_is_on_record_without_words_numbers_or_secrets(
    fake: FakeProvider, twilio_channel: ChannelAccount, make_conversation: Make, ana: Membership
) -> None:
    fake.script(["503"])
    talk = make_conversation("human_handoff", agent=ana)
    outbox.reply(talk.pk, agent=ana, text="segredo do cliente")
    sending.drain()
    Delivery.objects.update(due_at=timezone.now())
    sending.drain()
    first, second = Attempt.objects.order_by("number")
    assert (first.outcome, first.code, second.outcome) == ("retryable", "20503", "accepted")
    assert (first.number, second.number, second.response[0]["status"]) == (1, 2, 201)
    assert "Body" in second.request[0]["fields"]
    kept = str([(a.request, a.response, a.detail) for a in (first, second)])
    for secret in ("segredo", talk.identity.value.removeprefix("+"), twilio_channel.keys()["auth_token"]):
        assert secret not in kept


def test_every_report_is_kept(
    fake: FakeProvider, twilio_channel: ChannelAccount, make_conversation: Make, ana: Membership
) -> None:
    talk = make_conversation("human_handoff", agent=ana)
    message, _new = outbox.reply(talk.pk, agent=ana, text="oi")
    sending.drain()
    delivery = message.deliveries.get()
    for state in ("delivered", "sent"):
        report = Report(delivery.provider_id, State(state), timezone.now())
        receipts.apply_report(twilio_channel, report)
    assert list(Receipt.objects.values_list("state", flat=True)) == ["delivered", "sent"]
    assert message.deliveries.get().status == "delivered"
