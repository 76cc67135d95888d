"""What Twilio's calls mean: people, texts, files, answers, statuses; and what is refused."""

import base64
import hmac
import json
from dataclasses import replace
from hashlib import sha256
from urllib.parse import parse_qsl

import pytest

from channels_hub.contract import AccountKey, Ack, BadPayload, BadSignature, Kind, State
from channels_hub.signatures import twilio_signature
from channels_twilio.adapter import TwilioWhatsApp
from tests.channels_twilio.recorded import BASE, NOON, SID, TOKEN, call, changed, recorded, signed

ADAPTER = TwilioWhatsApp({"account_sid": SID}, "+551130000000", callback_url=BASE)


def event(request):
    [found] = ADAPTER.parse(request)
    return found


def addresses(found):
    return [(one.scheme, one.value, one.raw) for one in found.sender.addresses]


# ------------------------------------------------------------------ messages
def test_a_text():
    found = event(recorded("text"))
    assert (found.kind, found.dedup_key) == (Kind.MESSAGE, "SM00000000000000000000000000000001")
    assert (found.text, found.sender.name) == ("Olá, preciso de ajuda", "Ana Souza")
    assert addresses(found) == [("phone", "+5511987654321", "whatsapp:+5511987654321")]
    assert (found.thread.key, found.occurred_at) == ("+5511987654321", NOON)


def test_a_button_from_a_person_without_a_visible_number():
    found = event(recorded("button_bsuid"))
    assert addresses(found) == [("bsuid", "BR.1502576394655843", "whatsapp:BR.1502576394655843")]
    assert (found.choice.id, found.choice.title) == ("opt:invoice", "Segunda via")
    assert found.reply_to == found.choice.source_message_id == "MM00000000000000000000000000000009"
    assert found.sender.phone == ""


def test_every_address_that_twilio_vouches_for_is_kept():
    found = event(recorded("image"))
    assert addresses(found) == [
        ("phone", "+5511987654321", "whatsapp:+5511987654321"),
        ("bsuid", "BR.1502576394655843", "whatsapp:BR.1502576394655843"),
        ("phone", "+551187654321", "whatsapp:+551187654321"),
    ]


def test_a_picture_with_caption():
    found = event(recorded("image"))
    [file] = found.media
    assert (file.kind, file.mime, found.text) == ("image", "image/jpeg", "Meu comprovante")
    assert file.url.startswith("https://api.twilio.com/2010-04-01/Accounts/")


def test_a_place():
    assert event(recorded("location")).location == (-23.561414, -46.655881, "MASP")


@pytest.mark.parametrize("latitude", ["91", "nan", "inf", "", "x"])
def test_an_impossible_place_is_no_place(latitude):
    assert event(changed("location", Latitude=latitude)).location is None


def test_a_list_answer():
    choice = event(recorded("list")).choice
    assert (choice.id, choice.title, choice.kind) == ("opt:bills", "Boletos", "list")
    assert choice.data == {"description": "Segunda via"}


def test_a_list_answer_without_list_fields_is_read_from_the_button_fields():
    choice = event(changed("list", ListId=None, ListTitle=None, ButtonPayload="opt:x")).choice
    assert (choice.id, choice.title) == ("opt:x", "Boletos")


def test_a_form_answer():
    choice = event(changed("text", FlowData='{"a":1}')).choice
    assert (choice.kind, choice.data) == ("form", {"json": '{"a":1}'})


def test_a_contact_card():
    [file] = event(recorded("contact")).media
    assert (file.kind, file.mime, file.filename) == ("file", "text/vcard", "contact.vcf")


def test_an_ad_and_a_forward():
    found = event(recorded("referral"))
    assert found.referral["click_id"] == "clid1"
    assert found.referral["headline"] == "50%"
    assert found.meta == {"forwarded": True}


@pytest.mark.parametrize(
    ("mime", "message_type", "kind"),
    [
        ("audio/ogg", "audio", "voice"),
        ("audio/mpeg", "audio", "audio"),
        ("image/webp", "sticker", "sticker"),
        ("video/mp4", "video", "video"),
        ("application/pdf", "document", "file"),
        ("", "", "file"),
    ],
)
def test_kinds_of_files(mime, message_type, kind):
    assert event(changed("image", MediaContentType0=mime, MessageType=message_type)).media[0].kind == kind


