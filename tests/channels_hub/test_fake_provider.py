"""The fake provider obeys its script, reports back as told, and counts fairly."""

import base64
import json
import threading
import urllib.request
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode

import pytest

from channels_hub import signatures
from channels_hub.fake_provider import FakeProvider, post_signed
from channels_hub.fake_script import Callbacks, Script, step_of

AUTH = "Basic " + base64.b64encode(b"AC1:token").decode()


def http(fake, path, data=None, **headers):
    body = data if data is None or isinstance(data, bytes) else urlencode(data).encode()
    request = urllib.request.Request(fake.url + path, body, {"Authorization": AUTH, **headers})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read(), answer.headers
    except HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


def send(fake, body="oi", ref="r1", callback=""):
    form = {"To": "whatsapp:+55", "From": "whatsapp:+56", "Body": body}
    form["StatusCallback"] = f"{callback or 'http://127.0.0.1:9/status'}?ref={ref}"
    return http(fake, "/2010-04-01/Accounts/AC1/Messages.json", form)


@pytest.fixture
def receiver():
    """Takes status callbacks and notes whether their signature is good."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = parse_qsl(raw, keep_blank_values=True)
            url = f"http://127.0.0.1:{self.server.server_port}{self.path}"
            good = signatures.twilio("token", url, form, self.headers["X-Twilio-Signature"])
            got.append((self.path, dict(form), good))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/status", got
    server.shutdown()
    server.server_close()


def test_a_message_is_taken_and_reported_in_order(fake, receiver):
    url, got = receiver
    status, body, _headers = send(fake, callback=url)
    assert status == 201
    assert fake.wait_idle()
    assert [form["MessageStatus"] for _path, form, _good in got] == ["sent", "delivered", "read"]
    assert {path for path, _form, _good in got} == {"/status?ref=r1"}
    assert all(good for _path, _form, good in got)
    assert {form["MessageSid"] for _path, form, _good in got} == {json.loads(body)["sid"]}


@pytest.mark.parametrize(
    ("settings_", "expected"),
    [
        ({"order": "reverse"}, ["read", "delivered", "sent"]),
        ({"copies": 2, "statuses": ["sent", "read"]}, ["sent", "sent", "read", "read"]),
        ({"statuses": []}, []),
        ({"copies": 0}, []),
    ],
)
def test_reports_can_be_turned_around_and_doubled(fake, receiver, settings_, expected):
    url, got = receiver
    fake.callbacks(**settings_)
    send(fake, callback=url)
    assert fake.wait_idle()
    assert [form["MessageStatus"] for _path, form, _good in got] == expected


def test_a_failure_can_come_late(fake, receiver):
    url, got = receiver
    fake.callbacks(statuses=["sent", {"status": "undelivered", "code": 63016}], delay=0.15)
    send(fake, callback=url)
    assert got == []
    assert fake.wait_idle()
    assert got[1][1]["ErrorCode"] == "63016"


def test_shuffling_is_the_same_every_time():
    made = [Callbacks(order="shuffle", copies=3, seed=7).reports(number) for number in (1, 1, 2)]
    assert made[0] == made[1] != made[2]
    assert sorted(report.status for report in made[0]) == sorted(["sent", "delivered", "read"] * 3)


def test_only_this_machine_is_called(fake):
    send(fake, callback="https://example.com/status")
    assert fake.wait_idle()
    assert {one["answer"] for one in fake.report()["callbacks"]} == {"refused: not this machine"}


def test_a_callback_that_fails_is_noted():
    assert post_signed("http://127.0.0.1:9/x", {"a": "1"}, "t") == "error: ConnectionRefusedError"


@pytest.mark.parametrize(
    ("step", "status", "code", "taken"),
    [
        ("429", 429, 20429, False),
        ("500", 500, 20500, False),
        ("500_after", 500, 20500, True),
        ("503", 503, 20503, False),
        ({"status": 400, "code": 63016}, 400, 63016, False),
    ],
)
def test_scripted_errors(fake, step, status, code, taken):
    fake.script([step])
    found, body, _headers = send(fake)
    assert (found, json.loads(body)["code"]) == (status, code)
    assert bool(fake.report()["taken"]) is taken
    assert send(fake)[0] == 201


@pytest.mark.parametrize(("step", "taken"), [("drop_before", 0), ("drop_after", 1), ("half", 1)])
def test_scripted_breaks(fake, step, taken):
    fake.script([step])
    with pytest.raises((OSError, HTTPException)):
        send(fake)
    assert fake.report()["taken"] == taken
    assert fake.report()["requests"] == 1


def test_retry_after_is_told(fake):
    fake.script([{"status": 429, "retry_after": 3}])
    assert send(fake)[2]["Retry-After"] == "3"


def test_the_judge_sees_doubles(fake):
    for ref in ("r1", "r2", "r1"):
        send(fake, ref=ref, body=f"text {ref}")
    report = fake.report()
    assert report["by_ref"] == {"r1": 2, "r2": 1}
    assert (report["duplicates"], report["duplicate_bodies"]) == (["r1"], ["whatsapp:+55 text r1"])
    times = [one["at"] for one in fake.requests()]
    assert times == sorted(times)


def test_controls_over_http(fake):
    steps = {"steps": ["503"], "then": "429", "callbacks": {"statuses": ["sent"]}}
    assert http(fake, "/_script", json.dumps(steps).encode())[0] == 200
    assert [send(fake)[0] for _time in range(3)] == [503, 429, 429]
    assert len(json.loads(http(fake, "/_requests")[1])["requests"]) == 3
    assert json.loads(http(fake, "/_report")[1])["taken"] == 0
    assert http(fake, "/_reset", b"")[0] == 200
    assert send(fake)[0] == 201


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"steps": ["dance"]}', b'{"steps": [{"drop": "x"}]}', b'{"steps": [{"x": 1}]}',
             b'{"callbacks": {"order": "x"}}', b'{"callbacks": {"dance": 1}}', b'{"steps": ["delay:x"]}'],
)  # fmt: skip
def test_a_script_that_cannot_be_read_is_refused(fake, body):
    assert http(fake, "/_script", body)[0] == 400


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"To": ""}, 21604),
        ({"From": ""}, 21603),
        ({"Body": ""}, 21619),
        ({"Body": "x" * 1601}, 21617),
        ({"ContentSid": "HX0"}, 21655),
        ({"ContentVariables": '{"1":"a\\nb"}'}, 21656),
    ],
)
def test_what_twilio_refuses_is_refused(fake, change, code):
    form = {"To": "whatsapp:+55", "From": "whatsapp:+56", "Body": "oi"} | change
    status, body, _headers = http(fake, "/2010-04-01/Accounts/AC1/Messages.json", form)
    assert (status, json.loads(body)["code"]) == (400, code)


def test_nobody_without_credentials(fake):
    assert http(fake, "/2010-04-01/Accounts/AC1.json", Authorization="")[0] == 401
    assert http(fake, "/2010-04-01/Accounts/AC1.json", Authorization="Basic é")[0] == 401
    assert http(fake, "/2010-04-01/Accounts/AC1.json")[0] == 200
    assert http(fake, "/nothing")[0] == 404


def test_a_file_comes_by_redirect(fake):
    http(fake, "/_media/ME1", b"bytes", **{"Content-Type": "image/jpeg"})
    status, body, headers = http(fake, "/2010-04-01/Accounts/AC1/Messages/MM1/Media/ME1")
    assert (status, body, headers["Content-Type"]) == (200, b"bytes", "image/jpeg")


def test_two_can_run_side_by_side():
    with FakeProvider() as one, FakeProvider() as other:
        send(one)
        assert (one.report()["taken"], other.report()["taken"]) == (1, 0)


def test_a_script_counts_down():
    script = Script(["503", 200, "delay:0.5"], then="429")
    assert [script.next().status for _time in range(5)] == [503, 201, 201, 429, 429]
    with pytest.raises(ValueError, match="unknown step"):
        step_of("dance")
