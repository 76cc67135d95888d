"""The demo flow end to end inside the desk: greeting, menu, question, hand-over with context."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Membership, Organization
from channels_hub.models import ChannelAccount
from conversations import bot, clockwork, deadlines, handoff, intake
from conversations.models import Conversation, Deadline, Message, Reception
from flows import services
from flows.models import Flow, Trigger
from queues.models import Queue
from tests import twilio

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def reception(twilio_channel: ChannelAccount, flow: Flow) -> Reception:
    return Reception.objects.create(
        organization=twilio_channel.organization, channel=twilio_channel, default_flow=flow
    )


def customer_writes(channel: ChannelAccount, *texts: str, **more: str) -> Conversation:
    for text in texts:
        twilio.post(channel, twilio.form(text, **more))
    intake.drain()
    Deadline.objects.filter(kind="bot_turn").update(due_at=timezone.now())
    clockwork.drain_deadlines()
    return Conversation.objects.latest("created_at")


def said(conversation: Conversation) -> list[str]:
    return list(conversation.messages.filter(direction="out").order_by("seq").values_list("text", flat=True))


def test_the_demo_flow_greets_asks_and_hands_over_with_context(
    reception: Reception, twilio_channel: ChannelAccount, support: Queue
) -> None:
    conversation = customer_writes(twilio_channel, "Oi")
    assert (conversation.state, conversation.is_bot_active, conversation.flow) == (
        "bot",
        True,
        reception.default_flow,
    )
    assert "Ana Souza" in said(conversation)[0]
    menu = conversation.messages.filter(direction="out").last()
    assert [option["id"] for option in menu.options] == ["pedido", "segunda_via", "humano"]

    conversation = customer_writes(
        twilio_channel, "Acompanhar pedido", ButtonPayload="pedido", ButtonText="Acompanhar pedido"
    )
    assert conversation.state == "bot"
    conversation = customer_writes(twilio_channel, "48213")

    assert (conversation.state, conversation.queue, conversation.queue_priority) == ("queued", support, 80)
    assert conversation.extra_data["handoff_context"] == "Pedido 48213"
    assert conversation.is_bot_active is False
    assert said(conversation)[-1].startswith("Transferindo")
    assert bot.variables_of(conversation)["order_id"] == "48213"


def test_messages_written_quickly_get_one_answer(
    reception: Reception, twilio_channel: ChannelAccount
) -> None:
    conversation = customer_writes(twilio_channel, "Oi", "tudo bem?", "alguém aí?")
    alone = len(said(conversation))
    clockwork.drain_deadlines()
    assert bot.take_turn(conversation.pk) is False
    assert len(said(conversation)) == alone
    assert conversation.heard_seq == 3


def test_each_further_message_moves_the_turn_up_to_a_longest_wait(
    reception: Reception, twilio_channel: ChannelAccount, settings: object
) -> None:
    settings.PYTAKE_COALESCE_SECONDS, settings.PYTAKE_COALESCE_MAX_SECONDS = 100.0, 150.0
    twilio.post(twilio_channel, twilio.form("um"))
    intake.drain()
    first = Deadline.objects.get(kind="bot_turn").due_at
    Message.objects.update(created_at=timezone.now() - timedelta(seconds=90))
    twilio.post(twilio_channel, twilio.form("dois"))
    intake.drain()
    second = Deadline.objects.get(kind="bot_turn").due_at
    assert second < first + timedelta(seconds=1)


def test_a_wrong_answer_is_asked_again_and_then_a_person_takes_over(
    reception: Reception, twilio_channel: ChannelAccount
) -> None:
    customer_writes(twilio_channel, "Oi")
    for _ in range(4):
        conversation = customer_writes(twilio_channel, "não sei o que é isso")
    assert conversation.state == "queued"


def test_a_question_that_times_out_goes_on_by_its_port(
    reception: Reception, twilio_channel: ChannelAccount
) -> None:
    customer_writes(twilio_channel, "Oi")
    conversation = customer_writes(twilio_channel, "1")
    timeout = Deadline.objects.get(conversation=conversation, kind="bot_timeout")
    assert timedelta(minutes=14) < timeout.due_at - timezone.now() <= timedelta(minutes=15)
    Deadline.objects.filter(pk=timeout.pk).update(due_at=timezone.now())
    clockwork.drain_deadlines()
    conversation = Conversation.objects.get()
    assert conversation.state in ("queued", "closed")
    assert not Deadline.objects.filter(kind="bot_timeout").exists()


def test_a_running_conversation_keeps_its_version(
    reception: Reception, twilio_channel: ChannelAccount, flow: Flow
) -> None:
    conversation = customer_writes(twilio_channel, "Oi")
    changed = dict(flow.draft) | {
        "variables": [*flow.draft.get("variables", []), {"name": "novo", "type": "text"}]
    }
    services.save_draft(flow.pk, changed, expected_revision=None)
    services.publish(flow.pk, author=None, note="second")
    customer_writes(twilio_channel, "1")
    assert conversation.runs.get().version.number == 1


def test_a_keyword_beats_the_default(
    acme: Organization, reception: Reception, twilio_channel: ChannelAccount, flow: Flow
) -> None:
    document = {
        "schema": 1, "start": "a", "variables": [], "edges": [],
        "nodes": [{"id": "a", "type": "close", "data": {"text": "Segue o boleto."}}],
    }  # fmt: skip
    other = services.create_flow(acme, name="Boleto", slug="boleto", document=document)
    services.publish(other.pk, author=None, note="")
    Trigger.objects.create(organization=acme, flow=other, kind="keyword", phrases=["boleto"])
    conversation = customer_writes(twilio_channel, "quero meu BOLETO")
    assert (conversation.state, conversation.close_reason) == ("closed", "bot_done")
    assert said(conversation) == ["Segue o boleto."]


def test_a_channel_without_flow_waits_in_its_default_queue(
    twilio_channel: ChannelAccount, support: Queue
) -> None:
    Reception.objects.create(
        organization=twilio_channel.organization, channel=twilio_channel, default_queue=support
    )
    conversation = customer_writes(twilio_channel, "Oi")
    assert (conversation.state, conversation.queue) == ("queued", support)


def test_with_neither_it_stays_pending_and_calls_a_supervisor(twilio_channel: ChannelAccount) -> None:
    conversation = customer_writes(twilio_channel, "Oi")
    assert conversation.state == "pending"
    assert conversation.events.filter(type="attention").exists()


def test_a_flow_that_names_a_missing_queue_loses_nobody(
    reception: Reception, twilio_channel: ChannelAccount, support: Queue, make_queue: Callable[..., Queue]
) -> None:
    support.is_active = False
    support.save(update_fields=["is_active"])
    rest = make_queue("resto")
    customer_writes(twilio_channel, "Oi")
    conversation = customer_writes(twilio_channel, "3")
    assert (conversation.state, conversation.queue) == ("queued", rest)


def test_the_bot_does_not_speak_while_people_have_it(
    reception: Reception, twilio_channel: ChannelAccount, ana: Membership
) -> None:
    conversation = customer_writes(twilio_channel, "Oi")
    handoff.take_over(conversation.pk, agent_id=ana.pk)
    before = said(conversation)
    customer_writes(twilio_channel, "e agora?")
    assert said(conversation) == before
    assert Conversation.objects.get().unread == 2


def test_given_back_the_bot_speaks_first(
    reception: Reception, twilio_channel: ChannelAccount, ana: Membership, flow: Flow
) -> None:
    conversation = customer_writes(twilio_channel, "Oi")
    handoff.take_over(conversation.pk, agent_id=ana.pk)
    before = len(said(conversation))
    handoff.release_to_bot(conversation.pk, actor=ana, flow=flow)
    Deadline.objects.filter(kind="bot_turn").update(due_at=timezone.now())
    clockwork.drain_deadlines()
    assert len(said(conversation)) > before


def test_a_contact_who_never_answers_the_bot_expires(
    reception: Reception, twilio_channel: ChannelAccount
) -> None:
    customer_writes(twilio_channel, "Oi")
    Deadline.objects.filter(kind="bot_idle").update(due_at=timezone.now())
    clockwork.drain_deadlines()
    conversation = Conversation.objects.get()
    assert (conversation.state, conversation.close_reason) == ("closed", "expired")


def test_a_wait_that_is_given_up_says_so(
    twilio_channel: ChannelAccount, make_queue: Callable[..., Queue]
) -> None:
    queue = make_queue("curta", wait_limit_minutes=5)
    Reception.objects.create(organization=queue.organization, channel=twilio_channel, default_queue=queue)
    customer_writes(twilio_channel, "Oi")
    Deadline.objects.filter(kind=deadlines.Kind.QUEUE_WAIT).update(due_at=timezone.now())
    clockwork.drain_deadlines()
    conversation = Conversation.objects.get()
    assert (conversation.state, conversation.close_reason) == ("closed", "abandoned")


def test_an_idle_agent_gives_the_conversation_back_to_the_queue_once(
    make_conversation: Callable[..., Conversation], make_queue: Callable[..., Queue], ana: Membership
) -> None:
    queue = make_queue("atenta", agent_idle_minutes=10)
    make_conversation("queued", queue=queue)
    handoff.pull_from_queue(ana.pk)
    for _warned_then_taken_then_nothing in range(3):
        Deadline.objects.filter(kind="agent_idle").update(due_at=timezone.now())
        clockwork.drain_deadlines()
    conversation = Conversation.objects.get()
    assert (conversation.state, conversation.queue) == ("queued", queue)
    events = list(conversation.events.values_list("type", flat=True))
    assert (events.count("idle_warning"), events.count("requeue")) == (1, 1)


def test_a_turn_that_fails_again_and_again_calls_a_supervisor_once_and_is_not_dropped(
    reception: Reception, twilio_channel: ChannelAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("boom")

    twilio.post(twilio_channel, twilio.form("Oi"))
    intake.drain()
    monkeypatch.setattr(clockwork.bot, "take_turn", broken)
    for _ in range(5):
        Deadline.objects.filter(kind="bot_turn").update(due_at=timezone.now())
        clockwork.drain_deadlines()
    conversation = Conversation.objects.get()
    assert conversation.events.filter(type="attention").count() == 1
    monkeypatch.undo()
    Deadline.objects.filter(kind="bot_turn").update(due_at=timezone.now())
    clockwork.drain_deadlines()
    assert Conversation.objects.get().state == "bot"


def test_a_worker_that_died_in_a_turn_leaves_it_to_the_next(
    reception: Reception, twilio_channel: ChannelAccount
) -> None:
    twilio.post(twilio_channel, twilio.form("Oi"))
    intake.drain()
    Deadline.objects.update(due_at=timezone.now())
    assert deadlines.claim_due()  # taken, then the worker dies
    clockwork.drain_deadlines()
    assert Conversation.objects.get().state == "pending"
    Deadline.objects.update(due_at=timezone.now())
    clockwork.drain_deadlines()
    assert Conversation.objects.get().state == "bot"
