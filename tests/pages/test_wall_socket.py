"""The socket of board and wall: live within a second or so, and only what the viewer may see."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.sessions.backends.db import SessionStore
from django.db import DatabaseError
from django.urls import path

from conversations import attendance, frames, handoff, sockets
from insights import consumers, snapshot
from queues.models import AgentProfile, Department, Queue
from tests.pages.test_socket import closed_with, cookie_of, next_frame

pytestmark = pytest.mark.django_db(transaction=True)
application = AuthMiddlewareStack(URLRouter([path("ws/wall/", consumers.WallConsumer.as_asgi())]))
Open = Callable[..., Awaitable[WebsocketCommunicator]]
NO_REDIS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": ["redis://127.0.0.1:1/0"]},
    }
}
SOON = 1.5 + 1.5  # the promise, and what a busy test machine adds to it


@pytest.fixture
async def open_socket(settings: Any) -> AsyncIterator[Open]:
    settings.CHANNEL_LAYERS = NO_REDIS
    opened: list[WebsocketCommunicator] = []

    async def connect(member: Any = None, **query: str) -> WebsocketCommunicator:
        text = "&".join(f"{name}={value}" for name, value in {"lang": "en", **query}.items())
        headers = [(b"cookie", await sync_to_async(cookie_of)(member))] if member else []
        socket = WebsocketCommunicator(application, f"/ws/wall/?{text}", headers=headers)
        assert (await socket.connect(timeout=5))[0]
        opened.append(socket)
        return socket

    yield connect
    for socket in opened:
        await socket.disconnect()


async def heard(socket: WebsocketCommunicator, text: str) -> tuple[dict[str, Any], float]:
    """The first frame that says it, and how long that took."""
    began = time.monotonic()
    while text not in json.dumps(frame := await next_frame(socket), ensure_ascii=False):
        pass
    return frame, time.monotonic() - began


async def test_strangers_are_closed_with_4401(open_socket):
    assert await closed_with(await open_socket()) == sockets.STRANGER


async def test_a_wall_gets_everything_once_and_then_what_changed(
    open_socket, sofia, support, make_conversation
):
    socket = await open_socket(sofia, page="wall")
    first = await next_frame(socket)
    await sync_to_async(make_conversation)("queued", queue=support)
    frame, took = await heard(socket, "longest wait")

    assert first["whole"]
    assert {op["target"] for op in frame["ops"]} == {"tiles", "lines", "hours"}
    assert took < SOON


async def test_a_claim_empties_the_board_of_others(open_socket, sofia, ana, support, make_conversation):
    conversation = await sync_to_async(make_conversation)("queued", queue=support)
    socket = await open_socket(sofia, page="board")
    await heard(socket, f"card-{conversation.pk}")
    await sync_to_async(handoff.claim)(conversation.pk, agent_id=ana.pk)
    frame, took = await heard(socket, f"col-{support.pk}")

    assert str(conversation.pk) not in json.dumps(frame)
    assert took < SOON


async def test_a_change_of_presence_needs_no_bell(open_socket, sofia, ana, support):
    socket = await open_socket(sofia, page="wall")
    await next_frame(socket)
    await AgentProfile.objects.filter(member=ana).aupdate(presence="busy")
    _frame, took = await heard(socket, "at-busy")

    assert took < SOON


async def test_the_viewers_own_menu_follows_a_change_from_elsewhere(open_socket, ana, bia, support):
    stamps = await sync_to_async(frames.presence_stamps)([ana.pk, bia.pk])
    hers, others = [await open_socket(m, page="board", presence=stamps[m.pk]) for m in (ana, bia)]
    await next_frame(others)
    await sync_to_async(attendance.set_presence)(ana, "busy")

    frame, _took = await heard(hers, "me-presence")
    assert {"me-dot", "me-presence", "me-told"} <= {op["target"] for op in frame["ops"]}
    frame, _took = await heard(others, "at-busy")
    assert "me-presence" not in {op["target"] for op in frame["ops"]}


async def test_a_quiet_desk_says_that_it_still_stands_so(open_socket, sofia, support, monkeypatch):
    monkeypatch.setattr(consumers, "BEAT", 0.5)
    socket = await open_socket(sofia, page="wall")
    await next_frame(socket)
    beat = await next_frame(socket, timeout=5)

    assert (beat["kind"], beat["ops"]) == ("wall", [])


async def test_without_the_database_there_is_no_beat(open_socket, sofia, support, monkeypatch):
    monkeypatch.setattr(consumers, "BEAT", 0.2)
    socket = await open_socket(sofia, page="wall")
    await next_frame(socket)

    def away(*args: Any) -> None:
        raise DatabaseError

    monkeypatch.setattr(snapshot, "take", away)
    await asyncio.sleep(1.5)
    while not await socket.receive_nothing(timeout=0.01):
        await socket.receive_from()
    assert await socket.receive_nothing(timeout=1.5)


async def test_two_equal_looks_share_one_watch(open_socket, sofia, ana, bia, support):
    first = await open_socket(ana, page="board")
    second = await open_socket(bia, page="board")
    third = await open_socket(sofia, page="board")
    for socket in (first, second, third):
        await next_frame(socket)

    watching = consumers.watches().by_look
    assert sorted(len(watch.sockets) for watch in watching.values()) == [1, 2]


async def test_a_watch_ends_with_its_last_socket(open_socket, sofia, support):
    socket = await open_socket(sofia, page="wall")
    await next_frame(socket)
    await socket.disconnect()

    assert consumers.watches().by_look == {}


async def test_an_agent_gets_no_card_of_queues_they_do_not_serve(
    open_socket, ana, bia, support, make_queue, make_conversation, make_contact
):
    hers = await sync_to_async(make_queue)("dela", settings={"allowed_agent_ids": [str(bia.pk)]})
    contact = await sync_to_async(make_contact)("Segredo")
    await sync_to_async(make_conversation)("queued", queue=hers, contact=contact)
    frame = await next_frame(await open_socket(ana, page="board"))

    assert "Segredo" not in json.dumps(frame)
    assert [op["target"] for op in frame["ops"]] == ["agents", f"col-{support.pk}"]


async def test_another_department_is_shown_whole(open_socket, acme, sofia, support, make_queue):
    department = await Department.objects.acreate(organization=acme, name="Vendas", slug="vendas")
    sales = await sync_to_async(make_queue)("vendas")
    await Queue.objects.filter(pk=sales.pk).aupdate(department=department)
    socket = await open_socket(sofia, page="board")
    await next_frame(socket)
    await socket.send_to(json.dumps({"department": "vendas"}))
    frame = await next_frame(socket)

    assert frame["whole"]
    assert [op["target"] for op in frame["ops"]] == ["agents", f"col-{sales.pk}"]


async def test_logging_out_closes_the_socket_at_the_next_check(open_socket, sofia, monkeypatch):
    monkeypatch.setattr(sockets, "RECHECK", 0.3)
    socket = await open_socket(sofia, page="wall")
    await sync_to_async(SessionStore.get_model_class().objects.all().delete)()
    while (message := await socket.receive_output(timeout=5))["type"] != "websocket.close":
        pass

    assert message["code"] == sockets.STRANGER


async def test_a_new_role_counts_from_the_next_check(open_socket, ana, support, monkeypatch):
    monkeypatch.setattr(sockets, "RECHECK", 0.2)
    socket = await open_socket(ana, page="wall")
    await next_frame(socket)
    ana.role = "supervisor"
    await sync_to_async(ana.save)(update_fields=["role"])
    frame, _took = await heard(socket, "tile-outbox")

    assert frame["whole"]


async def test_a_ping_is_a_sign_of_life(open_socket, ana, support):
    socket = await open_socket(ana, page="board")
    await next_frame(socket)
    await AgentProfile.objects.filter(member=ana).aupdate(last_input_at=None)
    for text in ("{", "[]", '{"department": 5}', '{"ping": 1, "active": true}'):
        await socket.send_to(text)
    for _ in range(50):
        await asyncio.sleep(0.1)
        if await AgentProfile.objects.filter(member=ana, last_input_at__isnull=False).aexists():
            return
    pytest.fail("the ping was not noted")
