"""What every socket of members has: who is behind it, a limit to what it says, readers off the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.sessions.backends.db import SessionStore
from django.db import DatabaseError

from accounts.middleware import membership_of
from accounts.models import Membership
from accounts.roles import Action

STRANGER = 4401
TOO_FAST = 4429
TOO_BIG = 1009
RECHECK = 30.0
MAX_FRAME = 64 * 1024
MAX_PER_SECOND = 20
_readers = ThreadPoolExecutor(4, thread_name_prefix="frames")


def in_reader(function: Any) -> Any:
    """Run in one of a few threads of their own: page requests and sockets must not wait for each other."""
    return database_sync_to_async(function, thread_sensitive=False, executor=_readers)


async def stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class MemberSocket(AsyncWebsocketConsumer):
    """A socket behind a session. It follows the session: logged out means closed, a new role counts."""

    channel_layer_alias = None  # one listener per process hears for everybody
    needs = Action.READ_CONVERSATIONS
    member: Membership
    bell: asyncio.Event  # something is to be read
    presence = ""  # the stamp of the one that the page shows
    presence_is_old = False

    async def enter(self) -> bool:
        """Accept, then find out who it is: a code reaches the page only over an open socket."""
        self.tasks: list[asyncio.Task[None]] = []
        self.marks: list[float] = []
        member = await self.whoever()
        await self.accept()
        if member is None:
            await self.close(STRANGER)
            return False
        self.member = member
        return True

    def start(self, *jobs: Coroutine[Any, Any, None]) -> None:
        self.tasks += [asyncio.create_task(job) for job in jobs]

    async def stop_jobs(self) -> None:
        await stop([task for task in self.tasks if task is not asyncio.current_task()])

    def presence_is(self, stamp: str) -> None:
        """A poll has read it: another page, a supervisor or the desk may have changed it."""
        if self.presence and stamp and stamp != self.presence:
            self.presence, self.presence_is_old = stamp, True
            self.bell.set()

    async def is_too_much(self, said: str | bytes) -> bool:
        """Closes a socket that says too much at once or too often."""
        if len(said) > MAX_FRAME:
            await self.close(TOO_BIG)
            return True
        now = time.monotonic()
        self.marks = [mark for mark in self.marks if now - mark < 1] + [now]
        if len(self.marks) > MAX_PER_SECOND:
            await self.close(TOO_FAST)
            return True
        return False

    async def whoever(self) -> Membership | None:
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
        return member if member and member.may(self.needs) else None

    async def recheck(self) -> None:
        """Logged out, deactivated or given another role: the socket follows within half a minute."""
        while True:
            await asyncio.sleep(RECHECK)
            try:
                member = await self.whoever()
            except DatabaseError:
                continue
            if member is None or member.organization_id != self.member.organization_id:
                await self.close(STRANGER)
                return
            self.member = member
            await self.rechecked()

    async def rechecked(self) -> None:
        """The membership was read anew; for sockets whose sight follows from it."""
