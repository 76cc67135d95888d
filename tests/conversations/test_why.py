"""The desk says why: who has it, why this agent, what it waits for, what would move it, what comes next."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone, translation

from accounts.models import Membership, Organization
from conversations import handoff, resting, router, why, words
from conversations.models import Conversation, Offer, Stay
from flows.models import Flow
from queues.models import AgentProfile, Calendar, Queue, Skill

pytestmark = pytest.mark.django_db

Make = Callable[..., Conversation]
MakeQueue = Callable[..., Queue]


@pytest.fixture(autouse=True)
def _in_english() -> Any:
    with translation.override("en"), timezone.override("America/Sao_Paulo"):
        yield


def of(conversation: Conversation) -> why.Why:
    fresh = Conversation.objects.select_related(*why.RELATED).get(pk=conversation.pk)
    return why.of(fresh, timezone.now())


def texts(told: why.Why, name: str) -> dict[str, str]:
    """What the filters said about an agent."""
    (found,) = (one for one in told.candidates if one.name == name)
    return {check.filter: check.text for check in found.checks}


# ---------------------------------------------------------------- waiting
def test_waiting_for_agents_who_take_themselves(
    make_conversation: Make, support: Queue, ana: Membership, bia: Membership
) -> None:
    make_conversation("queued", queue=support)
    told = of(make_conversation("queued", queue=support))

    assert (told.owner, told.sentence) == ("queue", "Waits in Suporte until an agent takes it.")
    assert told.position == 2
    assert told.waited is not None
    assert sorted(told.unblock) == ["Ana or Bia takes it from the queue"]
    assert all(one.fits and not one.chosen for one in told.candidates)
    assert texts(told, "Ana")["agent_capacity"] == "has room: 0 of 5"


def test_nobody_fits_and_what_would_help(
    make_conversation: Make, make_queue: MakeQueue, ana: Membership, bia: Membership
) -> None:
    queue = make_queue("vip", routing_mode="load_balance", auto_assign_conversations=True)
    AgentProfile.objects.filter(member=ana).update(capacity=1)
    AgentProfile.objects.filter(member=bia).update(presence="away")
    make_conversation("human_handoff", agent=ana)

    told = of(make_conversation("queued", queue=queue))

    assert (told.owner, told.sentence) == ("router", "Waits in Vip: no agent can take it now.")
    assert set(told.unblock) == {"Ana frees a place (1 of 1)", "Bia becomes available"}
    assert texts(told, "Ana")["agent_capacity"] == "is full: 1 of 1"
    assert texts(told, "Bia")["presence"] == "is away"
    assert told.reason == "nobody fits: Free places, Presence"


def test_the_agent_whom_the_router_is_about_to_ask(
    make_conversation: Make, make_queue: MakeQueue, ana: Membership, bia: Membership
) -> None:
    make_conversation("human_handoff", agent=ana)
    queue = make_queue("vip", routing_mode="load_balance", auto_assign_conversations=True)

    told = of(make_conversation("queued", queue=queue))

    assert told.sentence == "Waits in Vip: Bia is about to get it."
    assert [one.name for one in told.candidates if one.chosen] == ["Bia"]
    assert told.candidates[0].keys[0] == "0 % of the places taken"
    assert told.candidates[1].keys[0] == "20 % of the places taken"


def test_a_missing_skill_is_named(
    acme: Organization, make_conversation: Make, make_queue: MakeQueue, ana: Membership
) -> None:
    Skill.objects.create(organization=acme, name="English", slug="english")
    settings = {"skills_required": ["english"], "skill_levels": {"english": 3}}

    told = of(make_conversation("queued", queue=make_queue("vip", settings=settings)))

    assert texts(told, "Ana")["skills_required"] == "lacks English level 3"
    assert told.unblock == ("an agent with English level 3 becomes available",)


def test_a_closed_queue_says_when_it_opens(
    acme: Organization, make_conversation: Make, make_queue: MakeQueue, ana: Membership
) -> None:
    day = (timezone.localtime() + timedelta(days=2)).strftime("%a")
    week = [{"weekday": day.lower(), "start": "09:00", "end": "18:00"}]
    calendar = Calendar.objects.create(organization=acme, name="One day", intervals=week)

    told = of(make_conversation("queued", queue=make_queue("vip", calendar=calendar)))

    assert texts(told, "Ana")["business_hours"] == "the queue is closed"
    assert told.unblock[0] == f"the queue opens {day} 09:00"


def test_a_preferred_skill_is_waited_for(
    acme: Organization, make_conversation: Make, make_queue: MakeQueue, ana: Membership
) -> None:
    Skill.objects.create(organization=acme, name="English", slug="english")
    wish = {"skills_preferred": [{"skill": "english", "level": 1, "relax_after": 600}]}
    queue = make_queue("vip", routing_mode="skills_based", auto_assign_conversations=True, settings=wish)
    conversation = make_conversation("queued", queue=queue)

    told = of(conversation)

    assert texts(told, "Ana")["skills_preferred"] == "somebody with English is preferred for now"
    at = words.moment(conversation.queued_at + timedelta(minutes=10))
    assert told.unblock == (f"Ana may have it from {at} on",)


def test_an_open_offer_is_the_agents_turn(make_conversation: Make, support: Queue, ana: Membership) -> None:
    conversation, now = make_conversation("queued", queue=support), timezone.now()
    Offer.objects.create(
        organization_id=support.organization_id, conversation=conversation, agent=ana, queue=support,
        offered_at=now, expires_at=now + timedelta(minutes=1),
    )  # fmt: skip

    told = of(conversation)

    assert (told.owner, told.owner_name) == ("offer", "Ana")
    assert told.unblock[0].startswith("Ana accepts it; after ")


def test_a_queue_that_is_switched_off_is_a_supervisors(
    make_conversation: Make, support: Queue, ana: Membership
) -> None:
    conversation = make_conversation("queued", queue=support)
    Queue.objects.update(is_active=False)

    told = of(conversation)

    assert (told.owner, told.unblock[0]) == ("supervisor", "the queue is switched on again")


def test_without_agents_somebody_must_become_one(make_conversation: Make, support: Queue) -> None:
    assert of(make_conversation("queued", queue=support)).unblock == ("somebody works as an agent",)


def test_the_expected_wait_comes_from_history(make_conversation: Make, support: Queue) -> None:
    conversation = make_conversation("queued", queue=support)
    assert of(conversation).expected_wait is None

    like, now = make_conversation("queued", queue=support), timezone.now()
    like.stays.update(left_at=now)
    for minutes in range(1, 21):
        Stay.objects.create(
            organization_id=support.organization_id, conversation=like, queue=support, left_by="claim",
            entered_at=now - timedelta(minutes=minutes), left_at=now,
        )  # fmt: skip
    assert of(conversation).expected_wait == timedelta(minutes=20)


# ---------------------------------------------------------------- with an agent
def test_why_this_agent_got_it(
    make_conversation: Make, make_queue: MakeQueue, ana: Membership, bia: Membership
) -> None:
    for _ in range(3):
        make_conversation("human_handoff", agent=bia)
    make_conversation("human_handoff", agent=ana)
    queue = make_queue("vip", routing_mode="load_balance", auto_assign_conversations=True)
    conversation = make_conversation("queued", queue=queue)
    assert router.route(queue.organization_id) == 1

    told = of(conversation)

    assert told.sentence == "Ana has it: the least busy of those who can take it."
    assert told.mode == "load balance"
    assert [(one.name, one.chosen, one.keys[0]) for one in told.candidates] == [
        ("Ana", True, "20 % of the places taken"),
        ("Bia", False, "60 % of the places taken"),
    ]


def test_why_the_agent_who_took_it_has_it(make_conversation: Make, support: Queue, ana: Membership) -> None:
    make_conversation("queued", queue=support)
    pulled = handoff.pull_from_queue(ana.pk).conversation

    told = of(pulled)

    assert told.sentence == "Ana has it: it was the first in line."
    assert (told.owner, told.owner_name) == ("agent", "Ana")


def test_one_that_rests_says_until_when(make_conversation: Make, ana: Membership) -> None:
    conversation = make_conversation("human_handoff", agent=ana)
    until = timezone.now() + timedelta(days=30)
    resting.snooze(conversation.pk, agent=ana, until=until)
    assert of(conversation).sentence == f"Ana has it, snoozed until {words.moment(until)}."

    resting.resume(conversation.pk)
    resting.hold(conversation.pk, agent=ana)
    assert of(conversation).sentence == "Ana has it, on hold."


# ---------------------------------------------------------------- elsewhere
def test_the_bot_the_desk_and_the_end(make_conversation: Make, flow: Flow) -> None:
    bot = of(make_conversation("bot", flow=flow))
    assert (bot.owner, bot.owner_name, bot.sentence) == ("bot", "Atendimento", "The bot is about to answer.")

    pending = of(make_conversation())
    assert (pending.owner, pending.next.what) == ("supervisor", "a supervisor is told")

    closed = of(make_conversation("closed"))
    assert (closed.owner, closed.sentence) == ("nobody", "It is closed: closed by an agent.")
    assert closed.next is None


@pytest.mark.parametrize("state", ["pending", "bot", "queued", "human_handoff"])
def test_every_open_one_has_an_owner_and_a_next_moment(
    make_conversation: Make, support: Queue, ana: Membership, flow: Flow, state: str
) -> None:
    told = of(make_conversation(state, queue=support, agent=ana, flow=flow))

    assert told.owner in {"bot", "router", "offer", "queue", "agent", "supervisor"}
    assert told.next is not None
    assert told.next.what


def test_no_code_is_shown_for_a_sentence() -> None:
    for name in words.VERDICTS:
        for ok in (True, False):
            assert "_" not in words.verdict(name, ok, "", {})
    assert words.places("3 of 5, 2 of 2 here") == "3 of 5, 2 of 2 in this queue"
    assert words.either(["A", "B", "C", "D", "E"]) == "A, B, C or 2 others"


# ---------------------------------------------------------------- how much it costs
def test_a_full_desk_costs_what_an_empty_one_does(
    make_conversation: Make, support: Queue, ana: Membership, django_assert_max_num_queries: Any
) -> None:
    conversations = [make_conversation("queued", queue=support) for _ in range(6)]
    fresh = Conversation.objects.select_related(*why.RELATED)

    with django_assert_max_num_queries(14):
        why.of(fresh.get(pk=conversations[-1].pk), timezone.now())
    for n in (1, 6):
        rows = list(fresh.filter(pk__in=[c.pk for c in conversations[:n]]))
        with django_assert_max_num_queries(8):
            assert len(why.briefly(rows, timezone.now())) == n


def test_the_short_answer_is_that_of_the_long_one(
    make_conversation: Make, support: Queue, ana: Membership, flow: Flow
) -> None:
    made = [
        make_conversation(state, queue=support, agent=ana, flow=flow)
        for state in ("pending", "bot", "queued", "closed")
    ]
    for conversation in made:
        row = Conversation.objects.select_related(*why.RELATED).get(pk=conversation.pk)
        (brief,) = why.briefly([row], timezone.now())
        told = of(conversation)
        assert (brief.sentence, brief.unblock, brief.next) == (told.sentence, told.unblock, told.next)
