"""The phone simulator's adapter keeps every promise and adds a clock of its own."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from channels_hub.adapters.phone import Phone
from channels_hub.contract import (
    Address,
    BadPayload,
    BadSignature,
    Kind,
    MediaRef,
    Option,
    Outcome,
    OutMessage,
    RawRequest,
    State,
    Thread,
)
from channels_hub.signatures import standard_signature
from channels_hub.testing import AdapterContract
from tests.channels_hub.conftest import answering, read_request

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
ANA = "+5511987654321"
PIXEL = base64.b64encode(b"\x89PNG fake").decode()
MESSAGE = {
    "id": "e1", "type": "message", "at": "2026-11-21T11:59:00+00:00", "from": ANA, "name": "Ana",
    "message_id": "m1", "text": "oi", "reply_to": "m0",
}  # fmt: skip
RICH = MESSAGE | {
    "id": "e2", "message_id": "m2", "choice": {"id": "a", "title": "Pedido", "kind": "list"},
    "location": {"latitude": -23.5, "longitude": -46.6, "label": "MASP"},
    "media": [{"kind": "image", "mime": "image/png", "filename": "a.png", "data": PIXEL},
              {"kind": "file", "url": "http://127.0.0.1:9/f"}],
}  # fmt: skip
STATUS = {"id": "e3", "type": "status", "at": "2026-11-21T12:00:00Z", "to": ANA, "message_id": "p1",
          "client_ref": "r1", "state": "delivered"}  # fmt: skip
TYPING = {"id": "e4", "type": "typing", "from": ANA}
READ = {"id": "e5", "type": "read", "from": ANA, "message_id": "p1"}


def call(data, now=NOON):
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    stamp = str(int(now.timestamp()))
    headers = {"webhook-id": "msg_1", "webhook-timestamp": stamp, "content-type": "application/json"}
    return RawRequest("POST", "https://x/webhooks/phone/1/", headers, body, received_at=now)


def signed(request, secret=SECRET):
    headers = request.headers
    entry = standard_signature(secret, request.body, headers["webhook-id"], headers["webhook-timestamp"])
    return replace(request, headers={**headers, "webhook-signature": entry})


class TestPhone(AdapterContract):
    adapter = Phone({"api_base": "http://127.0.0.1:1", "device": "simulador"}, "simulador")
    secrets = {"signing_secret": SECRET, "api_token": SECRET}
    signature_header = "webhook-signature"
    answers = (
        (201, {"message_id": "p1", "state": "sent"}, Outcome.ACCEPTED),
        (201, {}, Outcome.AMBIGUOUS),
        (401, {}, Outcome.AUTH),
        (404, {"code": "no_such_phone"}, Outcome.UNREACHABLE),
        (409, {"code": "blocked"}, Outcome.UNREACHABLE),
        (422, {"code": "window_closed"}, Outcome.WINDOW_CLOSED),
        (422, {}, Outcome.CONTENT),
        (429, {}, Outcome.RATE_LIMITED),
        (500, {}, Outcome.RETRYABLE),
        (503, b"", Outcome.RETRYABLE),
        (502, b"", Outcome.AMBIGUOUS),
        (418, {}, Outcome.PERMANENT),
    )

    def sign(self, request):
        return signed(request)

    def recorded(self):
        return [call(data) for data in (MESSAGE, RICH, STATUS, TYPING, READ)]

    def unknown(self):
        return call({"id": "e9", "type": "dance"})

    def unreadable(self):
        return call(b"{")


ADAPTER = TestPhone.adapter


def event(data):
    [found] = ADAPTER.parse(call(data))
    return found


def test_a_message():
    found = event(MESSAGE)
    assert (found.text, found.message_id, found.reply_to, found.dedup_key) == ("oi", "m1", "m0", "e1")
    assert (found.sender.name, found.sender.phone, found.thread.key) == ("Ana", ANA, ANA)
    assert found.occurred_at == datetime(2026, 11, 21, 11, 59, tzinfo=UTC)


def test_a_rich_message():
    found = event(RICH)
    assert (found.choice.id, found.choice.kind) == ("a", "list")
    assert found.location == (-23.5, -46.6, "MASP")
    assert [(one.kind, one.filename) for one in found.media] == [("image", "a.png"), ("file", "")]


def test_a_small_file_travels_inside_the_event(http):
    [picture, _file] = event(RICH).media
    assert b"".join(ADAPTER.open_media(picture, http, {}).chunks) == b"\x89PNG fake"


def test_a_status_and_signals():
    found = event(STATUS)
    assert (found.kind, found.status.state, found.status.client_ref) == (Kind.STATUS, State.DELIVERED, "r1")
    assert (event(TYPING).kind, event(READ).kind, event(READ).message_id) == (Kind.TYPING, Kind.READ, "p1")


@pytest.mark.parametrize("state", ["pending", "processing", "unknown", "teleported", None, 3, ["sent"]])
def test_a_state_that_a_phone_cannot_report_is_a_notice(state):
    assert event(STATUS | {"state": state}).kind is Kind.NOTICE


@pytest.mark.parametrize(
    "data",
    [b"[]", b"null", b"\xff", b"[" * 100_000, MESSAGE | {"id": None}, MESSAGE | {"from": ""},
     MESSAGE | {"from": 5},
     MESSAGE | {"media": [{"data": "%%%"}]}],
)  # fmt: skip
def test_what_cannot_be_read_is_a_bad_payload(data):
    with pytest.raises(BadPayload):
        list(ADAPTER.parse(call(data)))


@pytest.mark.parametrize(
    "odd", [{"choice": 1}, {"location": "x"}, {"media": {}}, {"media": [1]}, {"text": 5}, {"at": 1}]
)
def test_odd_parts_of_a_message_are_left_out(odd):
    assert event(MESSAGE | odd).kind is Kind.MESSAGE


def test_an_old_call_is_a_replay_and_the_previous_secret_still_counts():
    request = signed(call(MESSAGE))
    ADAPTER.verify(request, {"signing_secret": "whsec_bmV3", "signing_secret_previous": SECRET})
    with pytest.raises(BadSignature):
        ADAPTER.verify(replace(request, received_at=NOON + timedelta(minutes=6)), TestPhone.secrets)


def test_a_day_later_the_window_is_closed():
    later = Phone({"clock_offset_seconds": 24 * 3600}, "")
    assert later.clock(NOON) == NOON + timedelta(days=1)
    assert later.window.mode(NOON, later.clock(NOON)) == "template_only"
    assert ADAPTER.clock(NOON) == NOON
    [found] = later.parse(call({**MESSAGE, "at": None}))
    assert found.occurred_at == NOON + timedelta(days=1)


# ------------------------------------------------------------------ out
@pytest.fixture
def simulator(listen):
    """An HTTP server that records one request and answers 201."""
    seen = []
    body = b'{"message_id": "p1", "state": "queued"}'
    head = f"HTTP/1.1 201 Created\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()

    def behave(connection):
        data = connection.recv(65536)
        while not data.endswith(b"}"):
            data += connection.recv(65536)
        seen.append(data)
        connection.sendall(head + body)

    listener = listen(behave)
    adapter = Phone({"api_base": listener.url.removesuffix("/path"), "device": "sim 1"}, "")
    return adapter, seen


def test_a_message_is_posted_with_token_and_key(simulator, http):
    adapter, seen = simulator
    to = Address("phone", ANA)
    part = OutMessage(
        "r1", to, text="Escolha", options=(Option("a", "A"),), options_style="buttons", reply_to="m1"
    )
    result = adapter.send(part, http, {"api_token": "tok"})
    assert (result.outcome, result.provider_id, result.state) == (Outcome.ACCEPTED, "p1", State.QUEUED)
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /simulator/api/sim%201/messages ")
    assert b"Authorization: Bearer tok" in head
    assert b"Idempotency-Key: r1" in head
    assert json.loads(body)["options"] == [{"id": "a", "title": "A", "description": ""}]
    assert json.loads(body)["to"] == ANA


def test_a_place_and_a_picture(simulator, http):
    adapter, seen = simulator
    place, picture = (-23.5, -46.6, "MASP"), MediaRef("image", "image/png", "a.png", url="http://x/a")
    for part in adapter.plan(OutMessage("r", Address("phone", ANA), media=(picture,), location=place)):
        adapter.send(part, http, {})
    bodies = [json.loads(one.partition(b"\r\n\r\n")[2]) for one in seen]
    assert bodies[0]["media"][0]["url"] == "http://x/a"
    assert bodies[1]["location"] == {"latitude": -23.5, "longitude": -46.6, "label": "MASP"}


def test_typing_is_shown(simulator, http):
    adapter, seen = simulator
    adapter.signal("typing", Thread(ANA), "m1", http, {"api_token": "tok"})
    assert json.loads(seen[0].partition(b"\r\n\r\n")[2]) == {"what": "typing", "to": ANA, "message_id": "m1"}


def test_the_token_stays_with_the_simulator(listen, http):
    seen = []

    def behave(connection):
        seen.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")

    home, other = listen(behave), listen(behave)
    adapter = Phone({"api_base": home.url.removesuffix("/path"), "device": "s"}, "")
    for one in (home, other):
        adapter.open_media(MediaRef("file", url=one.url), http, {"api_token": "tok"}).close()
    assert [b"Bearer tok" in request for request in seen] == [True, False]


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (404, '{"code": "no_such_phone"}', Outcome.ACCEPTED),
        (401, '{"code": "unauthorized"}', Outcome.AUTH),
        (404, "<html>", Outcome.UNREACHABLE),
    ],
)
def test_the_test_button_tells_a_good_token_from_a_bad_one(listen, http, status, body, outcome):
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    listener = listen(answering(head.encode()))
    adapter = Phone({"api_base": listener.url.removesuffix("/path"), "device": "s"}, "")
    assert adapter.check(http, {}).outcome is outcome
