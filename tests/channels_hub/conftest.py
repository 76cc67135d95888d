"""Local servers that behave badly on purpose, and the client that meets them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from django_scopes.state import state

from channels_hub.fake_provider import FakeProvider
from channels_hub.http import Client

Behaviour = Callable[[socket.socket], None]


class Listener:
    """A TCP server whose one behaviour is a function of the connection. Counts who came."""

    def __init__(self, behave: Behaviour, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family)
        self._socket.bind((host, 0))
        self._socket.listen(8)
        self.behave, self.connections, self.received = behave, 0, b""
        self.host, self.port = host, self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/path"

    def _serve(self) -> None:
        while True:
            try:
                connection, _peer = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            with connection, suppress(OSError):  # a client that hung up is part of the test
                self.behave(connection)

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept(), which would take one more guest
        self._socket.close()


def read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    return data


def answering(raw: bytes) -> Behaviour:
    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(raw)

    return behave


@pytest.fixture
def listen(settings) -> Iterator[Callable[..., Listener]]:
    made: list[Listener] = []

    def make(behave: Behaviour, *, allowed: bool = True) -> Listener:
        listener = Listener(behave)
        made.append(listener)
        if allowed:
            settings.PYTAKE_ALLOW_PRIVATE_HOSTS = [
                *settings.PYTAKE_ALLOW_PRIVATE_HOSTS,
                f"127.0.0.1:{listener.port}",
            ]
        return listener

    settings.PYTAKE_ALLOW_PRIVATE_HOSTS = []
    yield make
    for listener in made:
        listener.close()


@pytest.fixture
def http() -> Iterator[Client]:
    client = Client()
    yield client
    client.close()


@pytest.fixture
def fake(settings) -> Iterator[FakeProvider]:
    with FakeProvider() as provider:
        settings.PYTAKE_ALLOW_PRIVATE_HOSTS = [provider.url.removeprefix("http://")]
        yield provider


@contextmanager
def unscoped() -> Iterator[None]:
    """As a request that has no tenant yet: outside every scope that the fixtures opened."""
    token = state.set(None)
    try:
        yield
    finally:
        state.reset(token)
