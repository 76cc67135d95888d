"""The outgoing client: where it may go, how long it waits, and what its failures mean."""

import gzip
import logging
import socket
import struct
import time

import pytest

from channels_hub import http as client_module
from channels_hub.contract import MaybeSent, NotSent
from channels_hub.http import ForbiddenAddress, check_url, is_public
from tests.channels_hub.conftest import answering, read_request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Seen: yes\r\n\r\nhi"


def test_an_answer_is_read_completely(http, listen):
    answer = http.request("POST", listen(answering(OK)).url, data={"a": "1"})
    assert (answer.status, answer.body, answer.headers["x-seen"]) == (200, b"hi", "yes")
    assert answer.json() is None


def test_a_redirect_is_not_followed(http, listen):
    canary = listen(answering(OK))
    redirect = f"HTTP/1.1 302 Found\r\nLocation: {canary.url}\r\nContent-Length: 0\r\n\r\n".encode()
    assert http.request("GET", listen(answering(redirect)).url).status == 302
    assert canary.connections == 0


# ------------------------------------------------------------------ safe to try again
def test_a_refused_connection_was_not_sent(http, listen):
    listener = listen(answering(OK))
    listener.close()
    with pytest.raises(NotSent, match="no connection"):
        http.request("POST", listener.url)


def test_an_unknown_name_was_not_sent(http):
    with pytest.raises(NotSent, match="resolve"):
        http.request("POST", "https://nowhere.invalid/")


@pytest.mark.parametrize("speak", [b"HTTP/1.1 400 Bad\r\n\r\n", b"", b"\x15\x03\x01\x00\x02\x02\x28"])
def test_failed_tls_was_not_sent(http, listen, speak):
    def behave(connection):
        connection.recv(100)
        connection.sendall(speak)

    with pytest.raises(NotSent):
        http.request("POST", listen(behave).url.replace("http:", "https:"))


def test_tls_that_never_answers_was_not_sent(http, listen, monkeypatch):
    monkeypatch.setattr(client_module, "CONNECT_SECONDS", 0.2)
    listener = listen(lambda connection: time.sleep(1))
    with pytest.raises(NotSent):
        http.request("POST", listener.url.replace("http:", "https:"), read_seconds=0.2)


def test_what_is_connected_too_late_does_not_leave(http, listen, monkeypatch):
    seen, connect = [], socket.create_connection

    def behave(connection):
        seen.append(connection.recv(100))

    def slow(*args, **options):
        time.sleep(0.2)
        return connect(*args, **options)

    monkeypatch.setattr(client_module.socket, "create_connection", slow)
    with client_module.not_after(time.monotonic() + 0.1), pytest.raises(NotSent, match="over"):
        http.request("POST", listen(behave).url, data={"a": "1"})
    http.close()
    assert seen in ([], [b""])
    assert http.request("POST", listen(answering(OK)).url, data={"a": "1"}).status == 200


# ------------------------------------------------------------------ perhaps sent
def test_silence_after_the_request_is_ambiguous(http, listen):
    def behave(connection):
        read_request(connection)
        time.sleep(0.6)

    with pytest.raises(MaybeSent):
        http.request("POST", listen(behave).url, read_seconds=0.2)


