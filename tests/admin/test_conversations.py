"""Conversations in the admin: read-only, moved by the verbs, with the refusal said."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from conversations import admin_bulk
from conversations.models import Conversation, Event
from flows.models import Flow
from queues.models import AgentProfile, Queue
from tests.admin.pages import act, page, said
from tests.admin.world import World, talk


def again(conversation: Conversation) -> Conversation:
    return Conversation.objects.get(pk=conversation.pk)


def test_closing_goes_through_the_verb_and_names_who_did_it(lead: Client, ours: World) -> None:
    act(lead, ours[Conversation], "close", reason="spam")

    closed = again(ours[Conversation])
    line = Event.objects.filter(conversation=closed, type="close").get()
    assert (closed.state, closed.close_reason) == ("closed", "spam")
    assert (line.actor, line.cause) == (ours.members["supervisor"], "admin")


def test_closing_twice_is_refused_and_said(lead: Client, ours: World) -> None:
    act(lead, ours[Conversation], "close", reason="agent")
    told = act(lead, ours[Conversation], "close", reason="agent")

    assert told[-1] == "Not possible while the conversation is “closed”."
    assert Event.objects.filter(conversation=ours[Conversation], type="close").count() == 1


def test_assigning_gives_it_to_the_agent(lead: Client, ours: World) -> None:
    agent = ours[AgentProfile]

    act(lead, ours[Conversation], "assign", agent=str(agent.pk))

    moved = again(ours[Conversation])
    assert (moved.state, moved.assigned_agent_id) == ("human_handoff", agent.member_id)


def test_assigning_to_an_agent_without_room_is_refused(lead: Client, ours: World) -> None:
    agent = ours[AgentProfile]
    AgentProfile.objects.filter(pk=agent.pk).update(capacity=1)  # one conversation is there already

    told = act(lead, ours[Conversation], "assign", agent=str(agent.pk))

    assert "has no room" in told[-1] or "não tem" in told[-1]
    assert again(ours[Conversation]).state == "queued"


def test_assigning_above_capacity_needs_the_tick(lead: Client, ours: World) -> None:
    agent = ours[AgentProfile]
    AgentProfile.objects.filter(pk=agent.pk).update(capacity=1)

    act(lead, ours[Conversation], "assign", agent=str(agent.pk), over_capacity="on")

    moved = again(ours[Conversation])
    assert (moved.assigned_agent_id, moved.extra_data["over_capacity"]) == (agent.member_id, True)


def test_transferring_moves_to_the_other_queue_with_priority_and_note(lead: Client, ours: World) -> None:
    other = Queue.objects.create(
        organization=ours.organization, name="Other", slug="other", department=ours[Queue].department
    )

    act(lead, ours[Conversation], "transfer", queue=str(other.pk), priority="80", note="look")

    moved = again(ours[Conversation])
    assert (moved.queue_id, moved.queue_priority) == (other.pk, 80)
    assert moved.notes.get().text == "look"


def test_a_conversation_nobody_took_up_can_be_put_in_line(lead: Client, ours: World) -> None:
    fresh = talk(ours, "Nobody", "+551133330009")

    act(lead, fresh, "transfer", queue=str(ours[Queue].pk))

    assert again(fresh).state == "queued"


def test_giving_back_to_the_bot_needs_a_published_flow(lead: Client, ours: World) -> None:
    told = act(lead, ours[Conversation], "release")

    assert again(ours[Conversation]).state == "queued"
    assert len(told) == 1
    act(lead, ours[Conversation], "release", flow=str(ours[Flow].pk))
    assert again(ours[Conversation]).state == "bot"


def test_several_are_closed_one_by_one_and_the_refused_are_named(lead: Client, ours: World) -> None:
    act(lead, ours[Conversation], "close", reason="agent")
    everything = [str(pk) for pk in Conversation.objects.values_list("pk", flat=True)]

    response = lead.post(
        page(Conversation, "changelist"),
        {
            "action": "close_selected",
            "_selected_action": everything,
            "_form_submitted": "on",
            "reason": "agent",
        },
    )

    assert not Conversation.objects.exclude(state="closed").exists()
    assert {
        "1 conversation closed.",
        "OURMARK contact: Not possible while the conversation is “closed”.",
    } <= set(said(response))


def test_a_link_alone_changes_nothing(lead: Client, ours: World) -> None:
    for name in ("close", "transfer", "release", "assign"):
        assert lead.get(page(Conversation, name, ours[Conversation].pk)).status_code == 200

    assert again(ours[Conversation]).state == "queued"


def test_an_act_without_a_token_is_refused(ours: World) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ours.members["owner"].user)

    url = page(Conversation, "close", ours[Conversation].pk)
    assert strict.post(url, {"_form_submitted": "on", "reason": "agent"}).status_code == 403
    assert again(ours[Conversation]).state == "queued"


def test_nothing_of_a_conversation_can_be_typed_over(lead: Client, ours: World) -> None:
    url = page(Conversation, "change", ours[Conversation].pk)

    assert lead.post(url, {"state": "closed", "unread": "0"}).status_code == 403
    assert b'name="state"' not in lead.get(url).content


def test_a_conversation_is_found_by_the_number_in_any_spelling(lead: Client, ours: World) -> None:
    identity = ours[Conversation].contact.identities.get()
    html = lead.get(
        page(Conversation, "changelist"), {"q": identity.value.replace("+55", "55 ")}
    ).content.decode()

    assert "OURMARK contact" in html
    assert "OURMARK second" not in html


def test_the_page_links_to_its_messages_only(lead: Client, ours: World) -> None:
    html = lead.get(f"/admin/conversations/message/?conversation={ours[Conversation].pk}").content.decode()
    other = talk(ours, "Other", "+551133330008")
    empty = lead.get(f"/admin/conversations/message/?conversation={other.pk}").content.decode()

    assert "OURMARK notice" in html
    assert "OURMARK notice" not in empty
    assert lead.get("/admin/conversations/message/?conversation=nonsense").status_code == 200


def test_an_act_on_several_first_asks_and_then_reports_what_was_refused(lead: Client, ours: World) -> None:
    everything = [str(pk) for pk in Conversation.objects.values_list("pk", flat=True)]
    act(lead, ours[Conversation], "close", reason="agent")
    asked = {"action": "prioritise_selected", "_selected_action": everything}

    question = lead.post(page(Conversation, "changelist"), asked)
    assert question.status_code == 200
    assert "OURMARK contact" in question.content.decode()
    assert not Conversation.objects.filter(queue_priority=100).exists()

    response = lead.post(
        page(Conversation, "changelist"), {**asked, "_form_submitted": "on", "priority": "100"}
    )
    waiting = Conversation.objects.filter(state="queued")
    assert set(waiting.values_list("queue_priority", flat=True)) <= {100}
    assert any("OURMARK contact" in line for line in said(response))


@pytest.mark.parametrize(
    "name, given, state",
    [("move_selected", Queue, "queued"), ("assign_selected", AgentProfile, "human_handoff")],
)
def test_several_are_moved_or_assigned(lead: Client, ours: World, name: str, given: Any, state: str) -> None:
    waiting = [str(pk) for pk in Conversation.objects.filter(state="queued").values_list("pk", flat=True)]
    field = {Queue: "queue", AgentProfile: "agent"}[given]
    data = {"action": name, "_selected_action": waiting, "_form_submitted": "on", field: str(ours[given].pk)}

    lead.post(page(Conversation, "changelist"), data)

    assert waiting
    moved = Conversation.objects.filter(pk__in=waiting).values_list("state", flat=True)
    assert set(moved) == {state}


def test_more_than_can_be_done_at_once_is_refused(
    lead: Client, ours: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_bulk, "MOST", 0)
    asked = {"action": "close_selected", "_selected_action": [str(ours[Conversation].pk)]}
    assert said(lead.post(page(Conversation, "changelist"), asked)) == ["Choose at most 0 at once."]
