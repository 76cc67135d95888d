"""What happens by itself when somebody is silent: the agent, the customer, everybody. Each once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership, Organization
from channels_hub.models import ChannelAccount
from contacts.models import Contact
from conversations import clockwork, deadlines, handoff, intake, outbox, promises, resting
from conversations.models import Conversation, Deadline
from conversations.opening import open_conversation
from flows.models import Flow
from queues.models import Calendar, DeskSettings, Queue
from queues.services import desk_settings
from tests import twilio

pytestmark = pytest.mark.django_db

Make = Callable[..., Conversation]
MakeQueue = Callable[..., Queue]


def pass_time(conversation: Conversation, kind: str) -> None:
    due = timezone.now() - timedelta(minutes=1)
    Deadline.objects.filter(conversation=conversation, kind=kind).update(due_at=due)
    clockwork.drain_deadlines()


def fresh(conversation: Conversation) -> Conversation:
    return Conversation.objects.get(pk=conversation.pk)


def told(conversation: Conversation, *types: str) -> list[str]:
    return list(conversation.events.filter(type__in=types).order_by("seq").values_list("type", flat=True))


def due(conversation: Conversation, kind: str) -> datetime | None:
    return (
        Deadline.objects.filter(conversation=conversation, kind=kind).values_list("due_at", flat=True).first()
    )


def writes(channel: ChannelAccount, conversation: Conversation) -> None:
    twilio.post(channel, twilio.form("Oi?", sender=conversation.contact.identities.get().value))
    intake.drain()


@pytest.fixture
def watched(make_queue: MakeQueue) -> Queue:
    return make_queue("atenta", agent_idle_minutes=10, agent_idle_action="supervisor")


@pytest.fixture
def taken(make_conversation: Make, watched: Queue, ana: Membership) -> Conversation:
    conversation = make_conversation("queued", queue=watched)
    handoff.claim(conversation.pk, agent_id=ana.pk)
    return fresh(conversation)


# ---------------------------------------------------------------- the agent
def test_the_agent_is_warned_then_a_supervisor_hears_of_it_each_once(taken: Conversation) -> None:
    assert due(taken, "agent_idle") == taken.last_activity_at + timedelta(minutes=8)
    pass_time(taken, "agent_idle")
    assert due(taken, "agent_idle") == taken.last_activity_at + timedelta(minutes=10)
    for _ in range(3):
        pass_time(taken, "agent_idle")
    assert told(taken, "idle_warning", "attention") == ["idle_warning", "attention"]
    assert fresh(taken).state == "human_handoff"


def test_nobody_is_idle_while_the_customer_is_silent(
    taken: Conversation, ana: Membership, twilio_channel: ChannelAccount
) -> None:
    outbox.reply(taken.pk, agent=ana, text="Bom dia")
    assert due(taken, "agent_idle") is None
    writes(twilio_channel, taken)
    assert due(taken, "agent_idle") == fresh(taken).waiting_since + timedelta(minutes=8)


def test_a_second_message_does_not_give_the_agent_more_time(
    taken: Conversation, ana: Membership, twilio_channel: ChannelAccount
) -> None:
    outbox.reply(taken.pk, agent=ana, text="Bom dia")
    writes(twilio_channel, taken)
    first = due(taken, "agent_idle")
    writes(twilio_channel, taken)
    assert due(taken, "agent_idle") == first


def test_who_snoozes_or_holds_has_said_when_they_look_again(taken: Conversation, ana: Membership) -> None:
    resting.snooze(taken.pk, agent=ana, until=timezone.now() + timedelta(hours=5))
    assert due(taken, "agent_idle") is None
    resting.resume(taken.pk, actor=ana)
    assert due(taken, "agent_idle") == fresh(taken).last_activity_at + timedelta(minutes=8)
    resting.hold(taken.pk, agent=ana)
    assert due(taken, "agent_idle") is None


def test_the_agent_who_gets_it_from_the_bot_is_watched_from_then_on(
    make_conversation: Make, watched: Queue, flow: Flow, ana: Membership
) -> None:
    conversation = make_conversation("bot", flow=flow)
    handoff.assign_agent(conversation.pk, ana.pk)
    assert fresh(conversation).waiting_since is not None


def test_the_agents_night_does_not_count(
    acme: Organization, make_conversation: Make, make_queue: MakeQueue, ana: Membership
) -> None:
    opens = (timezone.now() + timedelta(days=2)).replace(hour=9, minute=0, second=0, microsecond=0)
    day = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][opens.weekday()]
    week = [{"weekday": day, "start": "09:00", "end": "18:00"}]
    calendar = Calendar.objects.create(organization=acme, name="Um dia", timezone="UTC", intervals=week)
    conversation = make_conversation(
        "queued", queue=make_queue("q", agent_idle_minutes=10, calendar=calendar)
    )
    handoff.claim(conversation.pk, agent_id=ana.pk)
    assert due(conversation, "agent_idle") == opens + timedelta(minutes=8)


def test_an_idle_agent_does_not_get_it_again_at_once(
    make_conversation: Make, make_queue: MakeQueue, ana: Membership
) -> None:
    conversation = make_conversation("queued", queue=make_queue("q", agent_idle_minutes=10))
    handoff.claim(conversation.pk, agent_id=ana.pk)
    for _ in range(2):
        pass_time(conversation, "agent_idle")
    now = fresh(conversation)
    assert (now.state, now.extra_data["not_again"]["agent_id"]) == ("queued", str(ana.pk))
    assert conversation.events.get(type="requeue").cause == "agent idle"


def test_an_idle_agents_conversation_goes_back_to_the_bot(
    make_conversation: Make, make_queue: MakeQueue, flow: Flow, ana: Membership
) -> None:
    queue = make_queue("q", agent_idle_minutes=10, agent_idle_action="bot")
    conversation = make_conversation("bot", flow=flow)
    handoff.request_handoff(conversation.pk, queue_id=queue.pk)
    handoff.claim(conversation.pk, agent_id=ana.pk)
    for _ in range(2):
        pass_time(conversation, "agent_idle")
    assert (fresh(conversation).state, fresh(conversation).waiting_since) == ("bot", None)


def test_a_queue_that_is_off_takes_nothing_back(
    make_conversation: Make, make_queue: MakeQueue, ana: Membership
) -> None:
    queue = make_queue("q", agent_idle_minutes=10)
    conversation = make_conversation("queued", queue=queue)
    handoff.claim(conversation.pk, agent_id=ana.pk)
    Queue.objects.filter(pk=queue.pk).update(is_active=False)
    for _ in range(2):
        pass_time(conversation, "agent_idle")
    assert (fresh(conversation).state, told(conversation, "attention")) == ("human_handoff", ["attention"])


def test_an_answer_in_the_last_moment_counts(taken: Conversation, ana: Membership) -> None:
    pass_time(taken, "agent_idle")
    Deadline.objects.filter(kind="agent_idle").update(due_at=timezone.now() - timedelta(minutes=1))
    (claimed,) = [row for row in deadlines.claim_due() if row.kind == "agent_idle"]
    outbox.reply(taken.pk, agent=ana, text="Aqui estou")
    with pytest.raises(promises.Void):
        clockwork._agent_idle(claimed)
    assert told(taken, "attention") == []


# ---------------------------------------------------------------- the customer
def test_the_bot_gives_up_with_a_last_word(acme: Organization, make_conversation: Make, flow: Flow) -> None:
    DeskSettings.objects.create(organization=acme, bot_silence_minutes=60, bot_expired_notice="Até mais!")
    conversation = make_conversation("bot", flow=flow)
    assert timedelta(minutes=59) < due(conversation, "bot_idle") - timezone.now() <= timedelta(minutes=60)
    pass_time(conversation, "bot_idle")
    now = fresh(conversation)
    assert (now.state, now.close_reason, now.messages.get(sender="system").text) == (
        "closed", "expired", "Até mais!",
    )  # fmt: skip
    assert conversation.events.get(type="close").cause == "bot silence"


def test_the_last_word_is_not_for_who_wants_no_messages(
    acme: Organization, make_conversation: Make, flow: Flow
) -> None:
    DeskSettings.objects.create(organization=acme, bot_expired_notice="Até mais!")
    conversation = make_conversation("bot", flow=flow)
    Contact.objects.filter(pk=conversation.contact_id).update(opted_out_at=timezone.now())
    pass_time(conversation, "bot_idle")
    assert (fresh(conversation).close_reason, conversation.messages.exists()) == ("expired", False)


@pytest.mark.parametrize(
    ("own", "said"), [("Volte amanhã.", "Volte amanhã."), ("", "All our agents are busy")]
)
def test_a_wait_that_is_given_up_is_abandoned_with_the_queues_words(
    make_conversation: Make, make_queue: MakeQueue, own: str, said: str
) -> None:
    queue = make_queue("q", wait_limit_minutes=5, abandoned_notice=own)
    conversation = make_conversation("queued", queue=queue)
    Contact.objects.filter(pk=conversation.contact_id).update(language="en")
    pass_time(conversation, "queue_wait")
    now = fresh(conversation)
    assert (now.state, now.close_reason) == ("closed", "abandoned")
    assert now.messages.get().text.startswith(said)
    assert conversation.events.get(type="close").cause == "wait limit"


def test_a_worker_that_comes_too_late_does_nothing(make_conversation: Make, make_queue: MakeQueue) -> None:
    conversation = make_conversation("queued", queue=make_queue("q", wait_limit_minutes=5))
    Deadline.objects.filter(kind="queue_wait").update(due_at=timezone.now() - timedelta(minutes=1))
    (claimed,) = deadlines.claim_due()
    clockwork._queue_wait(claimed)
    with pytest.raises((promises.Void, clockwork.TransitionNotAllowed)):
        clockwork._queue_wait(claimed)
    assert (conversation.messages.count(), told(conversation, "close")) == (1, ["close"])


# ---------------------------------------------------------------- everybody
def pauses(conversation: Conversation, times: int) -> list[int]:
    """How long it is quiet after each alarm, in minutes."""
    found = []
    for _ in range(times):
        pass_time(conversation, "attention")
        found.append(round((due(conversation, "attention") - timezone.now()).total_seconds() / 60))
    return found


def test_who_waits_is_called_out_again_and_again_but_ever_more_rarely(
    make_conversation: Make, support: Queue
) -> None:
    conversation = make_conversation("queued", queue=support)
    assert pauses(conversation, 7) == [60, 120, 240, 480, 960, 1440, 1440]
    assert len(told(conversation, "attention")) == 7


def test_with_an_agent_a_quiet_day_is_called_out(taken: Conversation) -> None:
    assert pauses(taken, 1)[0] in (1439, 1440)
    assert told(taken, "attention") == []  # somebody was at it today
    long_ago = timezone.now() - timedelta(days=3)
    Conversation.objects.filter(pk=taken.pk).update(
        last_message_at=long_ago, last_activity_at=long_ago, assigned_at=long_ago
    )
    pass_time(taken, "attention")
    assert taken.events.get(type="attention").data == {"why": "no activity"}


def test_nobody_is_called_for_a_conversation_in_which_nobody_wrote(
    twilio_channel: ChannelAccount, make_contact: Callable[..., Contact]
) -> None:
    contact = make_contact()
    pk = open_conversation(twilio_channel, contact, contact.identities.first(), now=timezone.now())
    conversation = Conversation.objects.get(pk=pk)
    assert pauses(conversation, 1) == [1440]
    assert told(conversation, "attention") == []


@pytest.mark.parametrize("state", ["pending", "bot", "queued", "human_handoff"])
def test_whatever_is_open_has_a_next_deadline_whatever_passes(
    make_conversation: Make, support: Queue, flow: Flow, ana: Membership, state: str
) -> None:
    conversation = make_conversation(state, queue=support, flow=flow, agent=ana)
    for kind in Deadline.Kind.values:
        if fresh(conversation).state != "closed":
            assert Deadline.objects.filter(conversation=conversation).exists()
            pass_time(conversation, kind)


def test_a_desk_without_settings_has_the_defaults(acme: Organization, rival: Any) -> None:
    DeskSettings.objects.with_scopes_disabled().create(organization=rival, bot_silence_minutes=1)
    assert desk_settings().bot_silence_minutes == 24 * 60
