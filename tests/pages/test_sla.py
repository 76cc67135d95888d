"""What agents see of a promise: a chip in the list and above the thread, that changes while they look."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from accounts.models import Membership, Organization
from conversations import clockwork, frames, handoff, outbox, pages
from conversations.models import Conversation, Deadline
from conversations.pages import View
from queues.models import Queue, SlaPolicy
from tests.pages.conftest import settled

pytestmark = pytest.mark.django_db

Make = Callable[..., Conversation]
LogIn = Callable[[Membership], Client]


@pytest.fixture
def gold(acme: Organization, make_queue: Callable[..., Queue]) -> Queue:
    policy = SlaPolicy.objects.create(
        organization=acme, name="Gold", clock="calendar", wait_minutes=10, first_response_minutes=20
    )
    return make_queue("gold", sla_policy=policy)


def pass_time(kind: str) -> None:
    Deadline.objects.filter(kind=kind).update(due_at=timezone.now() - timedelta(minutes=1))
    clockwork.drain_deadlines()


def chip(conversation: Conversation, *, later: timedelta = timedelta(0)) -> pages.Chip | None:
    found = pages.with_sla(Conversation.objects.select_related(*pages.RELATED)).get(pk=conversation.pk)
    return pages.sla_chip(found, conversation.queued_at + later)


def test_the_chip_counts_down_then_warns_then_is_red(make_conversation: Make, gold: Queue) -> None:
    conversation = make_conversation("queued", queue=gold)
    calm = chip(conversation)
    assert (calm.css, calm.label, calm.text) == ("ok", "SLA", "10:00")
    pass_time("sla_wait")
    assert (chip(conversation).css, chip(conversation).text) == ("warn", "10:00")
    pass_time("sla_wait")
    with translation.override("en"):
        late = chip(conversation, later=timedelta(minutes=14))
    assert (late.css, late.label, late.text) == ("bad", "SLA missed", "04:00")


def test_the_nearest_promise_is_shown_and_none_when_all_are_kept(
    make_conversation: Make, gold: Queue, ana: Membership
) -> None:
    conversation = make_conversation("queued", queue=gold)
    handoff.claim(conversation.pk, agent_id=ana.pk)
    assert chip(conversation).text == "20:00"
    outbox.reply(conversation.pk, agent=ana, text="Bom dia")
    assert chip(conversation) is None


def test_without_a_promise_there_is_no_chip(make_conversation: Make, support: Queue) -> None:
    assert chip(make_conversation("queued", queue=support)) is None


def test_list_and_header_carry_it(
    make_conversation: Make, gold: Queue, ana: Membership, log_in: LogIn
) -> None:
    conversation = make_conversation("queued", queue=gold)
    html = log_in(ana).get(f"/inbox/{conversation.pk}/?tab=queue").content.decode()
    assert html.count("SLA <pt-time data-until=") == 2
    assert 'data-over="missed"' in html


def test_the_list_asks_no_more_for_many_promises(
    make_conversation: Make, gold: Queue, ana: Membership, log_in: LogIn
) -> None:
    client, counts = log_in(ana), []
    client.get("/inbox/?tab=queue")
    for _ in range(2):
        for _more in range(6):
            make_conversation("queued", queue=gold)
        with CaptureQueriesContext(connection) as seen:
            client.get("/inbox/?tab=queue")
        counts.append(len(seen))
    assert counts[0] == counts[1]


@pytest.mark.django_db(transaction=True)
def test_an_open_page_learns_that_a_promise_is_kept(
    make_conversation: Make, gold: Queue, ana: Membership
) -> None:
    conversation = make_conversation("queued", queue=gold)
    handoff.claim(conversation.pk, agent_id=ana.pk)
    settled()
    cursor = frames.current_cursor()
    outbox.reply(conversation.pk, agent=ana, text="Bom dia")
    settled()
    frame = frames.frames_since(ana, cursor, View.of("mine"), conversation.pk)
    (head,) = [op for op in frame["ops"] if op["target"] == "head"]
    assert "SLA" not in head["html"]
