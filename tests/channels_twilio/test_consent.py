"""Who wants to hear no more: by Twilio's verdict, by word, by error 21610."""

from __future__ import annotations

import pytest

from accounts.models import Membership
from channels_hub.contract import Kind
from channels_hub.fake_provider import FakeProvider
from channels_hub.fake_script import Callbacks
from channels_twilio.adapter import TwilioSms, TwilioWhatsApp
from contacts.models import Contact
from conversations import intake, outbox, sending
from conversations.models import Message
from tests import twilio
from tests.channels_twilio.recorded import BASE, SID, changed

WHATSAPP = TwilioWhatsApp({"account_sid": SID}, "+551130000000", callback_url=BASE)
SMS = TwilioSms({"account_sid": SID}, "+12125550100", callback_url=BASE)


def kinds(adapter, **fields):
    name = "text" if adapter is WHATSAPP else "sms_text"
    return [event.kind for event in adapter.parse(changed(name, **fields))]


@pytest.mark.parametrize("adapter", [WHATSAPP, SMS], ids=["whatsapp", "sms"])
@pytest.mark.parametrize("text", ["SAIR", "sair", " Parar. ", "CANCELAR!", "Stop"])
def test_words_that_end_it(adapter, text):
    assert kinds(adapter, Body=text) == [Kind.OPT_OUT, Kind.MESSAGE]


@pytest.mark.parametrize("text", ["START", "unstop", "Iniciar"])
def test_words_that_begin_it_again(text):
    assert kinds(SMS, Body=text) == kinds(WHATSAPP, Body=text) == [Kind.OPT_IN, Kind.MESSAGE]


@pytest.mark.parametrize("text", ["Quero sair mais cedo", "cancelar meu pedido", "", "s a i r", "parar?"])
def test_words_within_a_sentence_mean_nothing(text):
    assert kinds(SMS, Body=text) == kinds(WHATSAPP, Body=text) == [Kind.MESSAGE]


@pytest.mark.parametrize("text", ["STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "OPTOUT", "REVOKE"])
def test_words_of_carriers_count_for_sms_only(text):
    assert kinds(SMS, Body=text) == [Kind.OPT_OUT, Kind.MESSAGE]
    assert kinds(WHATSAPP, Body=text) == [Kind.MESSAGE]


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ("STOP", [Kind.OPT_OUT, Kind.MESSAGE]),
        ("START", [Kind.OPT_IN, Kind.MESSAGE]),
        ("HELP", [Kind.MESSAGE]),
    ],
)
def test_the_verdict_of_twilio_counts_more_than_the_words(verdict, expected):
    assert kinds(SMS, Body="stop", OptOutType=verdict) == expected


def test_a_tapped_button_is_an_answer_whatever_its_title():
    tapped = changed("button_bsuid", Body="Cancelar", ButtonText="Cancelar")
    assert [event.kind for event in WHATSAPP.parse(tapped)] == [Kind.MESSAGE]


@pytest.mark.django_db(transaction=True)
def test_who_opts_out_is_noted_and_the_message_is_kept(twilio_channel, flow):
    twilio.post(twilio_channel, twilio.form("SAIR"))
    intake.drain()
    assert Contact.objects.get().opted_out_at
    assert Message.objects.get(direction=Message.Direction.IN).text == "SAIR"
    twilio.post(twilio_channel, twilio.form("Iniciar"))
    intake.drain()
    assert Contact.objects.get().opted_out_at is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", ["answer", "report"])
def test_error_21610_is_an_opt_out(way, twilio_channel, make_conversation, ana: Membership, settings):
    talk = make_conversation("human_handoff", agent=ana)
    with FakeProvider(callbacks=Callbacks(statuses=())) as fake:
        settings.PYTAKE_ALLOW_PRIVATE_HOSTS = [fake.url.removeprefix("http://")]
        twilio_channel.config = {**twilio_channel.config, "api_base": fake.url}
        twilio_channel.save(update_fields=["config"])
        fake.script([{"status": 400, "code": 21610}] if way == "answer" else [])
        message = outbox.reply(talk.pk, agent=ana, text="Oi")[0]
        sending.drain(threads=1)
    delivery = message.deliveries.get()
    if way == "report":
        twilio.post_status(
            twilio_channel, delivery.provider_id, "failed", str(delivery.pk), ErrorCode="21610"
        )
        intake.drain()
    delivery.refresh_from_db()
    talk.refresh_from_db()
    assert (delivery.status, delivery.error_code) == ("failed", "21610")
    assert talk.contact.opted_out_at
    assert talk.identity.unreachable_at
    with pytest.raises(outbox.Refused, match="opted_out"):
        outbox.reply(talk.pk, agent=ana, text="Oi?")
