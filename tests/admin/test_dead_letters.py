"""Dead letters: what did not get through is grouped, told in words, and sent again once."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from accounts.models import AuditEntry, Membership
from conversations import admin_replay, outbox
from conversations.models import Conversation, DeadLetter, Delivery, Event
from tests.admin.pages import page, said
from tests.admin.sendings import sending
from tests.admin.test_isolation import snapshot
from tests.admin.world import World, dead_letter

LIST = page(DeadLetter, "changelist")
ALL = {"select_across": "1"}


def run(
    client: Client, rows: list[Any], *, name: str = "replay_selected", url: str = LIST, **more: str
) -> Any:
    """Say yes to an act on selected rows and let it go on to its end; the last answer."""
    data = {
        "action": name, "_selected_action": [str(row.pk) for row in rows], "_form_submitted": "on", **more,
    }  # fmt: skip
    for _request in range(20):
        response = client.post(url, data)
        if response.status_code == 302:
            return response
        hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', response.content.decode())
        data |= {key: value for key, value in hidden if key in ("until", "after", "done", "refused")}
    raise AssertionError("it never ends")


def statuses(rows: list[Any]) -> list[str]:
    return [Delivery.objects.get(pk=row.pk).status for row in rows]


def test_it_is_asked_before_anything_is_sent_again(lead: Client, ours: World) -> None:
    rows = [dead_letter(ours), dead_letter(ours, "unknown", "no_answer")]
    picked = {"action": "replay_selected", "_selected_action": [str(row.pk) for row in rows]}

    html = lead.post(LIST, picked).content.decode()

    assert "2 messages are sent again." in html
    assert "1 of them is not confirmed" in html
    assert statuses(rows) == ["failed", "unknown"]


def test_unconfirmed_ones_are_left_out_unless_somebody_says_so(lead: Client, ours: World) -> None:
    rows = [
        dead_letter(ours),
        dead_letter(ours, "expired", "expired"),
        dead_letter(ours, "unknown", "no_answer"),
    ]

    assert said(run(lead, rows)) == ["2 messages wait to be sent."]
    assert statuses(rows) == ["pending", "pending", "unknown"]

    run(lead, rows, unknown_too="on")
    assert statuses(rows)[-1] == "pending"
    entries = AuditEntry.objects.filter(action="outbox.replayed").order_by("at")
    assert [entry.data for entry in entries] == [{"count": 2}, {"count": 1}]


def test_all_that_match_the_filter_go_in_chunks_and_each_goes_once(
    lead: Client, ours: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_replay, "CHUNK", 2)
    rows = [dead_letter(ours, code="30008") for _ in range(5)]
    other = dead_letter(ours, code="63024")
    sent = []
    monkeypatch.setattr(outbox, "retry", lambda pk, **more: sent.append(pk) or retry(pk, **more))

    response = run(lead, rows[:1], url=f"{LIST}?error=30008", **ALL)

    assert said(response)[-1] == "5 messages wait to be sent."
    assert statuses([*rows, other]) == ["pending"] * 5 + ["failed"]
    assert sorted(sent) == sorted(row.message_id for row in rows)


retry = outbox.retry


def test_what_fails_again_meanwhile_is_not_sent_a_third_time(
    lead: Client, ours: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_replay, "CHUNK", 2)
    rows = [dead_letter(ours) for _ in range(5)]

    def fails_at_once(pk: Any, **more: Any) -> None:
        retry(pk, **more)
        now = admin_replay.database_now()
        Delivery.objects.filter(message=pk).update(status="failed", settled_at=now, error_code="30008")

    monkeypatch.setattr(outbox, "retry", fails_at_once)
    run(lead, rows, **ALL)

    assert Event.objects.filter(type="message_retried").count() == 6  # with the world's own


def test_parts_of_one_message_go_together(lead: Client, ours: World) -> None:
    first = dead_letter(ours)
    second = Delivery.objects.get(pk=first.pk)
    second.pk, second.part = None, 1
    second = Delivery.objects.create(
        **{f.attname: getattr(second, f.attname) for f in Delivery._meta.local_fields if f.name != "id"}
    )

    assert said(run(lead, [first, second])) == ["1 message waits to be sent."]
    assert statuses([first, second]) == ["pending", "pending"]


def test_who_is_refused_is_named_and_the_rest_goes_on(
    lead: Client, ours: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [dead_letter(ours) for _ in range(3)]

    def sometimes(pk: Any, **more: Any) -> None:
        if pk == rows[0].message_id:
            raise outbox.TooLate
        if pk == rows[1].message_id:
            raise OperationalError("canceling statement due to lock timeout")
        retry(pk, **more)

    monkeypatch.setattr(outbox, "retry", sometimes)
    told = said(run(lead, rows))

    assert told == [
        "OURMARK contact: it was sent again or confirmed meanwhile",
        "OURMARK contact: the conversation is busy, try again",
        "1 message waits to be sent.",
        "2 were refused.",
    ]


def test_what_waits_is_cancelled_and_what_left_is_not(lead: Client, ours: World) -> None:
    waiting, gone = ours[Delivery], sending(ours, "sent")

    response = run(lead, [waiting, gone], name="cancel_selected", url=page(Delivery, "changelist"))

    assert said(response) == ["1 message is not sent."]
    assert statuses([waiting, gone]) == ["cancelled", "sent"]


def test_forged_progress_is_refused(lead: Client, ours: World) -> None:
    data = {
        "action": "replay_selected", "_selected_action": str(ours[DeadLetter].pk), "_form_submitted": "on",
        "until": "2026-01-01T00:00:00", "after": "x", "done": "0", "refused": "0",
    }  # fmt: skip
    assert lead.post(LIST, data).status_code == 400


@pytest.mark.parametrize("across", ["0", "1"])
def test_another_organizations_letters_stay_dead(
    lead: Client, ours: World, theirs: World, across: str
) -> None:
    before = snapshot(theirs)

    run(lead, [theirs[DeadLetter]], select_across=across, unknown_too="on")

    assert snapshot(theirs) == before


@pytest.mark.parametrize("role", ["agent", "viewer"])
def test_who_is_no_supervisor_sends_nothing_again(
    ours: World, enter: Callable[[Membership], Client], role: str
) -> None:
    picked = {
        "action": "replay_selected",
        "_selected_action": str(ours[DeadLetter].pk),
        "_form_submitted": "on",
    }

    assert enter(ours.members[role]).post(LIST, picked).status_code == 302
    assert statuses([ours[DeadLetter]]) == ["failed"]


def test_groups_count_what_their_links_show(lead: Client, ours: World) -> None:
    for _ in range(2):
        dead_letter(ours, "unknown", "no_answer")
    sending(ours, "failed", ago=timedelta(days=3), error_code="63016")
    sending(ours, "failed", error_code="")

    groups = lead.get(LIST).context["groups"]

    assert {(g["status"], g["error_code"]): (g["n"], g["lately"]) for g in groups} == {
        ("failed", "63016"): (2, 1), ("unknown", "no_answer"): (2, 2), ("failed", ""): (1, 1),
    }  # fmt: skip
    for group in groups:
        assert lead.get(group["link"]).context["cl"].result_count == group["n"]
        assert lead.get(group["link_lately"]).context["cl"].result_count == group["lately"]


def test_the_list_says_what_happened_and_what_to_do(lead: Client, ours: World) -> None:
    dead_letter(ours, "unknown", "no_answer")

    html = lead.get(LIST).content.decode()

    assert "Send an approved template, or wait until the customer writes." in html
    assert "sent again, it may arrive twice" in html


def test_the_navigation_says_how_many(lead: Client, ours: World) -> None:
    def badge() -> str | None:
        (entry,) = (
            item
            for group in lead.get("/admin/").context["sidebar_navigation"]
            for item in group["items"]
            if item["link"] == LIST
        )
        return entry.get("badge")

    dead_letter(ours)
    assert badge() == "2"
    Delivery.objects.filter(conversation=ours[Conversation]).update(status="sent")
    assert badge() is None
