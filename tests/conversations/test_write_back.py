"""Rows written back at once are as `bulk_update` would have left them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import DataError, transaction
from django.utils import timezone

from accounts.rows import write_back
from conversations.models import Attempt, Conversation, Delivery, Message
from tests.admin.sendings import call, sending
from tests.admin.world import build

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows(acme: Any) -> list[Attempt]:
    world = build(acme, "Loja", "+55113333000")
    return [call(sending(world), ago=timedelta(minutes=n)) for n in range(3)]


def test_each_row_gets_its_own_values_and_nothing_else_changes(
    rows: list[Attempt], django_assert_num_queries: Any
) -> None:
    others = Attempt.objects.exclude(pk__in=[row.pk for row in rows])
    before = list(others.values())
    for n, row in enumerate(rows):
        row.detail, row.milliseconds = f'it\'s {n} %s ☂ "{n}"', n
        row.request, row.ended_at = [{"url": f"/{n}", "fields": ["a"]}], timezone.now() + timedelta(days=n)
        row.response, row.code = (None, "") if n else ([], "x" * 40)
    with django_assert_num_queries(1):
        write_back(rows, ["detail", "milliseconds", "request", "response", "ended_at", "code"])

    stored = Attempt.objects.in_bulk([row.pk for row in rows])
    for row in rows:
        assert vars(stored[row.pk]) | {"_state": 0} == vars(row) | {"_state": 0} | _caches(stored[row.pk])
    assert list(others.values()) == before


def _caches(row: Attempt) -> dict[str, Any]:
    return {"outcome": row.outcome}  # kept as text


def test_a_text_that_is_too_long_is_an_error_and_is_not_cut(rows: list[Attempt]) -> None:
    rows[1].code = "x" * 41
    with pytest.raises(DataError), transaction.atomic():
        write_back(rows, ["code"])
    assert not Attempt.objects.filter(code__startswith="xx").exists()


def test_nothing_to_write_asks_nothing(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        write_back([], ["code"])


def test_links_and_numbers_are_written(make_conversation: Callable[..., Conversation]) -> None:
    conversation = make_conversation("pending")
    message = Message.objects.create(
        organization_id=conversation.organization_id, conversation=conversation,
        channel_id=conversation.channel_id, seq=7, direction="out", sender="bot", occurred_at=timezone.now(),
    )  # fmt: skip
    answer = Message.objects.create(
        organization_id=conversation.organization_id, conversation=conversation,
        channel_id=conversation.channel_id, seq=8, direction="out", sender="bot", occurred_at=timezone.now(),
    )  # fmt: skip
    answer.reply_to, answer.seq = message, 9
    write_back([answer], ["reply_to", "seq"])

    answer.refresh_from_db()
    assert (answer.reply_to_id, answer.seq) == (message.pk, 9)
    assert not Delivery.objects.exists()
