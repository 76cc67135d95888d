"""Thirty-two at once: the promises that only threads on a real database can break."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import Membership
from channels_hub.models import ChannelAccount, InboundEvent
from contacts.models import Contact
from conversations import bot, handoff, intake, outbox
from conversations.models import Conversation, Message, Reception
from flows.models import Flow
from queues.models import AgentProfile, Queue
from tests import twilio
from tests.conftest import new_member

pytestmark = [pytest.mark.race, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
Race = Callable[..., list[Any]]
Make = Callable[..., Conversation]
CROWD = 32


def test_of_32_claims_one_wins_and_31_are_told_who(
    race: Race, make_conversation: Make, support: Queue, acme: Any
) -> None:
    agents = [new_member(acme, f"agent{n}", "agent") for n in range(CROWD)]
    conversation = make_conversation("queued", queue=support)
    results = race(CROWD, lambda n: handoff.claim(conversation.pk, agent_id=agents[n].pk))
    winners = [r for r in results if isinstance(r, Conversation)]
    losers = [r for r in results if isinstance(r, handoff.Conflict)]
    assert (len(winners), len(losers)) == (1, CROWD - 1)
    assert all(winners[0].assigned_agent.name in str(loser) for loser in losers)
    assert conversation.events.filter(type="claim").count() == 1


def test_32_equal_webhooks_are_one_message(race: Race, twilio_channel: ChannelAccount) -> None:
    fields = twilio.form()
    answers = race(CROWD, lambda n: twilio.post(twilio_channel, fields).status_code)
    assert answers == [200] * CROWD
    race(8, lambda n: intake.drain())
    assert (InboundEvent.objects.count(), Message.objects.count()) == (1, 1)


def test_32_first_messages_are_one_contact_and_one_conversation(
    race: Race, twilio_channel: ChannelAccount
) -> None:
    race(CROWD, lambda n: twilio.post(twilio_channel, twilio.form(f"mensagem {n}")))
    race(8, lambda n: intake.drain())
    intake.drain()
    assert (Contact.objects.count(), Conversation.objects.count(), Message.objects.count()) == (1, 1, CROWD)
    assert sorted(Message.objects.values_list("seq", flat=True)) == list(range(1, CROWD + 1))


def test_32_hand_overs_into_10_with_an_overflow_of_10(
    race: Race, make_conversation: Make, make_queue: Callable[..., Queue]
) -> None:
    b = make_queue("b", max_queue_size=10)
    a = make_queue("a", max_queue_size=10, overflow_queue=b)
    ids = [make_conversation().pk for _ in range(CROWD)]
    race(CROWD, lambda n: handoff.request_handoff(ids[n], queue_id=a.pk))
    placed = Counter(
        (c.queue.slug, "overflow_exhausted" in c.extra_data)
        for c in Conversation.objects.select_related("queue")
    )
    assert placed == {("a", False): 10, ("b", False): 10, ("a", True): 12}


def test_32_pulls_by_4_agents_never_pass_their_capacity(
    race: Race, make_conversation: Make, support: Queue, acme: Any
) -> None:
    agents = [new_member(acme, f"agent{n}", "agent", capacity=3) for n in range(4)]
    for _ in range(CROWD):
        make_conversation("queued", queue=support)
    race(CROWD, lambda n: handoff.pull_from_queue(agents[n % 4].pk))
    loads = Counter(
        Conversation.objects.filter(state="human_handoff").values_list("assigned_agent", flat=True)
    )
    assert list(loads.values()) == [3, 3, 3, 3]


def test_a_pull_gives_each_conversation_to_one_agent(
    race: Race, make_conversation: Make, support: Queue, acme: Any
) -> None:
    agents = [new_member(acme, f"agent{n}", "agent", capacity=50) for n in range(8)]
    ids = {make_conversation("queued", queue=support).pk for _ in range(24)}
    results = race(24, lambda n: handoff.pull_from_queue(agents[n % 8].pk))
    pulled = [r.conversation.pk for r in results if r.conversation]
    assert len(pulled) == len(set(pulled))
    while any((r := handoff.pull_from_queue(agent.pk)).conversation for agent in agents):
        pulled.append(r.conversation.pk)
    assert set(Conversation.objects.filter(state="human_handoff").values_list("pk", flat=True)) == ids


def test_claim_against_transfer_close_take_over_and_message(
    race: Race, make_conversation: Make, support: Queue, ana: Membership, bia: Membership, twilio_channel: Any
) -> None:
    for _ in range(5):
        conversation = make_conversation("queued", queue=support)
        acts: list[Callable[[], object]] = [
            lambda pk=conversation.pk: handoff.claim(pk, agent_id=ana.pk),
            lambda pk=conversation.pk: handoff.transfer(pk, actor=bia, agent_id=bia.pk),
            lambda pk=conversation.pk: handoff.take_over(pk, agent_id=bia.pk),
            lambda pk=conversation.pk: handoff.close(pk, actor=None),
            lambda pk=conversation.pk: handoff.transfer(pk, actor=ana, queue_id=support.pk),
        ]
        race(5, lambda n, acts=acts: acts[n]())
        still = Conversation.objects.get(pk=conversation.pk)
        if still.state != "closed":
            handoff.close(still.pk, actor=None)


def test_the_bot_answers_messages_written_quickly_once(
    race: Race, twilio_channel: ChannelAccount, flow: Flow
) -> None:
    Reception.objects.create(
        organization=twilio_channel.organization, channel=twilio_channel, default_flow=flow
    )
    for text in ("Oi", "tudo bem?", "preciso de ajuda", "é urgente"):
        twilio.post(twilio_channel, twilio.form(text))
    intake.drain()
    conversation = Conversation.objects.get()
    turns = race(8, lambda n: bot.take_turn(conversation.pk))
    assert turns.count(True) == 1
    said = list(Message.objects.filter(sender="bot").values_list("text", flat=True))
    assert len(said) == len(set(said)) > 0
    assert Conversation.objects.get().heard_seq == 4


def test_the_bot_is_silent_once_somebody_took_over(
    race: Race, make_conversation: Make, flow: Flow, ana: Membership
) -> None:
    for _ in range(6):
        conversation = make_conversation("bot", flow=flow)
        acts: list[Callable[[], object]] = [
            lambda pk=conversation.pk: bot.take_turn(pk),
            lambda pk=conversation.pk: handoff.take_over(pk, agent_id=ana.pk),
        ]
        race(2, lambda n, acts=acts: acts[n]())
        taken = conversation.events.get(type="take_over").seq
        assert not conversation.messages.filter(sender="bot", seq__gt=taken).exists()
        assert not conversation.deliveries.filter(origin="bot", status="pending").exists()
        handoff.close(conversation.pk, actor=ana)


def test_32_equal_replies_are_one_message(race: Race, make_conversation: Make, ana: Membership) -> None:
    conversation = make_conversation("human_handoff", agent=ana)
    race(CROWD, lambda n: outbox.reply(conversation.pk, agent=ana, text="oi", client_id="same"))
    assert conversation.messages.count() == 1


def test_a_full_queue_boundary_is_exact_with_pulls_at_the_same_time(
    race: Race, make_conversation: Make, make_queue: Callable[..., Queue], ana: Membership
) -> None:
    geral = make_queue("geral")
    small = make_queue("pequena", max_queue_size=5, overflow_queue=geral)
    AgentProfile.objects.filter(member=ana).update(capacity=100)
    ids = [make_conversation().pk for _ in range(24)]

    def act(n: int) -> object:
        if n < 24:
            return handoff.request_handoff(ids[n], queue_id=small.pk)
        return handoff.pull_from_queue(ana.pk)

    race(CROWD, act)
    assert Conversation.objects.filter(queue=small, state="queued").count() <= 5
