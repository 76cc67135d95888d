"""Overflow in the admin: rules on the queue's page, and the picture of all of them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry
from queues.models import Department, OverflowRule, Queue, RoutingCall
from tests.admin.pages import form_data, page
from tests.admin.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def other(ours: World) -> Queue:
    return Queue.objects.create(
        organization=ours.organization, name="OURMARK spill", slug="spill", department=ours[Department],
        max_queue_size=3,
    )  # fmt: skip


def add_rule(client: Client, queue: Queue, **fields: Any) -> Any:
    url = page(Queue, "change", queue.pk)
    data = form_data(client.get(url))
    number = int(data["overflow_rules-TOTAL_FORMS"])
    data |= {f"overflow_rules-{number}-{name}": value for name, value in fields.items()}
    return client.post(url, {**data, "overflow_rules-TOTAL_FORMS": str(number + 1)})


def test_a_rule_is_added_on_the_queues_page(lead: Client, ours: World, other: Queue) -> None:
    RoutingCall.objects.all().delete()
    revision = Queue.objects.get(pk=ours[Queue].pk).revision
    done = add_rule(
        lead, ours[Queue], position="0", condition="waited", after_minutes="5", target=str(other.pk)
    )
    assert done.status_code == 302
    rule = OverflowRule.objects.get()
    assert (rule.queue, rule.condition, rule.after_minutes, rule.target) == (ours[Queue], "waited", 5, other)
    assert Queue.objects.get(pk=ours[Queue].pk).revision == revision + 1
    assert AuditEntry.objects.filter(action="overflowrule.created").exists()
    assert RoutingCall.objects.exists()


def test_a_circle_is_refused_at_the_rule(lead: Client, ours: World, other: Queue) -> None:
    Queue.objects.filter(pk=other.pk).update(overflow_queue=ours[Queue])
    refused = add_rule(lead, ours[Queue], position="0", condition="full", target=str(other.pk))
    (formset,) = [one.formset for one in refused.context["inline_admin_formsets"]]
    assert "OURMARK spill → OURMARK queue" in str(formset.errors)
    assert not OverflowRule.objects.exists()


def test_a_new_queue_may_come_with_rules(lead: Client, ours: World, other: Queue) -> None:
    data = form_data(lead.get(page(Queue, "add"))) | {
        "name": "Third", "slug": "third", "department": str(ours[Department].pk), "priority": "60",
        "overflow_rules-TOTAL_FORMS": "1", "overflow_rules-0-position": "0",
        "overflow_rules-0-condition": "nobody", "overflow_rules-0-target": str(other.pk),
    }  # fmt: skip
    assert lead.post(page(Queue, "add"), data).status_code == 302
    assert OverflowRule.objects.get().queue.slug == "third"


def test_saving_in_the_admin_keeps_the_finer_wishes_of_the_api(lead: Client, ours: World) -> None:
    wishes = {
        "skills_required": ["skill"], "skill_levels": {"skill": 3},
        "skills_preferred": [{"skill": "skill", "level": 2}],
    }  # fmt: skip
    Queue.objects.filter(pk=ours[Queue].pk).update(settings=wishes)
    url = page(Queue, "change", ours[Queue].pk)
    agent = str(ours.members["agent"].pk)
    assert lead.post(url, form_data(lead.get(url)) | {"agents": [agent]}).status_code == 302
    assert Queue.objects.get(pk=ours[Queue].pk).settings == {**wishes, "allowed_agent_ids": [agent]}


PICTURE = "admin:queues_queue_overflow"


def test_the_picture_shows_every_queue_and_rule_and_nothing_of_others(
    lead: Client, ours: World, theirs: World, other: Queue
) -> None:
    OverflowRule.objects.create(
        organization=ours.organization, queue=ours[Queue], condition="waited", after_minutes=7, target=other
    )
    html = lead.get(reverse(PICTURE)).content.decode()
    svg = html[html.index('class="graph"') : html.index("</svg>")]
    assert svg.count("<rect ") == 2
    assert svg.count('class="graph-arrow"') == 1
    assert "after 7 min" in svg
    assert "0 / 3" in svg
    assert "waited 7 minutes → OURMARK spill" in html[html.index("<tbody") :]
    assert theirs.mark not in html
    assert not re.search(r"<svg[^>]*style=|<(rect|text|path|g)[^>]*style=", svg)


def test_the_picture_is_linked_from_the_list_and_the_sidebar(lead: Client, ours: World) -> None:
    html = lead.get(page(Queue, "changelist")).content.decode()
    assert html.count(f'href="{reverse(PICTURE)}"') >= 2


def test_the_picture_costs_the_same_with_many_queues(
    lead: Client, ours: World, django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        Queue.objects.create(
            organization=ours.organization, name=f"N{number}", slug=f"n{number}", overflow_queue=ours[Queue],
            department=ours[Department],
        )  # fmt: skip
    with django_assert_max_num_queries(12):
        assert lead.get(reverse(PICTURE)).status_code == 200


def test_who_may_not_see_queues_does_not_see_the_picture(ours: World) -> None:
    client = Client()
    client.force_login(ours.members["agent"].user)
    assert client.get(reverse(PICTURE)).status_code in (302, 403)
