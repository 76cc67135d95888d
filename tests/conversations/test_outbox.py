"""From the outbox to the provider, judged by the fake provider: order, outcome classes, statuses, consent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.models import Membership
from channels_hub import http
from channels_hub.contract import Delivery as Report
from channels_hub.contract import State
from channels_hub.fake_provider import FakeProvider
from channels_hub.models import ChannelAccount
from conversations import handoff, intake, outbox, receipts, sending, settling
from conversations.models import Conversation, Delivery, Message
from conversations.moves import writing
from queues.models import Queue
from tests import twilio

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., Conversation]


@pytest.fixture
def talk(make_conversation: Make, ana: Membership) -> Conversation:
    return make_conversation("human_handoff", agent=ana)


def due_now() -> None:
    Delivery.objects.update(due_at=timezone.now())


def send(text: str, talk: Conversation, ana: Membership) -> Message:
    return outbox.reply(talk.pk, agent=ana, text=text)[0]


def bodies(fake: FakeProvider) -> list[str]:
    return [request["body"] for request in fake.requests() if request["taken"]]


def test_a_reply_is_handed_over_once_with_our_reference(
    fake: FakeProvider, talk: Conversation, ana: Membership
) -> None:
    message = send("Bom dia!", talk, ana)
    assert sending.drain(threads=1) == 1
    message.refresh_from_db()
    delivery = message.deliveries.get()
    assert (message.status, delivery.provider_id[:2]) == ("queued", "SM")
    (request,) = fake.requests()
    assert (request["body"], request["ref"]) == ("Bom dia!", str(delivery.pk))
    assert sending.drain(threads=1) == 0


def test_messages_of_one_conversation_keep_their_order_whatever_their_priority(
    fake: FakeProvider, talk: Conversation, ana: Membership
) -> None:
    for number in range(5):
        send(str(number), talk, ana)
    Delivery.objects.filter(message__text="4").update(priority=10)
    sending.drain(threads=4)
    assert bodies(fake) == ["0", "1", "2", "3", "4"]


def test_priority_decides_between_conversations(
    fake: FakeProvider, make_conversation: Make, ana: Membership
) -> None:
    slow, urgent = (make_conversation("human_handoff", agent=ana) for _ in range(2))
    send("slow", slow, ana)
    send("urgent", urgent, ana)
    Delivery.objects.filter(message__text="urgent").update(priority=10)
    sending.drain(threads=1)
    assert bodies(fake) == ["urgent", "slow"]


def test_surely_not_handed_over_is_tried_again_up_to_the_limit(
    fake: FakeProvider, talk: Conversation, ana: Membership
) -> None:
    fake.script([], then="503")
    message = send("oi", talk, ana)
    seen = []
    for _ in range(6):
        due_now()
        sending.drain(threads=1)
        message.refresh_from_db()
        seen.append(message.status)
    assert seen == ["retrying", "retrying", "retrying", "failed", "failed", "failed"]
    assert len(fake.requests()) == 4


def test_retry_after_is_obeyed_and_costs_no_attempt(
    fake: FakeProvider, talk: Conversation, ana: Membership
) -> None:
    fake.script([{"status": 429, "retry_after": 30}])
    message = send("oi", talk, ana)
    sending.drain(threads=1)
    delivery = message.deliveries.get()
    assert (delivery.status, delivery.attempts) == ("retrying", 0)
    assert timedelta(seconds=25) < delivery.due_at - timezone.now() < timedelta(seconds=31)


def test_a_lost_answer_is_unknown_and_never_sent_again_by_the_machine(
    fake: FakeProvider, talk: Conversation, ana: Membership
) -> None:
    fake.script(["drop_after"])
    message = send("oi", talk, ana)
    sending.drain(threads=1)
    due_now()
    sending.drain(threads=1)
    message.refresh_from_db()
    assert (message.status, len(fake.requests())) == ("unknown", 1)


def test_a_status_with_our_reference_resolves_the_unknown(
    fake: FakeProvider, talk: Conversation, ana: Membership, twilio_channel: ChannelAccount
) -> None:
    fake.script(["drop_after"])
    message = send("oi", talk, ana)
    sending.drain(threads=1)
    ref = str(message.deliveries.get().pk)
    assert twilio.post_status(twilio_channel, "SM" + "5" * 32, "delivered", ref).status_code in (200, 204)
    intake.drain()
    message.refresh_from_db()
    assert (message.status, message.deliveries.get().provider_id) == ("delivered", "SM" + "5" * 32)


def test_a_worker_that_died_leaves_unknown_not_a_second_call(
    fake: FakeProvider, talk: Conversation, ana: Membership
) -> None:
    message = send("oi", talk, ana)
    assert sending.claim() is not None  # the claim is committed, then the worker dies
    Delivery.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert settling.expire_leases() == 1
    due_now()
    sending.drain(threads=1)
    message.refresh_from_db()
    assert (message.status, fake.requests()) == ("unknown", [])


def test_a_worker_that_slept_while_it_connected_sends_nothing_any_more(
    fake: FakeProvider, talk: Conversation, ana: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = send("oi", talk, ana)
    row = replace(sending.claim().rows[0], until=time.monotonic() + 0.1)
    monkeypatch.setattr(http, "resolve", lambda host, _port: time.sleep(0.2) or [host])
    settling.settle([sending.call(row)])
    delivery = message.deliveries.get()
    assert (delivery.status, delivery.error_code, fake.requests()) == ("failed", "late", [])


def test_an_unknown_message_holds_the_next_one_back_for_a_while(
    fake: FakeProvider, talk: Conversation, ana: Membership
) -> None:
    fake.script(["drop_after"])
    send("um", talk, ana)
    send("dois", talk, ana)
    sending.drain(threads=1)
    assert bodies(fake) == ["um"]
    Delivery.objects.filter(status="unknown").update(settled_at=timezone.now() - timedelta(seconds=31))
    sending.drain(threads=1)
    assert bodies(fake) == ["um", "dois"]


def test_a_person_may_send_an_unconfirmed_message_again(
    fake: FakeProvider, talk: Conversation, ana: Membership
) -> None:
    fake.script(["drop_before"])
    message = send("oi", talk, ana)
    sending.drain(threads=1)
    outbox.retry(message.pk, actor=ana)
    sending.drain(threads=1)
    message.refresh_from_db()
    assert (message.status, bodies(fake)) == ("queued", ["oi"])
    with pytest.raises(outbox.TooLate):
        outbox.retry(message.pk, actor=ana)


@pytest.mark.parametrize(
    "order",
    [("sent", "delivered", "read"), ("read", "delivered", "sent"), ("delivered", "sent", "read", "sent")],
)
def test_status_only_rises_in_any_order(
    order: tuple[str, ...],
    fake: FakeProvider,
    talk: Conversation,
    ana: Membership,
    twilio_channel: ChannelAccount,
) -> None:
    message = send("oi", talk, ana)
    sending.drain(threads=1)
    delivery = message.deliveries.get()
    for status in order:
        report = Report(delivery.provider_id, State(status), timezone.now())
        receipts.apply_report(twilio_channel, report)
    message.refresh_from_db()
    assert message.status == "read"
    assert message.read_at is not None


def test_a_report_may_be_faster_than_the_answer(
    fake: FakeProvider, talk: Conversation, ana: Membership, twilio_channel: ChannelAccount
) -> None:
    message = send("oi", talk, ana)
    (claimed,) = sending.claim().rows
    report = Report("SM1", State.DELIVERED, timezone.now(), client_ref=str(claimed.delivery_id))
    receipts.apply_report(twilio_channel, report)
    settling.settle([sending.call(claimed)])
    message.refresh_from_db()
    assert message.status == "delivered"


def test_a_closed_window_is_checked_at_the_claim(
    fake: FakeProvider, talk: Conversation, ana: Membership
) -> None:
    message = send("oi", talk, ana)
    Conversation.objects.update(last_inbound_at=timezone.now() - timedelta(hours=24))
    sending.drain(threads=1)
    message.refresh_from_db()
    assert (message.status, message.error_code, fake.requests()) == ("failed", "window_closed", [])
    with pytest.raises(outbox.Refused, match="window_closed"):
        send("outra", talk, ana)


def test_opt_out_between_writing_and_sending_is_respected(
    fake: FakeProvider, talk: Conversation, ana: Membership
) -> None:
    message = send("oi", talk, ana)
    talk.contact.opted_out_at = timezone.now()
    talk.contact.save(update_fields=["opted_out_at"])
    sending.drain(threads=1)
    message.refresh_from_db()
    assert (message.status, message.error_code) == ("failed", "opted_out")


def test_what_grew_too_old_is_not_sent(fake: FakeProvider, talk: Conversation, ana: Membership) -> None:
    message = send("oi", talk, ana)
    Delivery.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    sending.drain(threads=1)
    message.refresh_from_db()
    assert (message.status, fake.requests()) == ("expired", [])


def test_refused_credentials_stop_the_channel_and_burn_no_attempt(
    fake: FakeProvider, talk: Conversation, ana: Membership, twilio_channel: ChannelAccount
) -> None:
    fake.script([{"status": 401}])
    message = send("oi", talk, ana)
    sending.drain(threads=1)
    due_now()
    assert sending.drain(threads=1) == 0
    twilio_channel.refresh_from_db()
    delivery = message.deliveries.get()
    assert (twilio_channel.health, delivery.status, delivery.attempts) == ("attention", "retrying", 0)


def test_a_message_can_be_withdrawn_until_it_is_handed_over(
    fake: FakeProvider, talk: Conversation, ana: Membership
) -> None:
    message = outbox.cancel(send("oi", talk, ana).pk, actor=ana)
    message.refresh_from_db()
    assert message.status == "cancelled"
    sending.drain(threads=1)
    assert fake.requests() == []
    with pytest.raises(outbox.TooLate):
        outbox.cancel(message.pk, actor=ana)


def test_a_long_text_goes_out_in_parts_in_order(
    fake: FakeProvider, talk: Conversation, ana: Membership
) -> None:
    text = " ".join(f"palavra{n}" for n in range(400))
    message = send(text, talk, ana)
    sending.drain(threads=4)
    assert " ".join(bodies(fake)) == text
    assert all(len(body) <= 1600 for body in bodies(fake))
    message.refresh_from_db()
    assert (message.status, message.deliveries.count()) == ("queued", 3)


def test_the_same_client_id_is_one_message(fake: FakeProvider, talk: Conversation, ana: Membership) -> None:
    client_id = str(uuid4())
    first, new = outbox.reply(talk.pk, agent=ana, text="oi", client_id=client_id)
    again, second = outbox.reply(talk.pk, agent=ana, text="oi", client_id=client_id)
    assert (first.pk == again.pk, new, second) == (True, True, False)


def test_a_reply_from_an_old_view_is_stopped(
    fake: FakeProvider, talk: Conversation, ana: Membership, bia: Membership
) -> None:
    seen = talk.seq
    send("respondido", talk, ana)
    handoff.transfer(talk.pk, actor=ana, agent_id=bia.pk)
    with pytest.raises(outbox.StaleView) as caught:
        outbox.reply(talk.pk, agent=bia, text="oi", last_seen_seq=seen)
    assert [m.text for m in caught.value.missed] == ["respondido"]
    assert outbox.reply(talk.pk, agent=bia, text="oi", last_seen_seq=seen, force=True)[1]


def test_only_the_agent_who_has_it_answers(talk: Conversation, bia: Membership) -> None:
    with pytest.raises(outbox.NotYours):
        outbox.reply(talk.pk, agent=bia, text="oi")


def test_bot_messages_not_yet_handed_over_are_withdrawn_at_a_take_over(
    fake: FakeProvider, make_conversation: Make, flow: object, ana: Membership
) -> None:
    conversation = make_conversation("bot", flow=flow)
    with writing(conversation.pk) as locked:
        draft = outbox.Draft(text="menu", sender="bot", origin="bot")
        message = outbox.say(locked, draft, now=timezone.now())
    handoff.take_over(conversation.pk, agent_id=ana.pk)
    sending.drain(threads=1)
    message.refresh_from_db()
    assert (message.status, fake.requests()) == ("cancelled", [])


def test_send_message_via_queue_keeps_its_published_shape(
    fake: FakeProvider, twilio_channel: ChannelAccount, make_conversation: Make
) -> None:
    make_conversation(contact=None)
    phone = make_conversation("pending").contact.identities.get().value
    answer = outbox.send_message_via_queue(
        phone, "Pedido enviado", twilio_channel.organization_id, priority=5
    )
    assert (answer["success"], answer["via_queue"]) == (True, True)
    sending.drain(threads=1)
    assert bodies(fake) == ["Pedido enviado"]
    assert outbox.get_stats()["sent"] == 1


def test_with_the_broker_away_the_row_is_the_same_and_the_poller_drains_it(
    fake: FakeProvider, twilio_channel: ChannelAccount, make_conversation: Make, support: Queue
) -> None:
    phone = make_conversation("pending").contact.identities.get().value
    answer = outbox.send_message_via_queue(phone, "oi", twilio_channel.organization_id, use_queue=False)
    assert (outbox.get_queue_size(), outbox.get_processing_count()) == (1, 0)
    sending.drain(threads=2)
    assert Message.objects.get(pk=answer["message_id"]).status == "queued"


def test_an_integrator_may_address_somebody_who_never_wrote_and_the_platform_decides(
    fake: FakeProvider, twilio_channel: ChannelAccount
) -> None:
    answer = outbox.send_message_via_queue("+5511912340000", "Pedido enviado", twilio_channel.organization_id)
    sending.drain(threads=1)
    assert bodies(fake) == ["Pedido enviado"]
    report = Report("", State.FAILED, timezone.now(), code="63016")
    delivery = Delivery.objects.get(message=answer["message_id"])
    receipts.apply_report(twilio_channel, replace(report, client_ref=str(delivery.pk)))
    message = Message.objects.get(pk=answer["message_id"])
    assert (message.status, message.error_code) == ("failed", "63016")
