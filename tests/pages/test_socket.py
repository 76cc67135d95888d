"""The inbox socket: who may open it, what it sends, and that it lives without a channel layer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client
from django.urls import path

from conversations import consumers, frames, handoff, sockets

pytestmark = pytest.mark.django_db(transaction=True)
application = AuthMiddlewareStack(URLRouter([path("ws/inbox/", consumers.InboxConsumer.as_asgi())]))
Open = Callable[..., Awaitable[WebsocketCommunicator]]


def cookie_of(member: Any) -> bytes:
    client = Client()
    client.force_login(member.user)
    (name, morsel), *_ = client.cookies.items()
    return f"{name}={morsel.value}".encode()


@pytest.fixture
async def open_socket(settings: Any) -> AsyncIterator[Open]:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    opened: list[WebsocketCommunicator] = []

    async def connect(member: Any = None, since: str = "", **query: str) -> WebsocketCommunicator:
        text = "&".join(f"{k}={v}" for k, v in {"since": since, **query}.items())
        headers = [(b"cookie", await sync_to_async(cookie_of)(member))] if member else []
        socket = WebsocketCommunicator(application, f"/ws/inbox/?{text}", headers=headers)
        assert (await socket.connect(timeout=5))[0]
        opened.append(socket)
        return socket

    yield connect
    for socket in opened:
        await socket.disconnect()


async def next_frame(socket: WebsocketCommunicator, timeout: float = 20) -> dict[str, Any]:
    return json.loads(await socket.receive_from(timeout=timeout))


async def heard(socket: WebsocketCommunicator, text: str) -> dict[str, Any]:
    """The first frame that says it."""
    while text not in json.dumps(frame := await next_frame(socket), ensure_ascii=False):
        pass
    return frame


async def closed_with(socket: WebsocketCommunicator) -> int:
    message = await socket.receive_output(timeout=5)
    assert message["type"] == "websocket.close"
    return message["code"]


async def test_strangers_are_closed_with_4401(open_socket):
    assert await closed_with(await open_socket()) == 4401


async def test_a_deactivated_member_is_closed_with_4401(open_socket, ana):
    ana.is_active = False
    await sync_to_async(ana.save)(update_fields=["is_active"])

    assert await closed_with(await open_socket(ana)) == 4401


async def test_what_happened_since_the_page_was_read_comes_first(
    open_socket, ana, make_conversation, write_in
):
    conversation = await sync_to_async(make_conversation)("human_handoff", agent=ana)
    since = await sync_to_async(frames.current_cursor)()
    await sync_to_async(write_in)(conversation, "enquanto isso")

    frame = await heard(await open_socket(ana, since, tab="mine"), "enquanto isso")

    assert any(op["target"] == f"row-{conversation.pk}" for op in frame["ops"])


async def test_an_open_page_hears_without_any_channel_layer(
    open_socket, ana, make_conversation, write_in, settings
):
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": ["redis://127.0.0.1:1/0"]},
        }
    }
    conversation = await sync_to_async(make_conversation)("human_handoff", agent=ana)
    socket = await open_socket(ana, await sync_to_async(frames.current_cursor)(), tab="mine")
    await sync_to_async(write_in)(conversation, "sem redis")

    assert (await heard(socket, "sem redis"))["events"] >= 1


async def test_a_socket_that_looks_at_another_conversation_gets_what_that_part_missed(
    open_socket, ana, make_conversation, write_in
):
    conversation = await sync_to_async(make_conversation)("human_handoff", agent=ana)
    since = await sync_to_async(frames.current_cursor)()
    socket = await open_socket(ana, since, tab="mine")
    message = await sync_to_async(write_in)(conversation, "antes de abrir")
    await heard(socket, "antes de abrir")

    await socket.send_to(json.dumps({"open": str(conversation.pk), "since": since}))

    assert await heard(socket, f"m-{message.pk}")


async def test_a_colleagues_conversation_is_never_sent(open_socket, ana, bia, make_conversation, write_in):
    hers = await sync_to_async(make_conversation)("human_handoff", agent=bia)
    own = await sync_to_async(make_conversation)("human_handoff", agent=ana)
    since = await sync_to_async(frames.current_cursor)()
    socket = await open_socket(ana, since, tab="all", open=str(hers.pk))
    await sync_to_async(write_in)(hers, "segredo")
    await sync_to_async(write_in)(own, "meu")

    said = ""
    while "meu" not in said:
        said += await socket.receive_from(timeout=20)
    assert "segredo" not in said


async def test_a_ping_is_answered_and_nonsense_is_ignored(open_socket, ana):
    socket = await open_socket(ana, await sync_to_async(frames.current_cursor)())
    for text in ("{", "[]", "3", '{"open": 5}', '{"ping": 1}'):
        await socket.send_to(text)

    assert (await heard(socket, "pong")) == {"pong": 1}


async def test_too_many_messages_a_second_close_the_socket(open_socket, ana):
    socket = await open_socket(ana, await sync_to_async(frames.current_cursor)())
    for _ in range(sockets.MAX_PER_SECOND + 1):
        await socket.send_to("{}")

    assert await closed_with(socket) == sockets.TOO_FAST


async def test_a_message_over_64_kb_closes_the_socket(open_socket, ana):
    socket = await open_socket(ana, await sync_to_async(frames.current_cursor)())
    await socket.send_to("x" * (64 * 1024 + 1))

    assert await closed_with(socket) == sockets.TOO_BIG


async def test_logging_out_closes_the_socket_at_the_next_check(open_socket, ana, monkeypatch):
    monkeypatch.setattr(sockets, "RECHECK", 0.3)
    socket = await open_socket(ana, await sync_to_async(frames.current_cursor)())
    await sync_to_async(SessionStore.get_model_class().objects.all().delete)()

    assert await closed_with(socket) == 4401


async def test_a_new_role_counts_from_the_next_check(
    open_socket, ana, bia, make_conversation, write_in, monkeypatch
):
    monkeypatch.setattr(sockets, "RECHECK", 0.2)
    hers = await sync_to_async(make_conversation)("human_handoff", agent=bia)
    socket = await open_socket(ana, await sync_to_async(frames.current_cursor)(), tab="all")
    ana.role = "supervisor"
    await sync_to_async(ana.save)(update_fields=["role"])
    await asyncio.sleep(0.6)
    await sync_to_async(write_in)(hers, "agora visível")

    assert await heard(socket, "agora visível")


async def test_the_hub_rests_when_the_last_socket_leaves(open_socket, ana, support, make_conversation):
    socket = await open_socket(ana, await sync_to_async(frames.current_cursor)())
    hub = consumers.hub()
    assert hub.sockets
    assert hub.tasks
    conversation = await sync_to_async(make_conversation)("queued", queue=support)
    await sync_to_async(handoff.claim)(conversation.pk, agent_id=ana.pk)
    await socket.disconnect()

    assert not hub.sockets
    assert not hub.tasks
