"""Planned messages: once at their time, never against the gate, gone with the agent who planned them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership
from channels_hub.models import ChannelAccount
from contacts.models import Contact
from conversations import handoff, intake, laters, outbox
from conversations.conflicts import Conflict
from conversations.models import Conversation, Delivery, Later, Message
from conversations.moves import writing
from queues.models import Queue
from tests import twilio

pytestmark = pytest.mark.django_db
Make = Callable[..., Conversation]


@pytest.fixture
def mine(ana: Membership, make_conversation: Make, make_contact: Callable[..., Contact]) -> Conversation:
    """The person of `twilio.form`, so that their webhooks are about this conversation."""
    return make_conversation("human_handoff", agent=ana, contact=make_contact("Maria", "+5511987654321"))


def in_an_hour() -> datetime:
    return timezone.now() + timedelta(hours=1)


def planned(mine: Conversation, ana: Membership, **more: Any) -> Later:
    later, _new = laters.plan(mine.pk, agent=ana, text="Até já", **{"send_at": in_an_hour(), **more})
    return later


def make_due() -> None:
    Later.objects.update(send_at=timezone.now() - timedelta(seconds=1))


def close_window() -> None:
    Conversation.objects.update(last_inbound_at=timezone.now() - timedelta(hours=25))


def test_it_goes_out_at_its_time_and_once(ana: Membership, mine: Conversation) -> None:
    later = planned(mine, ana)
    assert (laters.release_due(), Message.objects.filter(direction="out").count()) == (0, 0)

    make_due()
    assert [laters.release_due() for _ in range(3)] == [1, 0, 0]

    later = Later.objects.get()
    message = Message.objects.get(direction="out")
    assert (later.state, later.message_id, message.text, message.agent) == ("sent", message.pk, "Até já", ana)
    assert Delivery.objects.get().origin == "agent"


def test_the_same_client_id_plans_once(ana: Membership, mine: Conversation) -> None:
    first, second = planned(mine, ana, client_id="c1"), planned(mine, ana, client_id="c1")
    assert (first.pk, Later.objects.count()) == (second.pk, 1)


def test_a_death_half_way_leaves_it_waiting(
    ana: Membership, mine: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(mine, ana)
    make_due()
    monkeypatch.setattr(laters, "_end", _dies)
    assert laters.release_due() == 0
    assert (Later.objects.get().state, Message.objects.filter(direction="out").count()) == ("waiting", 0)

    monkeypatch.undo()
    assert (laters.release_due(), Message.objects.filter(direction="out").count()) == (1, 1)


def _dies(*_given: Any) -> None:
    raise RuntimeError("the worker died")


def test_the_customers_message_releases_what_waited_for_it(
    ana: Membership, mine: Conversation, twilio_channel: ChannelAccount
) -> None:
    close_window()
    planned(mine, ana, send_at=None)
    assert laters.release_due() == 0

    twilio.post(twilio_channel, twilio.form("Voltei"))
    intake.drain()

    texts = list(Message.objects.order_by("seq").values_list("direction", "text"))
    assert (texts, Later.objects.get().state) == ([("in", "Voltei"), ("out", "Até já")], "sent")
    assert Conversation.objects.get().unread == 1


def test_the_gate_is_asked_again_and_the_reason_kept(ana: Membership, mine: Conversation) -> None:
    planned(mine, ana)
    make_due()
    close_window()

    assert laters.release_due() == 1
    later = Later.objects.get()
    assert (later.state, later.reason, Message.objects.filter(direction="out").count()) == (
        "refused", "window_closed", 0,
    )  # fmt: skip
    assert [one.pk for one in laters.shown(mine)] == [later.pk]
    assert mine.events.filter(type="later_refused", actor=ana).count() == 1


def test_a_template_goes_out_although_the_window_is_closed(ana: Membership, mine: Conversation) -> None:
    stored = {"ref": "HX1", "language": "pt_BR", "name": "oi", "body": {}}
    planned(mine, ana, template=stored)
    make_due()
    close_window()

    assert (laters.release_due(), Message.objects.get(direction="out").template) == (1, stored)


def test_what_nobody_wrote_for_is_given_up(ana: Membership, mine: Conversation) -> None:
    close_window()
    planned(mine, ana, send_at=None)
    Later.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    laters.release_due()
    assert (Later.objects.get().state, Later.objects.get().reason) == ("refused", "expired")


@pytest.mark.parametrize("how, why", [("close", "closed"), ("agent", "moved"), ("queue", "moved")])
def test_it_goes_with_the_agent(
    ana: Membership, bia: Membership, support: Queue, mine: Conversation, how: str, why: str
) -> None:
    planned(mine, ana)
    if how == "close":
        handoff.close(mine.pk, actor=ana)
    else:
        to = {"agent_id": bia.pk} if how == "agent" else {"queue_id": support.pk}
        handoff.transfer(mine.pk, actor=ana, **to)

    later = Later.objects.get()
    assert (later.state, later.reason) == ("cancelled", why)
    line = mine.events.get(type="later_cancelled")
    assert (line.data["count"], line.data["why"], line.actor) == (1, why, ana)
    make_due()
    assert laters.release_due() == 0


def test_only_who_has_it_plans_and_changes(ana: Membership, bia: Membership, mine: Conversation) -> None:
    later = planned(mine, ana)
    with pytest.raises(outbox.NotYours):
        laters.plan(mine.pk, agent=bia, text="x", send_at=in_an_hour())
    with pytest.raises(outbox.NotYours):
        laters.change(later.pk, agent=bia, send_at=in_an_hour())


def test_a_time_that_makes_no_sense_is_refused(ana: Membership, mine: Conversation) -> None:
    for when in (timezone.now(), timezone.now() + timedelta(days=91), None):
        with pytest.raises(Conflict):
            laters.plan(mine.pk, agent=ana, text="x", send_at=when)
    Contact.objects.update(opted_out_at=timezone.now())
    with pytest.raises(outbox.Refused, match="opted_out"):
        planned(mine, ana)
    assert not Later.objects.exists()


def test_no_more_than_twenty_wait(ana: Membership, mine: Conversation) -> None:
    for _n in range(laters.MOST):
        planned(mine, ana)
    with pytest.raises(Conflict):
        planned(mine, ana)


def test_its_time_is_changed_until_it_is_gone(ana: Membership, mine: Conversation) -> None:
    later, when = planned(mine, ana), timezone.now() + timedelta(days=2)
    assert laters.change(later.pk, agent=ana, send_at=when).send_at == when

    make_due()
    laters.release_due()
    with pytest.raises(outbox.TooLate):
        laters.change(later.pk, agent=ana, send_at=when)
    with pytest.raises(outbox.TooLate):
        laters.cancel(later.pk, actor=ana)


def test_what_was_withdrawn_is_not_sent(ana: Membership, mine: Conversation) -> None:
    laters.cancel(planned(mine, ana).pk, actor=ana)
    make_due()
    assert (laters.release_due(), laters.shown(mine)) == (0, [])


def test_a_conversation_with_the_bot_hears_nothing_planned(ana: Membership, mine: Conversation) -> None:
    """A row that a crash or an old version left behind must not speak for an agent who is gone."""
    close_window()
    planned(mine, ana, send_at=None)
    handoff.close(mine.pk, actor=ana)
    Later.objects.update(state="waiting")
    with writing(mine.pk) as conversation:
        laters.window_opened(conversation, timezone.now())
    assert not Message.objects.filter(direction="out").exists()
