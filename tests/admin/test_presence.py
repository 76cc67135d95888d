"""A supervisor sets an agent's presence in the admin: with its history, and with what the agent had."""

from __future__ import annotations

from django.test import Client

from accounts.models import AuditEntry
from conversations.models import Conversation
from queues.models import AgentProfile, BreakReason, PresenceSpan
from tests.admin.pages import act, form_data, page
from tests.admin.world import World


def test_the_form_goes_through_the_service(lead: Client, ours: World) -> None:
    agent = ours[AgentProfile]
    url = page(AgentProfile, "change", agent.pk)
    lead.post(url, form_data(lead.get(url)) | {"presence": "busy"})

    assert PresenceSpan.objects.get(agent=agent, ended_at__isnull=True).presence == "busy"
    entry = AuditEntry.objects.get(action="presence.changed")
    assert (entry.actor, entry.data) == (ours.members["supervisor"], {"presence": "busy"})


def test_the_dialog_sends_on_a_break_and_brings_the_conversations_back(lead: Client, ours: World) -> None:
    agent = ours[AgentProfile]
    given = Conversation.objects.get(assigned_agent=agent.member)
    fields = {"status": "away", "reason": str(ours[BreakReason].pk), "conversations": "queue"}
    act(lead, agent, "set_presence", **fields)

    assert AgentProfile.objects.get(pk=agent.pk).break_reason == ours[BreakReason]
    assert Conversation.objects.get(pk=given.pk).state == "queued"
    assert given.events.filter(type="requeue").get().actor == ours.members["supervisor"]
