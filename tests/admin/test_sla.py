"""SLA policies and desk settings in the admin: edited with their steps, told in plain words."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import translation
from django_scopes import scopes_disabled

from queues.admin_sla import in_words, span
from queues.models import DeskSettings, Queue, SlaEscalation, SlaPolicy
from tests.admin.pages import form_data, page
from tests.admin.world import World

STEPS = "escalations"


def with_step(data: dict[str, Any], **step: Any) -> dict[str, Any]:
    number = int(data[f"{STEPS}-TOTAL_FORMS"])
    fields = {f"{STEPS}-{number}-{name}": value for name, value in step.items()}
    return {**data, **fields, f"{STEPS}-TOTAL_FORMS": number + 1}


def test_a_policy_is_edited_with_its_steps(lead: Client, ours: World) -> None:
    url = page(SlaPolicy, "change", ours[SlaPolicy].pk)
    data = form_data(lead.get(url)) | {"first_response_minutes": 20, "wait_minutes": 5}
    step = {"position": 1, "target": "sla_wait", "stage": "warning", "act": "raise_priority", "priority": 80}

    assert lead.post(url, with_step(data, **step)).status_code == 302

    policy = SlaPolicy.objects.get(pk=ours[SlaPolicy].pk)
    assert (policy.wait_minutes, policy.first_response_minutes) == (5, 20)
    assert [s.act for s in policy.escalations.all()] == ["move", "raise_priority"]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"act": "raise_priority"}, "Say which priority it shall have."),
        ({"act": "move"}, "Say which queue it shall go to."),
    ],
)
def test_a_step_without_its_aim_is_refused(lead: Client, ours: World, step: Any, said: str) -> None:
    url = page(SlaPolicy, "change", ours[SlaPolicy].pk)
    data = with_step(form_data(lead.get(url)), position=1, stage="breach", **step)

    assert said in lead.post(url, data).content.decode()
    assert SlaEscalation.objects.count() == 1


def test_a_page_that_is_older_than_the_policy_is_refused(lead: Client, ours: World) -> None:
    """A step counts as a change of its policy."""
    url = page(SlaPolicy, "change", ours[SlaPolicy].pk)
    late = form_data(lead.get(url))
    assert 'name="seen"' in lead.get(url).content.decode()
    lead.post(url, with_step(late, position=1, stage="breach", act="notify"))

    refused = lead.post(url, late | {"wait_minutes": 5})
    assert "Somebody changed this in the meantime" in refused.content.decode()
    policy = SlaPolicy.objects.get(pk=ours[SlaPolicy].pk)
    assert (policy.wait_minutes, policy.revision) == (None, 2)


def test_a_policy_without_any_target_is_refused(lead: Client, ours: World) -> None:
    url = page(SlaPolicy, "change", ours[SlaPolicy].pk)
    data = form_data(lead.get(url)) | {"first_response_minutes": ""}

    assert "Set a time for at least one target." in lead.post(url, data).content.decode()


def test_a_step_leads_to_no_foreign_queue(lead: Client, ours: World, theirs: World) -> None:
    url = page(SlaPolicy, "change", ours[SlaPolicy].pk)
    data = with_step(form_data(lead.get(url)), position=1, stage="breach", act="move")
    with scopes_disabled():
        data[f"{STEPS}-1-queue"] = str(theirs[Queue].pk)

    assert lead.post(url, data).status_code == 200
    assert SlaEscalation.objects.count() == 1


def test_a_policy_is_told_in_words(ours: World) -> None:
    with translation.override("en"):
        lines = in_words(ours[SlaPolicy])

    assert lines[0] == "Promised (opening hours only): first response within 15 min."
    assert lines[1] == "A warning comes at 80 % of each time."
    assert lines[2] == "any target, when it is missed: move to another queue (OURMARK queue)"


@pytest.mark.parametrize(
    ("minutes", "said"), [(None, "-"), (45, "45 min"), (60, "1 h"), (150, "2 h 30 min"), (2880, "2 d")]
)
def test_minutes_as_people_say_them(minutes: int | None, said: str) -> None:
    assert span(minutes) == said


def test_the_list_shows_targets_and_queues(lead: Client, ours: World) -> None:
    Queue.objects.update(sla_policy=ours[SlaPolicy])
    html = lead.get(page(SlaPolicy, "changelist")).content.decode()

    assert "15 min" in html
    assert "OURMARK queue" in html


def test_there_is_one_row_of_desk_settings(lead: Client, ours: World) -> None:
    assert lead.get(page(DeskSettings, "add")).status_code == 403
    DeskSettings.objects.all().delete()
    assert lead.get(page(DeskSettings, "add")).status_code == 200