@pytest.mark.parametrize("count", ["-1", "many", "", "0", "²"])
def test_an_odd_number_of_files_is_none(count):
    assert event(changed("image", NumMedia=count)).media == ()


def test_a_thousand_files_are_ten():
    many = {f"MediaUrl{n}": "https://x" for n in range(20)}
    assert len(event(changed("image", NumMedia="1000", **many)).media) == 10


def test_a_long_base64_body_is_decoded_and_a_short_one_is_not():
    words = "Olá, gostaria de saber do meu pedido, obrigada"
    encoded = base64.b64encode(words.encode()).decode()
    assert event(changed("text", Body=encoded)).text == words
    for text in ("T2zDoQ==", "A" * 40, base64.b64encode(bytes(range(60))).decode(), words):
        assert event(changed("text", Body=text)).text == text


def test_what_the_database_cannot_store_is_replaced():
    assert event(changed("text", Body="a\0b")).text == "a\ufffdb"


@pytest.mark.parametrize(
    ("value", "scheme"),
    [
        ("whatsapp:BR.ENT.123", "ext"),
        ("whatsapp:+1", "ext"),
        ("whatsapp:hello", "ext"),
        ("+5511987654321", "phone"),
    ],
)
def test_odd_senders_keep_what_came(value, scheme):
    found = event(changed("text", From=value, WaId=None))
    assert addresses(found)[0][0] == scheme
    assert addresses(found)[0][2] == value


# ------------------------------------------------------------------ statuses
def test_a_failed_status_carries_our_reference_and_the_reason():
    found = event(recorded("status_failed"))
    assert (found.kind, found.dedup_key) == (Kind.STATUS, "SM00000000000000000000000000000077:undelivered")
    assert (found.status.state, found.status.code) == (State.FAILED, "63016")
    assert found.status.client_ref == "0f1d8c1e"
    assert found.thread.key == "+5511987654321"
    assert ADAPTER.outcome_of(found.status.code) == "window_closed"


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("accepted", "queued"), ("scheduled", "queued"), ("queued", "queued"), ("sending", "queued"),
        ("sent", "sent"), ("delivered", "delivered"), ("partially_delivered", "delivered"), ("read", "read"),
        ("failed", "failed"), ("undelivered", "failed"), ("canceled", "failed"),
    ],
)  # fmt: skip
def test_every_status_of_twilio(word, state):
    assert event(changed("status_read", MessageStatus=word)).status.state == state


def test_an_unknown_status_is_a_notice():
    found = event(changed("status_read", MessageStatus="teleported"))
    assert (found.kind, found.status, found.meta["reason"]) == (Kind.NOTICE, None, "unknown MessageStatus")


# ------------------------------------------------------------------ not ours, not readable
@pytest.mark.parametrize("name", ["text", "status_read"])
def test_another_account_is_a_notice_with_the_reason(name):
    found = event(changed(name, AccountSid="AC99999999999999999999999999999999"))
    assert (found.kind, found.meta["reason"]) == (Kind.NOTICE, "AccountSid of another account")
    assert event(changed(name, AccountSid=None)).kind is Kind.NOTICE


def test_another_sender_of_the_same_account_is_a_notice():
    assert event(changed("text", To="whatsapp:+551131111111")).kind is Kind.NOTICE
    assert event(changed("status_read", From="whatsapp:+551131111111")).kind is Kind.NOTICE


def test_a_channel_by_messaging_service_has_no_number_to_compare():
    adapter = TwilioWhatsApp({"account_sid": SID}, "")
    assert [one.kind for one in adapter.parse(recorded("text"))] == [Kind.MESSAGE]


@pytest.mark.parametrize(
    "request_",
    [
        changed("text", MessageSid=None),
        changed("text", MessageSid=""),
        changed("text", From=None),
        call(b""),
        call(b"MessageSid=%ff"),
        call("&".join(f"a{n}=1" for n in range(2000))),
        call(b'{"a":1}', content_type="application/json"),
    ],
)
def test_what_cannot_be_read_is_a_bad_payload(request_):
    with pytest.raises(BadPayload):
        list(ADAPTER.parse(request_))


