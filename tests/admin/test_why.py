"""The admin says why: on a conversation's page, for all that stand still, and in the router's records."""

from __future__ import annotations

from datetime import timedelta

from django.test import Client
from django.utils import timezone

from conversations import handoff
from conversations.models import Conversation, Deadline, RoutingDecision
from queues.models import AgentProfile, Queue
from tests.admin.pages import page
from tests.admin.test_queries import CEILING, cost, more_talks
from tests.admin.world import World, talk

STILL = page(Conversation, "standing_still")
LIST = page(RoutingDecision, "changelist")


def nobody_fits(world: World) -> RoutingDecision:
    """A decision as the router keeps it when nobody can take it."""
    agent = world.members["agent"]
    return RoutingDecision.objects.create(
        organization=world.organization,
        conversation=world[Conversation],
        queue=world[Queue],
        mode="load_balance",
        reason="nobody fits: agent_capacity",
        candidates=[
            {
                "agent": {"id": str(agent.pk), "name": agent.name},
                "verdicts": [
                    {"filter": "presence", "ok": True, "detail": "online"},
                    {"filter": "agent_capacity", "ok": False, "detail": "5 of 5"},
                ],
                "keys": [],
            }
        ],
        unblock=[{"filter": "agent_capacity", "agents": [agent.name], "detail": "5 of 5"}],
    )


def test_a_conversation_page_says_why(boss: Client, ours: World) -> None:
    html = boss.get(page(Conversation, "change", ours[Conversation].pk)).content.decode()

    assert f"Waits in {ours[Queue].name} until an agent takes it." in html
    assert "Place in line" in html
    assert "has room: 1 of 5" in html


def test_what_stands_still_longest_comes_first(boss: Client, ours: World) -> None:
    fresh = talk(ours, "Fresh", "+551190000001")
    closed = talk(ours, "Over", "+551190000002")
    handoff.close(closed.pk, actor=None)
    long_ago = timezone.now() - timedelta(hours=3)
    Conversation.objects.filter(pk=ours[Conversation].pk).update(
        created_at=long_ago, queued_at=long_ago, last_message_at=long_ago
    )

    html = boss.get(STILL).content.decode()

    assert html.index(str(ours[Conversation].pk)) < html.index(str(fresh.pk))
    assert str(closed.pk) not in html
    assert "3 h 0 min" in html
    assert f"Waits in {ours[Queue].name} until an agent takes it." in html


def test_the_list_costs_the_same_with_many_rows(boss: Client, ours: World) -> None:
    few = cost(boss, STILL)
    more_talks(ours, 20)

    # One more at most: now and then a call notes that the member is there.
    assert cost(boss, STILL) <= few + 1 <= CEILING


def test_the_overview_leads_there(boss: Client, ours: World) -> None:
    assert STILL in boss.get("/admin/").content.decode()


def test_a_decision_is_drawn_with_ticks_and_crosses(boss: Client, ours: World) -> None:
    html = boss.get(page(RoutingDecision, "change", nobody_fits(ours).pk)).content.decode()

    assert "is full: 5 of 5" in html
    assert "is available" in html
    assert html.count('class="is-failed"') == 1
    assert f"{ours.members['agent'].name} frees a place (5 of 5)" in html
    assert "nobody fits: Free places" in html


def test_decisions_are_filtered_and_found_by_conversation(boss: Client, ours: World) -> None:
    made, given = nobody_fits(ours), ours[RoutingDecision]

    def shown(**query: str) -> set[bool]:
        html = boss.get(LIST, query).content.decode()
        return {one for one in (made, given) if page(RoutingDecision, "change", one.pk) in html}

    assert shown() == {made, given}
    assert shown(mode="load_balance") == {made}
    assert shown(outcome="chosen") == {given}
    assert shown(outcome="nobody") == {made}
    assert shown(queue__id__exact=str(ours[Queue].pk)) == {made}
    assert shown(q=str(given.conversation_id)) == {given}
    assert shown(q="no id") == set()


def test_an_agent_without_rights_is_not_shown_the_list(ours: World) -> None:
    client = Client()
    client.force_login(ours.members["agent"].user)

    assert client.get(STILL).status_code in (302, 403)


def test_what_is_about_to_happen_is_told(boss: Client, ours: World) -> None:
    Deadline.objects.filter(conversation=ours[Conversation]).exclude(kind="queue_wait").delete()
    AgentProfile.objects.update(presence="away")

    html = boss.get(page(Conversation, "change", ours[Conversation].pk)).content.decode()

    assert "the wait is given up" in html
