"""What the console shows by its API: every page of each list, and the one place that counts for a channel."""

import json

import pytest

from channels_hub.contract import HttpResponse, NotSent, Outcome
from channels_hub.fake_account import NUMBER, SERVICE
from channels_twilio.adapter import TwilioSms, TwilioWhatsApp
from tests.channels_twilio.recorded import BASE, SID, TOKEN

SECRETS = {"auth_token": TOKEN}
OWN_SMS = "+12125550100"


@pytest.fixture
def make(fake):
    def channel(adapter, address="", **config):
        given = {"account_sid": SID, "api_base": fake.url, **config}
        return adapter(given, address, callback_url=BASE)

    return channel


def states(found):
    return {hook.name: hook.found for hook in found.hooks}


def test_each_kind_lists_what_it_can_send_with(make, http):
    sms = make(TwilioSms, OWN_SMS).look(http, SECRETS)
    assert [one.shown for one in sms.senders] == [OWN_SMS, SERVICE]
    whatsapp = make(TwilioWhatsApp, NUMBER).look(http, SECRETS)
    assert [(one.shown, one.name) for one in whatsapp.senders] == [(NUMBER, "Acme"), (SERVICE, "Suporte")]


def test_a_sender_that_is_not_online_says_so(make, http, fake):
    fake.account.change("senders", fake.account.rows("senders")[0]["sid"], {"status": "OFFLINE"})
    assert make(TwilioWhatsApp, NUMBER).look(http, SECRETS).senders[0].state == "OFFLINE"


@pytest.mark.parametrize(
    ("adapter", "address", "config", "names"),
    [
        (TwilioSms, OWN_SMS, {}, {"inbound", "fallback"}),
        (TwilioWhatsApp, NUMBER, {}, {"inbound", "fallback", "status"}),
        (TwilioSms, "", {"messaging_service_sid": SERVICE}, {"inbound", "fallback", "status"}),
        (TwilioWhatsApp, NUMBER, {"messaging_service_sid": SERVICE}, {"inbound", "fallback", "status"}),
    ],
)
def test_the_addresses_are_set_where_they_count(make, http, adapter, address, config, names):
    channel = make(adapter, address, **config)
    before = channel.look(http, SECRETS)
    assert before.can_set
    assert {name for name, found in states(before).items() if found == ""} == names
    assert channel.set_hooks(http, SECRETS).outcome is Outcome.ACCEPTED
    after = channel.look(http, SECRETS)
    assert {hook.name for hook in after.hooks if hook.is_set} == names


@pytest.mark.parametrize(
    ("adapter", "address", "config"),
    [
        (TwilioSms, "", {}),
        (TwilioSms, "28849", {}),
        (TwilioSms, "", {"messaging_service_sid": "MG-gone"}),
        (TwilioWhatsApp, "+14155238886", {}),
        (TwilioWhatsApp, "+5511900000000", {}),
    ],
)
def test_what_the_api_does_not_have_is_left_to_people(make, http, adapter, address, config):
    channel = make(adapter, address, **config)
    found = channel.look(http, SECRETS)
    assert (found.can_set, set(states(found).values())) == (False, {None})
    assert found.note
    assert channel.set_hooks(http, SECRETS).code == "by_hand"


def test_the_right_address_without_its_ending_is_told_apart(make, http, fake):
    channel = make(TwilioSms, OWN_SMS)
    fake.account.change("numbers", "PN1", {"sms_url": f"{BASE}inbound", "sms_fallback_url": "https://x.test"})
    inbound, fallback, _status = channel.look(http, SECRETS).hooks
    assert (inbound.is_set, inbound.lacks_options) == (False, True)
    assert (fallback.is_set, fallback.lacks_options) == (False, False)


class Pages:
    """Two pages of each list; the second is announced on another host, as a trap."""

    def __init__(self):
        self.asked = []

    def request(self, method, url, **options):
        self.asked.append(url)
        name = "senders" if "Senders" in url else "services"
        page = {name: [{"sid": f"{name}{len(self.asked)}", "sender_id": "whatsapp:+1"}]}
        if "Page=1" not in url:
            path = url.partition("twilio.com")[2].partition("?")[0]
            page["meta"] = {"next_page_url": f"https://evil.example{path}?Page=1"}
        return HttpResponse(200, {}, json.dumps(page).encode())


def test_every_page_is_read_from_twilio_alone():
    http = Pages()
    channel = TwilioWhatsApp({"account_sid": SID}, NUMBER, callback_url=BASE)
    assert len(channel.look(http, SECRETS).senders) == 4
    assert {url.partition(".com")[0] for url in http.asked} == {"https://messaging.twilio"}


def test_a_list_that_is_refused_is_no_empty_list(make, http):
    with pytest.raises(NotSent):
        make(TwilioSms, OWN_SMS).look(http, {"auth_token": ""})
