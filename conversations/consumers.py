"""The socket of the inbox: a doorbell, a cursor and frames.

The channel layer only says "look"; what happened is read from the ledger with the viewer's rights. One hub
per process listens to the layer for all its sockets and looks into the database once a second, so that pages
stay live when Redis is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
from collections import defaultdict
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

from channels.layers import get_channel_layer
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone, translation

from conversations import frames, signs
from conversations.bells import LIVE_GROUP
from conversations.pages import View
from conversations.sockets import MemberSocket, in_reader, stop

logger = logging.getLogger(__name__)

COALESCE = 0.03  # seconds in which bells become one look
POLL = 1.0
RETRY = 0.5  # while the database is away
LONGEST_REST = 15.0


# ---------------------------------------------------------------- one hub per process
class Hub:
    """Knows the sockets of this process by organization and rings them."""

    def __init__(self) -> None:
        self.sockets: dict[UUID, set[InboxConsumer]] = defaultdict(set)
        self.tasks: list[asyncio.Task[None]] = []
        self.seen: dict[UUID, tuple[int, int]] = {}

    def join(self, socket: InboxConsumer) -> None:
        self.sockets[socket.member.organization_id].add(socket)
        if not self.tasks:
            self.tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._poll())]

    async def leave(self, socket: InboxConsumer) -> None:
        key = socket.member.organization_id
        self.sockets[key].discard(socket)
        if not self.sockets[key]:
            del self.sockets[key]
            self.seen.pop(key, None)
        if not self.sockets:
            tasks, self.tasks = self.tasks, []
            await stop(tasks)

    def ring(self, organization_id: UUID) -> None:
        for socket in self.sockets.get(organization_id, ()):
            socket.bell.set()

    async def _listen(self) -> None:
        """The layer's bells; without Redis rest longer and longer, the poll goes on meanwhile."""
        rest = 1.0
        while True:
            try:
                layer = get_channel_layer()
                name = await layer.new_channel("live")
                await layer.group_add(LIVE_GROUP, name)
                rest = 1.0
                while True:
                    message = await layer.receive(name)
                    self.ring(UUID(message["organization"]))
            except asyncio.CancelledError:
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(layer.group_discard(LIVE_GROUP, name), 1)
                raise
            except Exception as error:
                # Whatever the broker raises: pages are kept live by the poll.
                logger.warning("no bells from the channel layer: %s", type(error).__name__)
                await asyncio.sleep(rest * random.uniform(0.5, 1))
                rest = min(rest * 2, LONGEST_REST)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL)
            try:
                now = await in_reader(frames.newest)(list(self.sockets))
                stamps = await in_reader(frames.presence_stamps)(self.members())
            except DatabaseError as error:
                logger.warning("the live poll waits for the database: %s", type(error).__name__)
                continue
            for organization_id, newest in now.items():
                if self.seen.get(organization_id) != newest:
                    self.seen[organization_id] = newest
                    self.ring(organization_id)
            for sockets in self.sockets.values():
                for socket in sockets:
                    socket.presence_is(stamps.get(socket.member.pk, ""))

    def members(self) -> set[UUID]:
        return {socket.member.pk for sockets in self.sockets.values() for socket in sockets}


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())


def open_sockets() -> int:
    """How many pages of the inbox this process serves."""
    return sum(len(group) for one in tuple(_hubs.values()) for group in tuple(one.sockets.values()))


# ---------------------------------------------------------------- one socket
class InboxConsumer(MemberSocket):
    """A page of the inbox. It holds a cursor and nothing that could grow: a slow reader just reads later."""

    async def connect(self) -> None:
        self.bell = asyncio.Event()
        self.joined = False
        self.look = 0  # rises whenever the page looks at something else
        if not await self.enter():
            return
        asked = {k: v[0] for k, v in parse_qs(self.scope.get("query_string", b"").decode("latin-1")).items()}
        self.cursor = asked.get("since", "")
        self.view = View.of(asked.get("tab", ""), asked.get("q", ""), asked.get("only", ""))
        self.open = _uuid(asked.get("open", ""))
        self.language = asked.get("lang", "")
        self.presence = asked.get("presence", "")
        hub().join(self)  # first join, then read from the cursor: nothing falls between
        self.joined = True
        self.bell.set()
        self.start(self._pump(), self.recheck())

    async def disconnect(self, code: int) -> None:
        if self.joined:
            await hub().leave(self)
        await self.stop_jobs()

    # -------------------------------------------------- out
    async def _pump(self) -> None:
        """Bell, a short pause in which more bells become one, then read and send until nothing is left."""
        while True:
            await self.bell.wait()
            await asyncio.sleep(COALESCE)
            self.bell.clear()
            look, presence_is_old = self.look, self.presence_is_old
            self.presence_is_old = False
            try:
                frame = await in_reader(self._read)(with_presence=presence_is_old)
            except DatabaseError as error:
                self.presence_is_old |= presence_is_old
                logger.warning("a socket waits for the database: %s", type(error).__name__)
                await asyncio.sleep(RETRY)
                self.bell.set()
                continue
            if look != self.look:
                self.presence_is_old |= presence_is_old
                self.bell.set()  # the page moved on while we read: this frame is for another view
            elif frame.get("reset") or frame["events"] or presence_is_old:
                self.cursor = frame["cursor"]
                await self.send(json.dumps(frame))

    def _read(self, *, with_presence: bool) -> dict[str, Any]:
        language = self.language if self.language in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
        zone = ZoneInfo(self.member.organization.timezone)
        with translation.override(language), timezone.override(zone):
            frame = frames.frames_since(self.member, self.cursor, self.view, self.open)
            if with_presence:
                frame.setdefault("ops", []).extend(frames.presence_ops(self.member))
            return frame

    async def _live(self, *, touched: bool) -> None:
        """An open page is a sign of life; a closed one is only silence."""
        if signs.due(self.member.pk, touched=touched):
            await in_reader(signs.of_life)(self.member.pk, touched=touched)

    async def rechecked(self) -> None:
        await self._live(touched=False)  # tabs in the background hardly ever get to say something

    # -------------------------------------------------- in
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if await self.is_too_much(text_data or bytes_data or ""):
            return
        try:
            said = json.loads(text_data or "")
        except ValueError:
            return
        if not isinstance(said, dict):
            return
        if "ping" in said:
            await self.send('{"pong":1}')
            await self._live(touched=said.get("active") is True)
        if "open" in said or "tab" in said or "q" in said:
            self._look_elsewhere(said)

    def _look_elsewhere(self, said: dict[str, Any]) -> None:
        """The page shows something else now; what happened since that part was read is sent again."""
        if "open" in said:
            self.open = _uuid(str(said["open"] or ""))
        if "tab" in said or "q" in said:
            tab, only = said.get("tab", self.view.tab), said.get("only", "")
            self.view = View.of(str(tab), str(said.get("q", "")), str(only))
        since, here = frames.parsed(str(said.get("since", ""))), frames.parsed(self.cursor)
        if since and here and since < here:
            self.cursor = f"{since[0]}.{since[1]}"
        self.look += 1
        self.bell.set()


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
