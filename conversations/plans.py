"""Messages planned for later end with whoever planned them: the next agent decides anew."""

from __future__ import annotations

from uuid import UUID

from conversations.models import Conversation, Later, State


def holder(conversation: Conversation) -> UUID | None:
    """The agent whose conversation it is."""
    return conversation.assigned_agent_id if conversation.state == State.HUMAN_HANDOFF else None


def drop(conversation: Conversation) -> None:
    """It changed hands or was closed: what was planned is withdrawn, and a line says so. Needs the lock."""
    why = "closed" if conversation.state == State.CLOSED else "moved"
    waiting = Later.objects.filter(conversation=conversation, state=Later.State.WAITING)
    if count := waiting.update(state=Later.State.CANCELLED, reason=why):
        conversation.log("later_cancelled", {"count": count, "why": why})
