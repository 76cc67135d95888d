"""Runs of a flow in a conversation: where they begin and end."""

from __future__ import annotations

from datetime import datetime

from conversations import deadlines
from conversations.models import Conversation, FlowRun
from flows.models import Flow


def begin_run(conversation: Conversation, flow: Flow, *, trigger: str, now: datetime) -> FlowRun:
    """A new run, pinned to the version that is published now; it starts with the next bot turn."""
    end_run(conversation, "replaced", now)
    conversation.log(
        "flow_started", {"flow": flow.name, "version": flow.published.number, "trigger": trigger}
    )
    deadlines.arm(conversation, deadlines.Kind.BOT_TURN, now)
    return FlowRun.objects.create(
        organization_id=conversation.organization_id,
        conversation=conversation,
        version_id=flow.published_id,
        trigger=trigger,
        started_at=now,
    )


def end_run(conversation: Conversation, outcome: str, now: datetime) -> None:
    """A live flow run ends here; its version stays on record."""
    FlowRun.objects.filter(conversation=conversation, ended_at__isnull=True).update(
        ended_at=now, outcome=outcome
    )
