"""While an agent writes, the customer's phone shows it, and nothing waits for that."""

from __future__ import annotations

import pytest

from channels_hub.fake_provider import FakeProvider
from conversations import composing, intake
from conversations.models import Conversation
from tests import twilio

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def fake(twilio_channel, settings):
    with FakeProvider() as provider:
        settings.PYTAKE_ALLOW_PRIVATE_HOSTS = [provider.url.removeprefix("http://")]
        twilio_channel.config = {**twilio_channel.config, "api_base": provider.url}
        twilio_channel.save(update_fields=["config"])
        yield provider


def test_the_platform_is_told_which_message_is_being_answered(fake, twilio_channel):
    forms = [twilio.form(text) for text in ("Oi", "Alô?")]
    for form in forms:
        twilio.post(twilio_channel, form)
    intake.drain()
    composing.show(Conversation.objects.get().pk)
    assert fake.report()["typing"] == [forms[-1]["MessageSid"]]


def test_nothing_is_told_where_nobody_wrote_or_nobody_is_there(fake, make_conversation, ana):
    talk = make_conversation("human_handoff", agent=ana)
    talk.messages.all().delete()
    composing.show(talk.pk)
    assert fake.report()["typing"] == []
    fake.stop()
    composing.show(talk.pk)
