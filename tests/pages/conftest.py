"""What the page tests share: browsers that are logged in, messages that come in, fresh log-in counters."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from accounts.models import Membership
from conversations.models import Conversation, Message
from conversations.moves import writing

LogIn = Callable[[Membership], Client]


@pytest.fixture
def no_old_tries() -> None:
    """Log-in counters live in Redis and would outlive a test."""
    store = redis.Redis.from_url(settings.REDIS_URL)
    for key in store.scan_iter("pytake:login:*"):
        store.delete(key)


@pytest.fixture(autouse=True)
def connections_end_with_their_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of the socket would keep theirs, and the test database could not be dropped."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0)


@pytest.fixture
def log_in() -> LogIn:
    def enter(member: Membership) -> Client:
        client = Client(headers={"accept-language": "en"})
        client.force_login(member.user)
        return client

    return enter


@pytest.fixture
def write_in() -> Callable[..., Message]:
    """The customer writes: what intake does, without a webhook."""

    def write(conversation: Conversation, text: str = "Oi", **fields: Any) -> Message:
        now = timezone.now()
        with writing(conversation.pk, cause="webhook") as locked:
            event = locked.log("message_in")
            message = Message.objects.create(
                organization_id=locked.organization_id, conversation=locked, channel_id=locked.channel_id,
                seq=event.seq, direction="in", sender="contact", text=text, occurred_at=now, created_at=now,
                **fields,
            )  # fmt: skip
            event.data["message"] = str(message.pk)
            locked.last_message_at = locked.last_inbound_at = now
            locked.unread += 1
            locked.preview, locked.preview_sender = text[:140], "contact"
        return message

    return write


def settled(seconds: float = 60) -> None:
    """Wait until no transaction of this database is older than this moment."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        now = cursor.fetchone()[0]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            cursor.execute("SELECT conversations_settled_xid()::text::bigint")
            if cursor.fetchone()[0] > now:
                return
            time.sleep(0.02)
    raise AssertionError("some transaction of this database stays open")
