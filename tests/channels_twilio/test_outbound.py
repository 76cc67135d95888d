"""Real requests to the fake Twilio: what leaves, what comes back, what it means."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from channels_hub.contract import (
    Address,
    MediaRef,
    MediaUnavailable,
    NotSent,
    Option,
    Outcome,
    OutMessage,
    State,
    Template,
    Thread,
)
from channels_twilio import buttons
from channels_twilio.adapter import TwilioWhatsApp
from tests.channels_twilio.recorded import BASE, SID, TOKEN

ANA = Address("phone", "+5511987654321", "whatsapp:+5511987654321")
SECRETS = {"auth_token": TOKEN}
MENU = (Option("a", "Pedido"), Option("b", "Boleto"), Option("c", "Atendente"))


@pytest.fixture
def say(twilio, http):
    def send(text="", **content):
        [part] = twilio.plan(OutMessage("0f1d8c1e", ANA, text=text, **content))
        return twilio.send(part, http, SECRETS)

    return send


@pytest.fixture
def last_form(fake):
    return lambda: fake.requests()[-1]["form"]


def test_a_text_is_accepted_with_its_sid(say, last_form):
    result = say("Olá, Ana")
    assert (result.outcome, result.state) == (Outcome.ACCEPTED, State.QUEUED)
    assert result.provider_id.startswith("SM")
    assert last_form() == {
        "To": "whatsapp:+5511987654321",
        "From": "whatsapp:+551130000000",
        "Body": "Olá, Ana",
        "StatusCallback": f"{BASE}status?ref=0f1d8c1e",
    }


def test_a_person_known_by_id_gets_no_plus_sign(twilio, http, last_form):
    to = Address("bsuid", "BR.1502576394655843")
    twilio.send(OutMessage("r", to, text="oi"), http, SECRETS)
    assert last_form()["To"] == "whatsapp:BR.1502576394655843"


def test_a_picture_a_place_and_a_template(say, last_form):
    say("Veja", media=(MediaRef("image", url="https://x/1.jpg"),))
    assert (last_form()["MediaUrl"], last_form()["Body"]) == ("https://x/1.jpg", "Veja")
    say(location=(-23.5, -46.6, "MASP"))
    assert (last_form()["PersistentAction"], last_form()["Body"]) == ("geo:-23.5,-46.6|MASP", "MASP")
    say(template=Template("HX404", body={"1": "Ana"}))
    assert last_form()["ContentSid"] == "HX404"
    assert json.loads(last_form()["ContentVariables"]) == {"1": "Ana"}


def test_a_messaging_service_stands_beside_the_sender(fake, http, last_form):
    adapter = TwilioWhatsApp({"account_sid": SID, "api_base": fake.url, "messaging_service_sid": "MG1"}, "")
    adapter.send(OutMessage("r", ANA, text="oi"), http, SECRETS)
    assert last_form()["MessagingServiceSid"] == "MG1"
    assert "From" not in last_form()
    assert "StatusCallback" not in last_form()


# ------------------------------------------------------------------ buttons
def test_buttons_become_a_template_made_once(say, fake, last_form):
    first, second = say("Como posso ajudar?", options=MENU), say("E agora?", options=MENU)
    assert first.outcome is second.outcome is Outcome.ACCEPTED
    assert fake.report()["contents"] == 1
    assert "Body" not in last_form()
    assert [seen["body"] for seen in fake.requests()] == ["Como posso ajudar?", "E agora?"]


def test_line_breaks_are_in_the_template_because_variables_may_hold_none(say, fake, last_form):
    text = "Olá!\n\nEscolha:\tum      item"
    assert say(text, options=MENU).outcome is Outcome.ACCEPTED
    assert json.loads(last_form()["ContentVariables"]) == {"1": "Olá!", "2": "Escolha: um item"}
    assert fake.requests()[-1]["body"] == "Olá!\n\nEscolha: um item"


def test_four_options_are_a_list(say, fake):
    say("Escolha", options=(*MENU, Option("d", "Outro", "mais opções")))
    [content] = fake._contents.values()
    items = content["types"]["twilio/list-picker"]["items"]
    assert items[3] == {"item": "Outro", "id": "d", "description": "mais opções"}
    assert content["variables"].keys() == {"1"}


def test_a_text_of_too_many_lines_is_sent_as_numbers(twilio, http, fake):
    text = "\n".join("x" for _line in range(buttons.MAX_VARIABLES + 1))
    part = OutMessage("r", ANA, text=text, options=MENU, options_style="buttons")
    assert twilio.send(part, http, SECRETS).outcome is Outcome.ACCEPTED
    assert fake.requests()[-1]["body"].endswith("3. Atendente")
    assert fake.report()["contents"] == 0


def test_a_template_that_was_deleted_is_made_anew(say, fake):
    say("Escolha", options=MENU)
    fake._contents.clear()
    assert say("Escolha", options=MENU).outcome is Outcome.ACCEPTED
    assert (fake.report()["taken"], fake.report()["contents"]) == (2, 1)


def test_a_template_that_cannot_be_made_sends_nothing_and_may_be_tried_again(say, fake):
    fake.stop()
    assert say("Escolha", options=MENU).outcome is Outcome.RETRYABLE
    assert fake.requests() == []


# ------------------------------------------------------------------ failures
@pytest.mark.parametrize(
    ("step", "outcome", "taken"),
    [
        ("429", Outcome.RATE_LIMITED, 0),
        ("500", Outcome.RETRYABLE, 0),
        ("503", Outcome.RETRYABLE, 0),
        ("drop_before", Outcome.AMBIGUOUS, 0),
        ("drop_after", Outcome.AMBIGUOUS, 1),
        ("half", Outcome.AMBIGUOUS, 1),
        ({"status": 401}, Outcome.AUTH, 0),
        ({"status": 400, "code": 63016}, Outcome.WINDOW_CLOSED, 0),
        ({"status": 400, "code": 21610}, Outcome.UNREACHABLE, 0),
    ],
)
def test_every_failure_has_its_meaning(say, fake, step, outcome, taken):
    fake.script([step])
    assert say("oi").outcome is outcome
    assert fake.report()["taken"] == taken


def test_how_long_to_wait_is_read_from_the_answer(say, fake):
    fake.script([{"status": 429, "retry_after": 3}, {"status": 400, "code": 63038}])
    assert say("oi").retry_after == 3
    assert say("oi").retry_after == 24 * 3600


def test_silence_is_ambiguous(twilio, http, fake):
    fake.script(["delay:0.6"])
    url = twilio._account_url("/Messages.json")
    form = {"To": "whatsapp:+1", "From": "whatsapp:+2", "Body": "oi"}
    result = twilio.call(http, "POST", url, auth=(SID, TOKEN), data=form, read_seconds=0.2)
    assert result.outcome is Outcome.AMBIGUOUS


def test_a_provider_that_is_away_was_not_sent(say, fake):
    fake.stop()
    assert say("oi").outcome is Outcome.RETRYABLE


def test_too_long_a_text_is_a_content_error(twilio, http):
    result = twilio.send(OutMessage("r", ANA, text="x" * 1601), http, SECRETS)
    assert (result.outcome, result.code) == (Outcome.CONTENT, "21617")


def test_missing_credentials_are_an_auth_error(twilio, http):
    assert twilio.send(OutMessage("r", ANA, text="oi"), http, {}).outcome is Outcome.AUTH
    assert twilio.check(http, {}).outcome is Outcome.AUTH
    assert twilio.check(http, SECRETS).outcome is Outcome.ACCEPTED


def test_an_api_key_is_used_when_there_is_one(twilio):
    adapter = TwilioWhatsApp({"account_sid": SID, "api_key_sid": "SK1"}, "")
    assert adapter._auth({**SECRETS, "api_key_secret": "s"}) == ("SK1", "s")
    assert adapter._auth(SECRETS) == (SID, TOKEN)


def test_hosts_of_the_platform_and_of_a_fake():
    real = TwilioWhatsApp({"account_sid": SID}, "")
    assert real._root("content") == "https://content.twilio.com"
    assert real._account_url("/Messages.json").startswith("https://api.twilio.com/2010-04-01/")
    fake = TwilioWhatsApp({"api_base": "http://127.0.0.1:1/"}, "")
    assert fake._root("content") == "http://127.0.0.1:1"
    own = TwilioWhatsApp({"api_base": "http://a", "content_base": "http://b/"}, "")
    assert own._root("content") == "http://b"


# ------------------------------------------------------------------ the rest
def test_typing_names_the_message_that_is_answered(twilio, http, fake):
    twilio.signal("typing", Thread("+55"), "SM1", http, SECRETS)
    twilio.signal("typing", Thread("+55"), "", http, SECRETS)
    assert fake.report()["typing"] == ["SM1"]


def test_an_unconfirmed_message_is_found_in_the_list(say, twilio, http, fake):
    before = datetime.now(UTC) - timedelta(seconds=1)
    known = say("oi").provider_id
    fake.script(["drop_after"])
    assert say("oi").outcome is Outcome.AMBIGUOUS
    part = OutMessage("0f1d8c1e", ANA, text="oi")
    found = twilio.find_sent(part, before, http, SECRETS, {known})
    assert found.provider_id not in {"", known}
    assert twilio.find_sent(part, before, http, SECRETS, {known, found.provider_id}) is None


@pytest.mark.parametrize("step", ["drop_before", "503"])
def test_what_never_arrived_is_not_found(say, twilio, http, fake, step):
    before = datetime.now(UTC) - timedelta(seconds=1)
    fake.script([step])
    say("oi")
    assert twilio.find_sent(OutMessage("r", ANA, text="oi"), before, http, SECRETS) is None
    fake.stop()
    assert twilio.find_sent(OutMessage("r", ANA, text="oi"), before, http, SECRETS) is None


def media(fake, media_id="ME1"):
    return MediaRef("image", url=f"{fake.url}/2010-04-01/Accounts/{SID}/Messages/MM1/Media/{media_id}")


def test_a_file_is_fetched_through_the_redirect(twilio, http, fake):
    fake.put_media("ME1", "image/jpeg", b"jpeg bytes")
    assert b"".join(twilio.open_media(media(fake), http, SECRETS).chunks) == b"jpeg bytes"


def test_a_file_that_is_gone_is_unavailable_and_a_sick_server_is_asked_again(twilio, http, fake):
    with pytest.raises(MediaUnavailable):
        twilio.open_media(MediaRef("image", url=f"{fake.url}/gone"), http, SECRETS)
    with pytest.raises(NotSent):
        twilio.open_media(media(fake), http, {})


@pytest.mark.parametrize(
    ("url", "trusted"),
    [
        ("https://api.twilio.com/x", True),
        ("https://media.twilio.com/x", True),
        ("http://api.twilio.com/x", False),
        ("https://evil-twilio.com/x", False),
        ("https://api.twilio.com.evil.example/x", False),
        ("https://api.twilio.com@evil.example/x", False),
        ("https://evil.example/api.twilio.com", False),
    ],
)
def test_credentials_go_to_twilio_only(url, trusted):
    assert TwilioWhatsApp({"account_sid": SID}, "").may_see_credentials(url) is trusted
