"""The moves: each verb once, and every refusal with its code."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership
from conversations import capacity
from conversations.clockwork import drain_deadlines
from conversations.models import Conversation, Deadline
from flows.models import Flow
from queues.models import AgentProfile, Queue
from tests.api.caller import Calls

Make = Callable[..., Conversation]


def refused(answer: Any, status: int, code: str) -> str:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content
    return answer.json()["detail"]


def test_request_handoff_to_a_queue(
    sofia: Membership, support: Queue, make_conversation: Make, by: Calls
) -> None:
    conversation = make_conversation("pending")
    answer = by(sofia).post(
        f"conversations/{conversation.pk}/request-handoff",
        {"type": "queue", "queue_id": str(support.pk), "priority": "urgent", "context": "Pedido 7"},
    )

    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert (body["state"], body["queue_priority"]) == ("queued", 100)
    assert body["extra_data"] == {"handoff_context": "Pedido 7"}


def test_request_handoff_to_a_department_and_an_agent(
    sofia: Membership, ana: Membership, support: Queue, make_conversation: Make, by: Calls
) -> None:
    one, two = make_conversation("pending"), make_conversation("pending")
    department = by(sofia).post(
        f"conversations/{one.pk}/request-handoff",
        {"type": "department", "department_id": str(support.department_id)},
    )
    agent = by(sofia).post(
        f"conversations/{two.pk}/request-handoff", {"type": "agent", "agent_id": str(ana.pk)}
    )

    assert department.json()["queue"]["id"] == str(support.pk)
    assert agent.json()["assigned_agent"]["id"] == str(ana.pk)


@pytest.mark.parametrize(
    "body",
    [{}, {"type": "queue"}, {"type": "pigeon", "queue_id": "x"}, {"queue_id": "x"}, {"priority": "high"}],
)
def test_request_handoff_without_a_target(
    sofia: Membership, make_conversation: Make, by: Calls, body: dict[str, str]
) -> None:
    conversation = make_conversation("pending")

    assert by(sofia).post(f"conversations/{conversation.pk}/request-handoff", body).status_code == 400


def test_a_department_without_an_active_queue(
    sofia: Membership, support: Queue, make_conversation: Make, by: Calls
) -> None:
    conversation = make_conversation("pending")
    Queue.objects.update(is_active=False)

    answer = by(sofia).post(
        f"conversations/{conversation.pk}/request-handoff", {"department_id": str(support.department_id)}
    )
    refused(answer, 422, "no_queue")


def test_the_second_to_claim_learns_who_was_faster(
    ana: Membership, bia: Membership, support: Queue, make_conversation: Make, by: Calls
) -> None:
    conversation = make_conversation("queued", queue=support)
    first = by(ana).post(f"conversations/{conversation.pk}/claim")
    second = by(bia).post(f"conversations/{conversation.pk}/claim")

    assert first.json()["assigned_agent"]["name"] == "Ana"
    assert "Ana" in refused(second, 409, "conflict")


def test_claiming_what_is_not_in_ones_queues_is_404(
    ana: Membership, bia: Membership, make_queue: Callable[..., Queue], make_conversation: Make, by: Calls
) -> None:
    queue = make_queue("others", settings={"allowed_agent_ids": [str(bia.pk)], "skills_required": []})
    conversation = make_conversation("queued", queue=queue)

    assert by(ana).post(f"conversations/{conversation.pk}/claim").status_code == 404


def test_a_full_agent_is_told_so(ana: Membership, support: Queue, make_conversation: Make, by: Calls) -> None:
    AgentProfile.objects.filter(member=ana).update(capacity=0)
    conversation = make_conversation("queued", queue=support)

    refused(by(ana).post(f"conversations/{conversation.pk}/claim"), 409, "capacity")


def test_a_supervisor_takes_over_from_the_bot_and_from_people(
    sofia: Membership, ana: Membership, flow: Flow, make_conversation: Make, by: Calls
) -> None:
    talking = make_conversation("bot", flow=flow)
    held = make_conversation("human_handoff", agent=ana)

    for conversation in (talking, held):
        answer = by(sofia).post(f"conversations/{conversation.pk}/take-over")
        assert answer.json()["assigned_agent"]["id"] == str(sofia.pk)
    assert by(ana).post(f"conversations/{talking.pk}/take-over").status_code == 403


def test_assigning_is_for_supervisors(
    sofia: Membership, ana: Membership, bia: Membership, make_conversation: Make, by: Calls
) -> None:
    conversation = make_conversation("human_handoff", agent=ana)
    move = f"conversations/{conversation.pk}/assign"

    assert by(ana).post(move, {"agent_id": str(bia.pk)}).status_code == 403
    assert by(sofia).post(move, {"agent_id": str(bia.pk)}).json()["assigned_agent"]["name"] == "Bia"
    assert by(sofia).post(move, {"agent_id": str(conversation.pk)}).status_code == 404


def test_a_transfer_carries_a_note(
    ana: Membership, support: Queue, make_conversation: Make, by: Calls
) -> None:
    conversation = make_conversation("human_handoff", agent=ana)
    answer = by(ana).post(
        f"conversations/{conversation.pk}/transfer",
        {"queue_id": str(support.pk), "priority": "low", "note": "Já enviei a nota"},
    )

    assert (answer.json()["state"], answer.json()["queue_priority"]) == ("queued", 10)
    assert Conversation.objects.get().notes.get().text == "Já enviei a nota"


def test_an_agent_passes_on_only_what_is_their_own(
    ana: Membership, bia: Membership, support: Queue, make_conversation: Make, by: Calls
) -> None:
    conversation = make_conversation("queued", queue=support)
    target = {"agent_id": str(bia.pk)}

    refused(by(ana).post(f"conversations/{conversation.pk}/transfer", target), 409, "not_yours")
    refused(by(ana).post(f"conversations/{conversation.pk}/release-to-bot"), 409, "not_yours")


def test_a_target_of_nowhere_is_404(ana: Membership, make_conversation: Make, by: Calls) -> None:
    conversation = make_conversation("human_handoff", agent=ana)

    for name in ("queue_id", "department_id", "agent_id"):
        answer = by(ana).post(f"conversations/{conversation.pk}/transfer", {name: str(conversation.pk)})
        assert answer.status_code == 404


def test_the_bot_gets_it_back(ana: Membership, flow: Flow, make_conversation: Make, by: Calls) -> None:
    conversation = make_conversation("human_handoff", agent=ana)
    move = f"conversations/{conversation.pk}/release-to-bot"

    refused(by(ana).post(move), 409, "conflict")
    body = by(ana).post(move, {"flow_id": str(flow.pk)}).json()
    assert (body["state"], body["is_bot_active"], body["flow"]["name"]) == ("bot", True, "Atendimento")


def test_closing_gives_a_reason_and_only_once(ana: Membership, make_conversation: Make, by: Calls) -> None:
    conversation = make_conversation("human_handoff", agent=ana)
    move = f"conversations/{conversation.pk}/close"
    body = by(ana).post(move, {"reason": "spam"}).json()

    assert (body["state"], body["close_reason"]) == ("closed", "spam")
    assert body["closed_at"] is not None
    assert "close" in refused(by(ana).post(move), 409, "conflict")
    assert by(ana).post(move, {"reason": "merged"}).status_code == 400


def test_a_snoozed_conversation_rests_and_comes_back(
    ana: Membership, make_conversation: Make, by: Calls
) -> None:
    conversation = make_conversation("human_handoff", agent=ana)
    until = timezone.now() + timedelta(hours=2)
    answer = by(ana).post(f"conversations/{conversation.pk}/snooze", {"until": until.isoformat()})

    assert answer.status_code == 200
    assert answer.json()["snoozed_until"] is not None
    assert capacity.open_load(ana.pk) == 0
    Deadline.objects.filter(kind="snooze").update(due_at=timezone.now() - timedelta(hours=1))
    drain_deadlines()
    assert Conversation.objects.get().snoozed_until is None


def test_a_snooze_needs_a_time_to_come_and_an_owner(
    ana: Membership, sofia: Membership, support: Queue, make_conversation: Make, by: Calls
) -> None:
    held = make_conversation("human_handoff", agent=ana)
    waiting = make_conversation("queued", queue=support)
    later = {"until": (timezone.now() + timedelta(hours=1)).isoformat()}

    refused(
        by(ana).post(f"conversations/{held.pk}/snooze", {"until": "2020-01-01T00:00:00Z"}), 409, "conflict"
    )
    refused(by(sofia).post(f"conversations/{held.pk}/snooze", later), 409, "not_yours")
    refused(by(ana).post(f"conversations/{waiting.pk}/snooze", later), 409, "conflict")
    assert by(ana).post(f"conversations/{held.pk}/snooze", {"until": "soon"}).status_code == 400


def test_a_supervisor_without_an_agents_desk_cannot_claim(
    sofia: Membership, support: Queue, make_conversation: Make, by: Calls
) -> None:
    AgentProfile.objects.filter(member=sofia).delete()
    conversation = make_conversation("queued", queue=support)

    refused(by(sofia).post(f"conversations/{conversation.pk}/claim"), 409, "conflict")
