"""The queue of outgoing messages and the two senders of the command line: all by the one outbox."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from channels_twilio.tasks import send_outbound
from channels_twilio.worker import DRAIN, QUEUE, TwilioOutboundWorker
from conversations import tasks
from conversations.models import Delivery, Message
from pytake.celery import app
from pytake.management.commands.up import QUEUES


@pytest.fixture
def channel(fake, twilio_channel):
    twilio_channel.config = {**twilio_channel.config, "api_base": fake.url}
    twilio_channel.save(update_fields=["config"])
    return twilio_channel


def test_the_worker_is_registered_and_its_queue_is_served():
    task = app.tasks["channels_twilio.tasks.send_outbound"]
    assert isinstance(task, TwilioOutboundWorker)
    assert app.amqp.router.route({}, task.name)["queue"].name == QUEUE
    assert QUEUE in QUEUES


@pytest.mark.django_db(transaction=True)
def test_a_hint_on_the_queue_drains_the_one_outbox(channel, fake, acme):
    out = io.StringIO()
    call_command("send_message", "acme", "+5511987654321", "Olá", "--priority", "5", stdout=out)
    message = Message.objects.get(pk=out.getvalue().strip())
    assert Delivery.objects.get().priority == 5
    assert tasks.drain_outbox.name == DRAIN
    send_outbound.run()
    assert [request["body"] for request in fake.requests()] == ["Olá"]
    message.refresh_from_db()
    assert message.status == "queued"
    send_outbound.run()
    assert fake.report()["taken"] == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nobody", "+5511987654321", "Oi"), "no organization"),
        (("acme", "ten", "Oi"), "no phone number"),
        (("acme", "+5511987654321", "Oi", "--channel", "x"), "no such active channel"),
    ],
)
def test_what_cannot_be_sent_is_said_plainly(channel, arguments, words):
    with pytest.raises(CommandError, match=words):
        call_command("send_message", *arguments)
    assert not Delivery.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_webhook_is_posted_signed_to_this_machine_only(live_server, channel, settings):
    settings.PUBLIC_URL = live_server.url
    out = io.StringIO()
    call_command("send_webhook", str(channel.pk), "+5511987654321", "Oi", stdout=out)
    assert channel.inbox.get().kind == "message"
    settings.PUBLIC_URL = "https://desk.example.org"
    with pytest.raises(CommandError, match="not this machine"):
        call_command("send_webhook", str(channel.pk), "+5511987654321", "Oi")
    with pytest.raises(CommandError, match="no such Twilio channel"):
        call_command("send_webhook", "x", "+5511987654321", "Oi")
