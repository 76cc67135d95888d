"""Lists cost the same with five rows and with sixty, and the overview costs the same on any day."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import audit
from accounts.models import ApiKey, AuditEntry, Membership
from channels_hub.models import ChannelAccount, InboundEvent, MessageTemplate
from contacts.models import Contact
from conversations import handoff, signs
from conversations.models import (
    Attempt,
    Conversation,
    DeadLetter,
    Deadline,
    Delivery,
    Event,
    Message,
    RoutingDecision,
    WebhookEndpoint,
    WebhookMessage,
)
from flows import services
from flows.models import Flow, FlowVersion
from queues.models import (
    AgentProfile,
    AgentSkill,
    BreakReason,
    Calendar,
    Department,
    DeskSettings,
    Queue,
    Skill,
    SlaPolicy,
)
from tests.admin.pages import page
from tests.admin.world import World, dead_event, dead_letter, new_colleague, new_template, talk, told_event

CEILING = 25
TALK = (Conversation, Message, Delivery, Event, Deadline, Contact, RoutingDecision)


def more_talks(world: World, n: int) -> None:
    AgentProfile.objects.filter(member=world.members["agent"]).update(capacity=1000)
    for _ in range(n):
        one = talk(world, "More", f"+5511{uuid4().int % 10**8:08d}")
        handoff.assign_to_queue_with_overflow(one.pk, world[Queue].pk, notice="hello")
        handoff.assign_agent(one.pk, world.members["agent"].pk)
        Deadline.objects.get_or_create(
            organization=world.organization,
            conversation=one,
            kind="snooze",
            defaults={"due_at": timezone.now()},
        )


def more_agents(world: World, n: int) -> None:
    for _ in range(n):
        member = new_colleague(world, uuid4().hex)
        AgentSkill.objects.create(
            organization=world.organization, agent=member.agent, skill=world[Skill], level=2
        )


def more_versions(world: World, n: int) -> None:
    for _ in range(n):
        services.publish(world[Flow].pk, author=world.members["admin"])


def more_flows(world: World, n: int) -> None:
    for _ in range(n):
        flow = services.create_flow(
            world.organization, name="More", slug=uuid4().hex, document=world[Flow].draft
        )
        services.publish(flow.pk, author=None)


def more(model: type, **fields: Callable[[World], Any]) -> Callable[[World, int], None]:
    def make(world: World, n: int) -> None:
        for _ in range(n):
            model.objects.create(
                organization=world.organization, **{name: value(world) for name, value in fields.items()}
            )

    return make


def unique(_world: World) -> str:
    return uuid4().hex


def more_dead(world: World, n: int) -> None:
    for _ in range(n):
        dead_letter(world)


def more_audit(world: World, n: int) -> None:
    for _ in range(n):
        audit.record("x", organization=world.organization, actor=world.members["agent"], target=world[Queue])


GROW: dict[type, Callable[[World, int], None]] = {
    **dict.fromkeys(TALK, more_talks),
    **dict.fromkeys((Membership, AgentProfile), more_agents),
    **dict.fromkeys((Attempt, DeadLetter), more_dead),
    FlowVersion: more_versions,
    Flow: more_flows,
    AuditEntry: more_audit,
    InboundEvent: lambda world, n: [dead_event(world, uuid4().hex.encode()) for _ in range(n)] and None,
    ApiKey: more(
        ApiKey, name=unique, prefix=lambda _w: uuid4().hex[:12], digest=lambda _w: b"d" * 32,
        creator=lambda world: world.members["agent"],
    ),
    ChannelAccount: more(ChannelAccount, kind=lambda _w: "phone", name=unique, address=unique),
    Queue: more(
        Queue, name=unique, slug=unique, department=lambda w: w[Department],
        overflow_queue=lambda w: w[Queue], calendar=lambda w: w[Calendar],
    ),
    Department: more(Department, name=unique, slug=unique),
    Skill: more(Skill, name=unique, slug=unique),
    BreakReason: more(BreakReason, name=unique),
    SlaPolicy: more(SlaPolicy, name=unique, wait_minutes=lambda _w: 5),
    DeskSettings: lambda world, n: None,  # one row
    Calendar: more(Calendar, name=unique),
    MessageTemplate: lambda world, n: [new_template(world, uuid4().hex) for _ in range(n)] and None,
    WebhookEndpoint: more(WebhookEndpoint, url=lambda _w: f"https://{uuid4().hex}.example.com/"),
    WebhookMessage: lambda world, n: [told_event(world) for _ in range(n)] and None,
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request of somebody writes that they were seen, the next ones within 20 seconds do not."""
    monkeypatch.setattr(signs, "of_life", lambda *args, **kwargs: None)


def cost(client: Client, url: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert client.get(url).status_code == 200
    return len(queries)


def test_every_list_has_a_case() -> None:
    assert set(GROW) == set(admin.site._registry)


@pytest.mark.parametrize(
    "model", sorted(GROW, key=lambda one: one._meta.label), ids=lambda one: one._meta.label
)
def test_a_list_costs_the_same_with_many_rows(model: type, boss: Client, ours: World) -> None:
    GROW[model](ours, 4)
    few = cost(boss, page(model, "changelist"))
    GROW[model](ours, 45)
    many = cost(boss, page(model, "changelist"))

    assert few == many
    assert many <= CEILING


def test_the_overview_costs_the_same_on_any_day(boss: Client, ours: World) -> None:
    quiet = cost(boss, "/admin/")
    more_talks(ours, 20)

    assert cost(boss, "/admin/") == quiet
    assert quiet <= CEILING


def test_a_long_conversation_is_shown_page_by_page(boss: Client, ours: World) -> None:
    url = page(Conversation, "change", ours[Conversation].pk)
    before = cost(boss, url)
    Event.objects.bulk_create(
        Event(
            organization=ours.organization, conversation=ours[Conversation], seq=1000 + n, type="noise",
            actor=ours.members["agent"],
        )
        for n in range(200)
    )  # fmt: skip

    assert cost(boss, url) <= before + 1
    assert boss.get(url).content.decode().count("noise") <= 40


def test_lists_count_no_further_than_the_cap(
    boss: Client, ours: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.admin_base.CappedPaginator.most", 3)
    more_talks(ours, 5)

    with CaptureQueriesContext(connection) as queries:
        response = boss.get(page(Message, "changelist"))

    assert response.context["cl"].result_count == 3
    assert any("LIMIT 3" in one["sql"] and "COUNT" in one["sql"] for one in queries)
