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
import time
from collections import defaultdict
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.db import DatabaseError
from django.utils import timezone, translation

from accounts.middleware import membership_of
from accounts.models import Membership
from accounts.roles import Action
from conversations import frames
from conversations.bells import LIVE_GROUP
from conversations.pages import View

logger = logging.getLogger(__name__)

STRANGER = 4401
TOO_FAST = 4429
TOO_BIG = 1009
COALESCE = 0.03  # seconds in which bells become one look
POLL = 1.0
RECHECK = 30.0
MAX_FRAME = 64 * 1024
MAX_PER_SECOND = 20
RETRY = 0.5  # while the database is away
LONGEST_REST = 15.0
_readers = ThreadPoolExecutor(4, thread_name_prefix="frames")


def _in_reader(function: Any) -> Any:
    """Run in one of a few threads of their own: page requests and sockets must not wait for each other."""
    return database_sync_to_async(function, thread_sensitive=False, executor=_readers)


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
            await _stop(tasks)

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
                now = await _in_reader(frames.newest)(list(self.sockets))
            except DatabaseError as error:
                logger.warning("the live poll waits for the database: %s", type(error).__name__)
                continue
            for organization_id, newest in now.items():
                if self.seen.get(organization_id) != newest:
                    self.seen[organization_id] = newest
                    self.ring(organization_id)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


# ---------------------------------------------------------------- one socket
class InboxConsumer(AsyncWebsocketConsumer):
    """A page of the inbox. It holds a cursor and nothing that could grow: a slow reader just reads later."""

    channel_layer_alias = None  # the hub listens for everybody
    member: Membership

    async def connect(self) -> None:
        self.bell = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
        self.joined = False
        self.marks: list[float] = []
        self.look = 0  # rises whenever the page looks at something else
        member = await self._member()
        if member is None:
            await self.accept()  # a code reaches the page only over an open socket
            await self.close(STRANGER)
            return
        self.member = member
        asked = {k: v[0] for k, v in parse_qs(self.scope.get("query_string", b"").decode("latin-1")).items()}
        self.cursor = asked.get("since", "")
        self.view = View.of(asked.get("tab", ""), asked.get("q", ""))
        self.open = _uuid(asked.get("open", ""))
        self.language = asked.get("lang", "")
        await self.accept()
        hub().join(self)  # first join, then read from the cursor: nothing falls between
        self.joined = True
        self.bell.set()
        self._start(self._pump(), self._recheck())

    def _start(self, *jobs: Coroutine[Any, Any, None]) -> None:
        self.tasks += [asyncio.create_task(job) for job in jobs]

    async def disconnect(self, code: int) -> None:
        if self.joined:
            await hub().leave(self)
        await _stop([t for t in self.tasks if t is not asyncio.current_task()])

    # -------------------------------------------------- out
    async def _pump(self) -> None:
        """Bell, a short pause in which more bells become one, then read and send until nothing is left."""
        while True:
            await self.bell.wait()
            await asyncio.sleep(COALESCE)
            self.bell.clear()
            look = self.look
            try:
                frame = await _in_reader(self._read)()
            except DatabaseError as error:
                logger.warning("a socket waits for the database: %s", type(error).__name__)
                await asyncio.sleep(RETRY)
                self.bell.set()
                continue
            if look != self.look:
                self.bell.set()  # the page moved on while we read: this frame is for another view
            elif frame.get("reset") or frame["events"]:
                self.cursor = frame["cursor"]
                await self.send(json.dumps(frame))

    def _read(self) -> dict[str, Any]:
        language = self.language if self.language in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
        zone = ZoneInfo(self.member.organization.timezone)
        with translation.override(language), timezone.override(zone):
            return frames.frames_since(self.member, self.cursor, self.view, self.open)

    # -------------------------------------------------- in
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if len(text_data or bytes_data or "") > MAX_FRAME:
            await self.close(TOO_BIG)
            return
        if self._too_fast():
            await self.close(TOO_FAST)
            return
        try:
            said = json.loads(text_data or "")
        except ValueError:
            return
        if not isinstance(said, dict):
            return
        if "ping" in said:
            await self.send('{"pong":1}')
        if "open" in said or "tab" in said or "q" in said:
            self._look_elsewhere(said)

    def _too_fast(self) -> bool:
        now = time.monotonic()
        self.marks = [mark for mark in self.marks if now - mark < 1] + [now]
        return len(self.marks) > MAX_PER_SECOND

    def _look_elsewhere(self, said: dict[str, Any]) -> None:
        """The page shows something else now; what happened since that part was read is sent again."""
        if "open" in said:
            self.open = _uuid(str(said["open"] or ""))
        if "tab" in said or "q" in said:
            self.view = View.of(str(said.get("tab", self.view.tab)), str(said.get("q", "")))
        since, here = frames.parsed(str(said.get("since", ""))), frames.parsed(self.cursor)
        if since and here and since < here:
            self.cursor = f"{since[0]}.{since[1]}"
        self.look += 1
        self.bell.set()

    # -------------------------------------------------- who
    async def _member(self) -> Membership | None:
        """The membership behind the session as it is now; None for strangers and who may not read."""
        session = self.scope.get("session")
        if session is None or not session.session_key:
            return None
        store = SessionStore(session.session_key)
        user = await get_user({"session": store})
        if not user.is_authenticated:
            return None
        chosen = await database_sync_to_async(lambda: store.get("organization"))()
        member = await database_sync_to_async(membership_of)(user, chosen)
        return member if member and member.may(Action.READ_CONVERSATIONS) else None

    async def _recheck(self) -> None:
        """Logged out, deactivated or given another role: the socket follows within half a minute."""
        while True:
            await asyncio.sleep(RECHECK)
            try:
                member = await self._member()
            except DatabaseError:
                continue
            if member is None or member.organization_id != self.member.organization_id:
                await self.close(STRANGER)
                return
            self.member = member


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
