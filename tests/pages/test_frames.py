"""Live frames: nothing is missed, nothing is shown to the wrong person, seeing a frame twice is harmless."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import translation
from django_scopes import scope

from conversations import frames, handoff, outbox
from conversations.models import Event
from conversations.moves import writing
from conversations.pages import View
from tests.conftest import another_session
from tests.pages.conftest import settled

pytestmark = pytest.mark.django_db(transaction=True)
ENGLISH = translation.override("en")
MINE, QUEUE, ALL = View("mine"), View("queue"), View("all")


@pytest.fixture(autouse=True)
def in_english() -> Iterator[None]:
    with ENGLISH:
        yield


def here() -> str:
    settled()
    return frames.current_cursor()


def look(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """A frame once everything written before is readable."""
    settled()
    return frames.frames_since(*args, **kwargs)


def ops(frame: dict[str, Any], **wanted: str) -> list[dict[str, Any]]:
    return [op for op in frame["ops"] if all(str(op[k]).startswith(v) for k, v in wanted.items())]


def test_a_new_message_puts_the_row_on_top_and_the_bubble_into_the_open_thread(
    ana, make_conversation, write_in
):
    conversation = make_conversation("human_handoff", agent=ana)
    cursor = here()
    message = write_in(conversation, "Cadê meu pedido?")

    frame = look(ana, cursor, MINE, conversation.pk)

    assert "Cadê meu pedido?" in ops(frame, op="top", target=f"row-{conversation.pk}")[0]["html"]
    bubble = ops(frame, op="upsert", target=f"m-{message.pk}")[0]
    assert (bubble["scope"], bubble["seq"]) == (str(conversation.pk), message.seq)
    assert ops(frame, target="count-mine")[0]["html"] == "1"
    assert frame["events"] == 1


def test_a_cursor_taken_again_brings_nothing(ana, make_conversation, write_in):
    conversation = make_conversation("human_handoff", agent=ana)
    cursor = here()
    write_in(conversation)

    after = look(ana, cursor, MINE)["cursor"]

    assert look(ana, after, MINE) == {"cursor": after, "kind": "events", "events": 0, "ops": []}


def test_somebody_elses_conversation_is_told_as_a_row_to_remove_and_nothing_more(
    ana, bia, make_conversation, write_in
):
    conversation = make_conversation("human_handoff", agent=bia)
    cursor = here()
    write_in(conversation, "segredo")

    frame = look(ana, cursor, ALL, conversation.pk)

    assert ops(frame, op="remove", target=f"row-{conversation.pk}")
    assert "segredo" not in str(frame)


def test_a_claimed_conversation_leaves_the_queue_of_the_others(ana, bia, support, make_conversation):
    conversation = make_conversation("queued", queue=support)
    cursor = here()
    handoff.claim(conversation.pk, agent_id=bia.pk)

    assert ops(look(ana, cursor, QUEUE), op="remove", target=f"row-{conversation.pk}")
    assert ops(look(bia, cursor, MINE), op="top", target=f"row-{conversation.pk}")


def test_an_open_thread_that_was_taken_away_is_replaced_by_a_sentence(ana, bia, make_conversation):
    conversation = make_conversation("human_handoff", agent=ana)
    cursor = here()
    handoff.transfer(conversation.pk, actor=ana, agent_id=bia.pk)

    frame = look(ana, cursor, MINE, conversation.pk)

    assert "no longer with you" in ops(frame, op="morph", target="open")[0]["html"]


def test_another_organization_never_hears_of_it(ana, rival, rival_agent, make_conversation, write_in):
    conversation = make_conversation("human_handoff", agent=ana)
    cursor = here()
    write_in(conversation)

    with scope(organization=rival):
        assert look(rival_agent, cursor, ALL, conversation.pk)["events"] == 0


def test_a_status_changes_the_bubble_in_place(ana, make_conversation, write_in):
    conversation = make_conversation("human_handoff", agent=ana)
    message, _new = outbox.reply(conversation.pk, agent=ana, text="Oi", client_id="c-1")
    cursor = here()
    message.deliveries.update(status="delivered")
    with writing(conversation.pk) as locked:
        outbox.refresh_status(locked, message)

    frame = look(ana, cursor, MINE, conversation.pk)

    assert "#checks" in ops(frame, op="upsert", target="m-c-1")[0]["html"]
    assert ops(frame, op="upsert", target="row-")
    assert not ops(frame, op="top")


def test_a_claim_draws_header_foot_and_panel_anew(ana, support, make_conversation):
    conversation = make_conversation("queued", queue=support)
    cursor = here()
    handoff.claim(conversation.pk, agent_id=ana.pk)

    frame = look(ana, cursor, MINE, conversation.pk)

    assert [op["target"] for op in ops(frame, op="morph")] == ["head", "composer", "panel"]
    assert 'data-mode="reply"' in ops(frame, target="composer")[0]["html"]
    assert ops(frame, op="upsert", target="e-")


def test_too_far_behind_or_a_strange_cursor_means_a_fresh_page(ana, make_conversation, write_in):
    conversation = make_conversation("human_handoff", agent=ana)
    cursor = here()
    for _ in range(4):
        write_in(conversation)

    assert look(ana, cursor, MINE, limit=3)["reset"]
    for strange in ("", "x", "1", "1.2.3", "-1.0", "1.x", "9" * 40 + ".1", "²3.1"):
        assert look(ana, strange, MINE)["reset"]


def test_what_commits_late_is_not_lost(ana, make_conversation, write_in):
    """The later transaction commits first: a reader by id alone would step over the earlier one."""
    slow, quick = make_conversation("human_handoff", agent=ana), make_conversation("human_handoff", agent=ana)
    cursor = here()
    written, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with scope(organization=ana.organization), transaction.atomic():
            write_in(slow, "demorado")
            written.set()
            go_on.wait(10)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    written.wait(10)
    write_in(quick, "rápido")
    first = frames.frames_since(ana, cursor, MINE)
    go_on.set()
    thread.join()
    second = look(ana, first["cursor"], MINE)

    assert "demorado" not in str(first)
    assert "demorado" in str(first) + str(second)
    assert "rápido" in str(first) + str(second)


def test_a_long_transaction_of_another_database_holds_nothing_back(ana, make_conversation, write_in):
    """One server may keep several databases; their transactions can't write into our ledger."""
    conversation = make_conversation("human_handoff", agent=ana)
    cursor = here()
    with another_session("postgres") as elsewhere:
        elsewhere.execute("SELECT pg_current_xact_id()")
        write_in(conversation, "na hora")
        with connection.cursor() as server:
            server.execute("SELECT pg_snapshot_xmin(pg_current_snapshot()) < conversations_settled_xid()")
            assert server.fetchone() == (True,)
        assert "na hora" in str(frames.frames_since(ana, cursor, MINE))


@pytest.mark.race
def test_no_event_of_many_writers_is_missed_and_none_is_told_twice(ana, make_conversation, write_in):
    conversations = [make_conversation("human_handoff", agent=ana) for _ in range(5)]
    start = frames.parsed(here())
    done = threading.Event()
    told: list[int] = []

    def write(conversation: Any) -> None:
        with scope(organization=ana.organization):
            for _ in range(40):
                write_in(conversation)
        connection.close()

    def read() -> None:
        at = start
        while True:
            finished = done.is_set()
            if finished:
                settled()
            lines = frames._read(ana.organization_id, at, 500)
            told.extend(line.id for line in lines)
            if lines:
                at = (lines[-1].xid, lines[-1].id)
            elif finished:
                break
        connection.close()

    writers = [threading.Thread(target=write, args=(c,)) for c in conversations]
    reader = threading.Thread(target=read)
    for thread in [reader, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join(30)

    ids = set(Event.objects.filter(type="message_in", data__has_key="message").values_list("id", flat=True))
    assert len(ids) == 200
    assert len(told) == len(set(told))
    assert ids <= set(told)
