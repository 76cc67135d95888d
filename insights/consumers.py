"""The socket of board and wall: one watch per look and process reads, every socket gets what its page lacks.

A watch looks into the database by itself, so that nothing depends on a bell: presence, offers and sendings
change without a line in the ledger.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone, translation
from django_scopes import scope

from accounts.roles import Action
from conversations import frames, signs, sockets
from insights import snapshot
from insights.floor import Look
from insights.reads import Memory
from insights.snapshot import Snapshot

logger = logging.getLogger(__name__)

PACE = 1.0  # seconds between two looks
EASE = 2  # a look that takes long is followed by a rest of so many times as long
BEAT = 5.0  # a page that hears nothing for twice as long says how old its figures are
RETRY = 1.0  # while the database is away
# Threads of their own: however many looks there are, inbox and pages do not wait for them.
_painters = ThreadPoolExecutor(2, thread_name_prefix="walls")


def _take(look: Look, memory: Memory) -> Any:
    return database_sync_to_async(snapshot.take, thread_sensitive=False, executor=_painters)(look, memory)


# ---------------------------------------------------------------- one watch per look
class Watch:
    """Takes snapshots of one look while somebody looks."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self.sockets: set[WallConsumer] = set()
        self.latest: Snapshot | None = None
        self.memory = Memory()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            began = time.monotonic()
            try:
                self.latest = await _take(self.look, self.memory)
                members = {socket.member.pk for socket in self.sockets}
                stamps = await sockets.in_reader(frames.presence_stamps)(members)
            except DatabaseError as error:
                # No beat either: the pages shall see that their figures grow old.
                logger.warning("a wall waits for the database: %s", type(error).__name__)
                await asyncio.sleep(RETRY)
                continue
            except Exception:
                logger.exception("a %s could not be read", self.look.page)
                await asyncio.sleep(BEAT)
                continue
            for socket in self.sockets:
                socket.presence_is(stamps.get(socket.member.pk, ""))
                socket.bell.set()
            took = time.monotonic() - began
            await asyncio.sleep(max(PACE - took, EASE * took))


class Watches:
    """The watches of this process; a look that nobody has any more is given up."""

    def __init__(self) -> None:
        self.by_look: dict[Look, Watch] = {}

    def join(self, socket: WallConsumer, look: Look) -> Watch:
        watch = self.by_look.get(look)
        if watch is None:
            watch = self.by_look[look] = Watch(look)
        watch.sockets.add(socket)
        return watch

    async def leave(self, socket: WallConsumer, watch: Watch) -> None:
        watch.sockets.discard(socket)
        if not watch.sockets and self.by_look.get(watch.look) is watch:
            del self.by_look[watch.look]
            await sockets.stop([watch.task])


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, Watches] = WeakKeyDictionary()


def watches() -> Watches:
    return _watches.setdefault(asyncio.get_running_loop(), Watches())


# ---------------------------------------------------------------- one socket
class WallConsumer(sockets.MemberSocket):
    """A board or a wall. It remembers which parts its page has: a slow reader just skips moments."""

    needs = Action.READ_FIGURES

    async def connect(self) -> None:
        self.bell = asyncio.Event()
        self.watch: Watch | None = None
        if not await self.enter():
            return
        asked = parse_qs(self.scope.get("query_string", b"").decode("latin-1"))
        self.asked = {name: values[0] for name, values in asked.items()}
        self.presence = self.asked.get("presence", "")
        await self._look()
        self.start(self._pump(), self.recheck())

    async def disconnect(self, code: int) -> None:
        await self.stop_jobs()
        if self.watch:
            await watches().leave(self, self.watch)

    async def _look(self) -> None:
        """Join the watch of what the page shows and this member may see; the page is then sent whole."""
        look = await sockets.in_reader(self._wanted)()
        if self.watch and self.watch.look == look:
            return
        before, self.watch = self.watch, watches().join(self, look)
        self.known: dict[str, str] | None = None
        if before:
            await watches().leave(self, before)

    def _wanted(self) -> Look:
        page = self.asked.get("page", "")
        with scope(organization=self.member.organization):
            return Look.of(
                self.member,
                page if page in snapshot.READERS else "wall",
                self.asked.get("department", ""),
                self._language(),
            )

    async def rechecked(self) -> None:
        await self._look()

    async def _pump(self) -> None:
        """Send what changed; when nothing did, say now and then that this is still how it stands."""
        last = 0.0
        while True:
            await self.bell.wait()
            self.bell.clear()
            shot = self.watch.latest if self.watch else None
            if shot is None:
                continue
            frame = shot.frame(self.known)
            self.known = shot.marks()
            if self.presence_is_old:
                frame["ops"] += await self._presence_ops()
            if frame["ops"] or time.monotonic() - last >= BEAT:
                last = time.monotonic()
                await self.send(json.dumps(frame))

    async def _presence_ops(self) -> list[dict[str, Any]]:
        """None while the database is away: the next look tries again."""
        self.presence_is_old = False
        try:
            return await sockets.in_reader(self._own_presence)()
        except DatabaseError:
            self.presence_is_old = True
            return []

    def _own_presence(self) -> list[dict[str, Any]]:
        """The viewer's menu: it is nobody else's, so no watch draws it."""
        language, zone = self._language(), ZoneInfo(self.member.organization.timezone)
        with translation.override(language), timezone.override(zone):
            return frames.presence_ops(self.member)

    def _language(self) -> str:
        asked = self.asked.get("lang", "")
        return asked if asked in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE

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
            await self._alive(touched=said.get("active") is True)
        if isinstance(said.get("department"), str):
            self.asked["department"] = said["department"]
            await self._look()

    async def _alive(self, *, touched: bool) -> None:
        """Somebody sits before the page; a screen on the wall sends no pings."""
        if signs.due(self.member.pk, touched=touched):
            await sockets.in_reader(signs.of_life)(self.member.pk, touched=touched)
