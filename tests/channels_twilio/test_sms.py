"""SMS and MMS: the samples of the protocol, who sends, what is shared with WhatsApp and what is not."""

import pytest

from channels_hub.contract import AccountKey, Address, Kind, MediaRef, Outcome, OutMessage, State
from channels_hub.lookup import by_body
from channels_hub.models import ChannelAccount
from channels_twilio.adapter import TwilioSms, TwilioWhatsApp
from tests.channels_twilio.recorded import BASE, SID, TOKEN, changed, recorded

MG = "MG00000000000000000000000000000001"
SMS = TwilioSms({"account_sid": SID}, "+12125550100", callback_url=BASE)
SERVICE = TwilioSms({"account_sid": SID, "messaging_service_sid": MG}, "", callback_url=BASE)
SECRETS = {"auth_token": TOKEN}
BOB = Address("phone", "+16175550123", "+16175550123")


def event(request, adapter=SMS):
    (found,) = adapter.parse(request)
    return found


# ------------------------------------------------------------------ in
def test_a_text():
    found = event(recorded("sms_text"))
    assert (found.kind, found.text) == (Kind.MESSAGE, "Where is my order?")
    assert [(a.scheme, a.value, a.raw) for a in found.sender.addresses] == [
        ("phone", "+16175550123", "+16175550123")
    ]


def test_pictures_and_cards_of_one_message():
    found = event(recorded("sms_media"))
    assert [(file.kind, file.mime) for file in found.media] == [
        ("image", "image/jpeg"), ("file", "text/vcard"),
    ]  # fmt: skip


def test_a_status():
    found = event(recorded("sms_status"))
    assert (found.kind, found.status.state, found.status.client_ref) == (
        Kind.STATUS, State.DELIVERED, "0f1d8c1e",
    )  # fmt: skip


def test_a_short_code_writes_and_is_written_to():
    short = TwilioSms({"account_sid": SID}, "28849", callback_url=BASE)
    assert event(changed("sms_text", To="28849", From="72975"), short).sender.addresses[0].value == "72975"
    assert event(changed("sms_text", To="28850"), short).kind is Kind.NOTICE


def test_a_name_as_sender_is_compared_as_it_is():
    named = TwilioSms({"account_sid": SID}, "Acme", callback_url=BASE)
    assert event(changed("sms_status", From="ACME"), named).kind is Kind.STATUS
    assert event(changed("sms_status", From="Rival"), named).kind is Kind.NOTICE


def test_whatsapp_and_sms_of_one_number_are_two_channels():
    whatsapp = TwilioWhatsApp({"account_sid": SID}, "+12125550100", callback_url=BASE)
    assert event(recorded("sms_text"), whatsapp).meta == {"reason": "To is on another platform"}
    assert event(changed("sms_text", To="whatsapp:+12125550100")).kind is Kind.NOTICE
    assert whatsapp.accounts(recorded("sms_text")) == ()
    assert SMS.accounts(recorded("text")) == ()


def test_a_service_takes_what_comes_to_any_of_its_numbers_and_nothing_else():
    assert event(changed("sms_text", To="+12125550199", MessagingServiceSid=MG), SERVICE).kind is Kind.MESSAGE
    assert event(changed("sms_text", MessagingServiceSid="MG9"), SERVICE).kind is Kind.NOTICE


# ------------------------------------------------------------------ which channel
def test_the_service_is_looked_up_before_the_number():
    assert SMS.accounts(recorded("sms_text")) == (AccountKey(SID, "+12125550100"),)
    assert SMS.accounts(recorded("sms_status")) == (
        AccountKey(SID, config={"messaging_service_sid": MG}),
        AccountKey(SID, "+12125550100"),
    )


@pytest.mark.django_db
def test_the_channel_of_a_call_that_names_none_in_its_address(acme):
    def channel(kind, address, **config):
        return ChannelAccount.objects.create(
            organization=acme, kind=kind, name=address, address=address,
            config={"account_sid": SID, **config},
        )  # fmt: skip

    number = channel("twilio_sms", "+12125550100")
    service = channel("twilio_sms", "", messaging_service_sid=MG)
    channel("twilio_sms", "", messaging_service_sid="MG9")
    channel("twilio_whatsapp", "+12125550100")
    assert by_body("twilio", recorded("sms_text")) == [number]
    assert by_body("twilio", recorded("sms_status")) == [service, number]


# ------------------------------------------------------------------ out
@pytest.mark.parametrize(
    ("address", "config", "expected"),
    [
        ("+12125550100", {}, {"From": "+12125550100"}),
        ("28849", {}, {"From": "28849"}),
        ("Acme", {}, {"From": "Acme"}),
        ("", {"messaging_service_sid": MG}, {"MessagingServiceSid": MG}),
        ("+12125550100", {"smart_encoded": True}, {"From": "+12125550100", "SmartEncoded": "true"}),
    ],
)
def test_who_sends(fake, http, address, config, expected):
    adapter = TwilioSms({"account_sid": SID, "api_base": fake.url, **config}, address, callback_url=BASE)
    assert adapter.send(OutMessage("r", BOB, text="Hi"), http, SECRETS).outcome is Outcome.ACCEPTED
    assert fake.requests()[-1]["form"] == expected | {
        "To": "+16175550123", "Body": "Hi", "StatusCallback": f"{BASE}status?ref=r",
    }  # fmt: skip


def test_a_person_known_from_whatsapp_is_written_to_by_number(fake, http):
    adapter = TwilioSms({"account_sid": SID, "api_base": fake.url}, "+12125550100")
    ana = Address("phone", "+5511987654321", "whatsapp:+5511987654321")
    adapter.send(OutMessage("r", ana, text="Oi"), http, SECRETS)
    assert fake.requests()[-1]["to"] == "+5511987654321"


def test_ten_files_go_with_one_message_and_the_eleventh_with_another(fake, http):
    adapter = TwilioSms({"account_sid": SID, "api_base": fake.url}, "+12125550100")
    files = tuple(MediaRef("image", url=f"https://x/{number}.jpg") for number in range(11))
    for part in adapter.plan(OutMessage("r", BOB, media=files)):
        assert adapter.send(part, http, SECRETS).outcome is Outcome.ACCEPTED
    first, second = (request["form"] for request in fake.requests())
    assert sorted(value for name, value in first.items() if name.startswith("MediaUrl")) == sorted(
        file.url for file in files[:10]
    )
    assert second["MediaUrl"] == "https://x/10.jpg"


def test_options_are_numbers_and_there_is_no_window():
    assert SMS.window.base is None
    assert not SMS.caps.typing_seconds
    assert not SMS.caps.buttons