# ------------------------------------------------------------------ signatures
def test_any_live_secret_counts():
    request = signed(recorded("text"), "old token")
    ADAPTER.verify(request, {"auth_token": "new token", "auth_token_previous": "old token"})
    with pytest.raises(BadSignature):
        ADAPTER.verify(request, {"auth_token": "new token", "auth_token_previous": ""})


def test_a_signed_form_that_is_not_utf8_passes_and_an_altered_one_does_not():
    request = signed(call(b"MessageSid=SM1&Body=%ff%fe"))
    ADAPTER.verify(request, {"auth_token": TOKEN})
    with pytest.raises(BadSignature):
        ADAPTER.verify(replace(request, body=b"MessageSid=SM1&Body=%ff%fd"), {"auth_token": TOKEN})


def test_a_form_with_too_many_fields_is_refused():
    with pytest.raises(BadSignature):
        ADAPTER.verify(call("&".join(f"a{n}=1" for n in range(2000))), {"auth_token": TOKEN})


def test_a_json_body_is_checked_by_its_hash():
    body = json.dumps({"a": 1}).encode()
    request = call(body, content_type="application/json; charset=utf-8")
    with pytest.raises(BadSignature):
        ADAPTER.verify(
            replace(request, headers={**request.headers, "x-twilio-signature": "x"}), {"auth_token": TOKEN}
        )
    url = f"{request.url}?bodySHA256={sha256(body).hexdigest()}"
    header = twilio_signature(TOKEN, url, None)
    good = replace(request, url=url, headers={**request.headers, "x-twilio-signature": header})
    ADAPTER.verify(good, {"auth_token": TOKEN})


@pytest.mark.parametrize(
    "change", [str.upper, str.lower, lambda value: value[:-1], lambda value: value + "="]
)
def test_a_bent_signature_is_refused(change):
    request = signed(recorded("text"))
    bent = change(request.headers["x-twilio-signature"])
    with pytest.raises(BadSignature):
        ADAPTER.verify(
            replace(request, headers={**request.headers, "x-twilio-signature": bent}), {"auth_token": TOKEN}
        )


def test_a_reference_cannot_be_changed():
    request = signed(recorded("status_read"))
    with pytest.raises(BadSignature):
        ADAPTER.verify(replace(request, url=request.url.replace("0f1d", "1f1d")), {"auth_token": TOKEN})


# ------------------------------------------------------------------ answers
def test_messages_get_empty_twiml_and_statuses_nothing():
    assert ADAPTER.ack(recorded("text")) == Ack(200, b"<Response/>", "text/xml")
    assert ADAPTER.ack(recorded("status_read")).status == 204
    assert ADAPTER.ack(call(b"%ff")).content_type == "text/xml"


def test_the_bare_url_finds_its_channel_by_the_body():
    assert ADAPTER.accounts(recorded("text")) == (AccountKey(SID, "+551130000000"),)
    assert ADAPTER.accounts(recorded("status_read")) == (AccountKey(SID, "+551130000000"),)
    assert ADAPTER.accounts(call(b"%ff")) == ()


def test_a_shared_key_signs_with_sha256():
    request = recorded("text")
    form = sorted(parse_qsl(request.body.decode(), keep_blank_values=True))
    said = request.url + "".join(name + value for name, value in form)
    header = base64.b64encode(hmac.new(b"shared", said.encode(), sha256).digest()).decode()
    headers = {
        **request.headers,
        "x-twilio-signature": header,
        "x-twilio-webhooks-signature-settings": "key=SK1,algorithm=HMAC_SHA256",
    }
    ADAPTER.verify(replace(request, headers=headers), {"auth_token": TOKEN, "shared_key": "shared"})
    with pytest.raises(BadSignature):
        ADAPTER.verify(replace(request, headers=headers), {"auth_token": TOKEN})


@pytest.mark.parametrize("port", ["", ":443"])
def test_twilio_may_sign_the_address_with_or_without_its_port(port):
    request = recorded("text")
    url = request.url.replace("example.org", f"example.org{port}")
    header = twilio_signature(TOKEN, url, parse_qsl(request.body.decode(), keep_blank_values=True))
    ADAPTER.verify(
        replace(request, headers={**request.headers, "x-twilio-signature": header}), {"auth_token": TOKEN}
    )