def test_a_reset_after_the_request_is_ambiguous(http, listen):
    def behave(connection):
        read_request(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with pytest.raises(MaybeSent):
        http.request("POST", listen(behave).url, data={"a": "1"})


@pytest.mark.parametrize(
    "half", [b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhi", b"HTTP/1.1 2", b"nonsense\r\n\r\n"]
)
def test_half_an_answer_is_ambiguous(http, listen, half):
    with pytest.raises(MaybeSent):
        http.request("POST", listen(answering(half)).url)


def test_half_a_chunked_answer_is_ambiguous(http, listen):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with pytest.raises(MaybeSent):
        http.request("POST", listen(answering(head + b"5\r\nhel")).url)
    whole = http.request("POST", listen(answering(head + b"5\r\nhello\r\n0\r\n\r\n")).url)
    assert whole.body == b"hello"


def test_a_dripping_answer_is_cut_off(http, listen, monkeypatch):
    monkeypatch.setattr(client_module, "TOTAL_SECONDS", 0.3)

    def behave(connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _piece in range(30):
            connection.sendall(b"x")
            time.sleep(0.05)

    started = time.monotonic()
    with pytest.raises(MaybeSent, match="too long"):
        http.request("GET", listen(behave).url)
    assert time.monotonic() - started < 1.2


def test_a_huge_answer_is_cut_off(http, listen):
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000
    with pytest.raises(MaybeSent, match="too big"):
        http.request("GET", listen(answering(body)).url, max_bytes=1000)


def test_a_zip_bomb_is_cut_off(http, listen):
    bomb = gzip.compress(b"0" * 50_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    with pytest.raises(MaybeSent, match="too big"):
        http.request("GET", listen(answering(head + bomb)).url)


# ------------------------------------------------------------------ where it may not go
PRIVATE = [
    "127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "169.254.1.1", "100.64.0.1", "0.0.0.0", "0.1.2.3", "192.0.0.1", "192.0.2.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "192.88.99.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1",
    "ff02::1", "2001:db8::1", "100::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:7f00:1",
    "::127.0.0.1", "2002:7f00:1::", "2002:a9fe:a9fe::", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1", "2001:0:7f00:1::1", "nonsense",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_private(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "54.172.60.1", "2606:4700::1111", "64:ff9b::8.8.8.8"])
def test_public_addresses_are_public(address):
    assert is_public(address)


FORMS = [
    "http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://2130706433:{port}/",
    "http://0x7f000001:{port}/", "http://0x7f.1:{port}/", "http://127.1:{port}/",
    "http://017700000001:{port}/", "http://0:{port}/", "http://0.0.0.0:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/", "http://[::1]:{port}/",
    "http://[0:0:0:0:0:ffff:7f00:1]:{port}/", "http://127.0.0.1.:{port}/", "http://LOCALHOST:{port}/",
    "http://127。0。0。1:{port}/", "http://①②⑦.⓪.⓪.①:{port}/", "http://user:pass@127.0.0.1:{port}/",
    "http://8.8.8.8@127.0.0.1:{port}/", "http://127.0.0.1:{port}\\@8.8.8.8/",
    "https://127.0.0.1:{port}/", "http://127.0.0.1%2f@x:{port}/", "http://[::]:{port}/",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_no_spelling_of_this_machine_is_reached(http, listen, form):
    canary = listen(answering(OK), allowed=False)
    with pytest.raises(NotSent):
        http.request("GET", form.format(port=canary.port))
    assert canary.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/", "file:///etc/passwd", "gopher://x/", "http:///x", "//x", "",
        "http://a b/", "http://x:0/", "http://x:99999/", "http://[::1/", "javascript:alert(1)",
        "http://x/\r\nHost: y", "http://u@x/", "data:,x",
    ],
)  # fmt: skip
def test_odd_urls_are_refused_before_anything_is_resolved(url):
    with pytest.raises(ForbiddenAddress):
        check_url(url)


def test_a_name_that_turns_private_at_the_second_look_is_not_followed(http, listen, monkeypatch):
    canary = listen(answering(OK), allowed=False)
    answers = iter(["8.8.8.8", "127.0.0.1", "127.0.0.1"])
    real = socket.getaddrinfo

    def rebinding(host, port, *args, **kwargs):
        return real(next(answers) if host == "rebind.example" else host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    opened = []
    monkeypatch.setattr(
        socket, "create_connection", lambda address, **_rest: opened.append(address) or _refuse()
    )
    with pytest.raises(NotSent):
        http.request("GET", f"http://rebind.example:{canary.port}/")
    with pytest.raises(ForbiddenAddress):
        http.request("GET", f"http://rebind.example:{canary.port}/")
    assert opened == [("8.8.8.8", canary.port)]
    assert canary.connections == 0


def _refuse():
    raise ConnectionRefusedError


def test_a_name_with_one_private_address_is_not_used_at_all(monkeypatch):
    both = [(2, 1, 6, "", ("8.8.8.8", 80)), (2, 1, 6, "", ("10.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: both)
    with pytest.raises(ForbiddenAddress):
        client_module.resolve("mixed.example", 80)


def test_only_the_listed_port_of_a_private_host_is_open(http, listen):
    allowed, canary = listen(answering(OK)), listen(answering(OK), allowed=False)
    assert http.request("GET", allowed.url).status == 200
    with pytest.raises(ForbiddenAddress):
        http.request("GET", canary.url)
    assert canary.connections == 0


def test_a_proxy_from_the_environment_is_not_used(http, listen, monkeypatch):
    proxy, target = listen(answering(OK)), listen(answering(OK))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    http.request("GET", target.url)
    assert (proxy.connections, target.connections) == (0, 1)


# ------------------------------------------------------------------ files
def test_a_stream_leaves_its_credentials_at_home(http, listen):
    seen = []

    def cdn(connection):
        seen.append(read_request(connection))
        connection.sendall(OK)

    target = listen(cdn)
    redirect = f"HTTP/1.1 307 Go\r\nLocation: {target.url}\r\nContent-Length: 0\r\n\r\n".encode()
    stream = http.stream(listen(answering(redirect)).url, auth=("AC1", "secret"), redirects=3)
    assert b"".join(stream.chunks) == b"hi"
    assert b"authorization" not in seen[0].lower()


def test_a_stream_does_not_follow_into_the_private_network(http, listen):
    canary = listen(answering(OK), allowed=False)
    redirect = f"HTTP/1.1 302 Go\r\nLocation: {canary.url}\r\nContent-Length: 0\r\n\r\n".encode()
    with pytest.raises(ForbiddenAddress):
        http.stream(listen(answering(redirect)).url, redirects=3)
    assert canary.connections == 0


def test_a_circle_of_redirects_ends(http, listen):
    circle = b"HTTP/1.1 302 Go\r\nLocation: /path\r\nContent-Length: 0\r\n\r\n"
    listener = listen(answering(circle))
    with pytest.raises(NotSent, match="redirects"):
        http.stream(listener.url, redirects=3)
    assert listener.connections == 4


# ------------------------------------------------------------------ quiet
def test_logs_name_the_host_and_nothing_else(http, listen, caplog):
    caplog.set_level(logging.DEBUG)
    url = listen(answering(OK)).url
    http.request("POST", f"{url}/bot123:SECRET?q=5511", data={"Body": "segredo"}, auth=("AC1", "pass"))
    text = " ".join(
        record.getMessage() for record in caplog.records if record.name.startswith("channels_hub")
    )
    assert "127.0.0.1: 200" in text
    assert not any(word in text for word in ("SECRET", "5511", "segredo", "pass", "AC1"))


def test_cookies_are_not_kept(http, listen):
    seen = []

    def behave(connection):
        seen.append(read_request(connection))
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )

    listener = listen(behave)
    for _time in range(2):
        http.request("GET", listener.url)
    assert b"cookie" not in seen[1].lower()


def test_a_connection_that_the_server_closed_meanwhile_is_opened_anew(http, listen):
    listener = listen(answering(OK))
    for _time in range(3):
        assert http.request("POST", listener.url, data={"a": "1"}).status == 200
        time.sleep(0.02)
    assert listener.connections == 3
