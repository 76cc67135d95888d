"""The ledger in words: what one line of it says to a person. Most lines say nothing and stay out of sight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from conversations.models import CloseReason, Conversation, Event
from queues.models import Priority

GIVES = frozenset({"claim", "assign", "take_over", "hand_on"})  # lines after which an agent has it
LINES_UP = frozenset({"enqueue", "requeue"})  # lines after which it waits in a queue
HANDS_OVER = frozenset({"enqueue", "assign", "take_over"})  # lines at which people take over from the bot
MOVES = GIVES | LINES_UP | {"start_bot", "release_to_bot", "close"}

WHY = {
    "no flow and no queue receives this channel": gettext_lazy("no flow and no queue receives this channel"),
    "the hand-over found no active queue": gettext_lazy("the hand-over found no active queue"),
    "no active queue": gettext_lazy("there is no active queue"),
    "agent idle": gettext_lazy("the agent has not answered for a while"),
    "no activity": gettext_lazy("nothing has happened for a day"),
    "sla_warning": gettext_lazy("a promised time is near"),
    "sla_breach": gettext_lazy("a promised time was missed"),
    "waiting too long": gettext_lazy("the customer has been waiting too long"),
    "agent left": gettext_lazy("the agent left and no queue takes it"),
    "agent vanished": gettext_lazy("the agent is gone and no queue takes it"),
    "agent retired": gettext_lazy("the agent works here no more and no queue takes it"),
    # what `repair` found
    "bot without a run": gettext_lazy("the bot had no flow to go on with"),
    "queue is switched off": gettext_lazy("its queue is switched off"),
    "agent works here no more": gettext_lazy("its agent works here no more"),
    "snooze never ends": gettext_lazy("its snooze would never have ended"),
    "offer never ends": gettext_lazy("its offer would never have ended"),
    "stay does not match": gettext_lazy("its place in line was not on record"),
    "no deadline": gettext_lazy("nothing would have happened to it any more"),
}
BACK = {
    "agent idle": gettext_lazy("Back in the queue %(queue)s: the agent did not answer for too long"),
    "agent left": gettext_lazy("Back in the queue %(queue)s: the agent has left"),
    "agent vanished": gettext_lazy("Back in the queue %(queue)s: the agent was gone"),
    "agent retired": gettext_lazy("Back in the queue %(queue)s: the agent works here no more"),
    "sla": gettext_lazy("Moved to %(queue)s: a promised time was near or missed"),
    "overflow": gettext_lazy("Moved on to %(queue)s"),
    "repair": gettext_lazy("Moved to %(queue)s by the desk"),
}
TARGETS = {
    "wait": gettext_lazy("wait in the queue"),
    "first_response": gettext_lazy("first response"),
    "next_response": gettext_lazy("next response"),
    "resolution": gettext_lazy("resolution"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence in the thread: which icon, which words, how loud."""

    icon: str
    text: str
    css: str = ""


@dataclass(frozen=True, slots=True)
class Story:
    """What a line needs to know beyond itself: who has the conversation, and which lines came last."""

    conversation: Conversation
    viewer_id: Any
    last_gift: int = 0
    last_line_up: int = 0

    def somebody(self, event: Event) -> str:
        if event.actor_id is None:
            return ""
        return _("you") if event.actor_id == self.viewer_id else event.actor.name

    def receiver(self, event: Event) -> str:
        """The agent who got it: named by the line, else the one who has it when nothing happened since."""
        if name := event.data.get("agent"):
            return _("you") if event.data.get("agent_id") == str(self.viewer_id) else str(name)
        agent = self.conversation.assigned_agent
        if agent is None or event.seq != self.last_gift:
            return ""
        return _("you") if agent.pk == self.viewer_id else agent.name

    def queue(self, event: Event) -> str:
        if name := event.data.get("queue"):
            return str(name)
        queue = self.conversation.queue
        return queue.name if queue and event.seq == self.last_line_up else ""

    def priority(self, event: Event) -> str:
        value = event.data.get("priority")
        if value is None and event.seq == self.last_line_up:
            value = self.conversation.queue_priority
        known = dict(Priority.choices)
        return str(known[value]) if value in known and value != Priority.NORMAL else ""


def line_of(event: Event, story: Story) -> Line | None:
    """What the thread shows for a line of the ledger; None when it says nothing to people."""
    tell = TELLERS.get(event.type)
    return tell(event, story) if tell else None


def _flow_started(event: Event, story: Story) -> Line:
    values = {"flow": event.data.get("flow", ""), "version": event.data.get("version", "")}
    return Line("robot", _("Bot started: %(flow)s v%(version)s") % values)


def _flow_failed(event: Event, story: Story) -> Line:
    return Line("alert-triangle", _("The bot stopped with an error"), "bad")


def _queued(event: Event, story: Story) -> Line:
    """Into a line, by the bot, by a rule or by a colleague."""
    queue, priority, who = story.queue(event), story.priority(event), story.somebody(event)
    if who and queue:
        text = _("Transferred to %(queue)s by %(who)s") % {"queue": queue, "who": who}
    elif event.type == "requeue" and queue and event.cause in BACK:
        text = str(BACK[event.cause]) % {"queue": queue}
    elif event.type == "requeue":
        text = _("Back in the queue %(queue)s") % {"queue": queue} if queue else _("Back in the queue")
    else:
        text = _("Bot handed over to %(queue)s") % {"queue": queue} if queue else _("Waiting for an agent")
    if priority:
        text = _("%(text)s · priority %(priority)s") % {"text": text, "priority": priority}
    return Line("robot" if event.type == "enqueue" and not who else "arrows-exchange", text)


def _overflow(event: Event, story: Story) -> Line:
    values = {"from": event.data.get("from", ""), "to": event.data.get("to", "")}
    why = OVERFLOWED.get(event.data.get("condition", ""), OVERFLOWED["full"])
    return Line("arrows-exchange", str(why) % values)


OVERFLOWED = {
    "full": gettext_lazy("Queue %(from)s is full → overflow to %(to)s"),
    "waited": gettext_lazy("Waited too long in %(from)s → overflow to %(to)s"),
    "closed": gettext_lazy("Queue %(from)s is closed → overflow to %(to)s"),
    "nobody": gettext_lazy("Nobody in %(from)s can take it → overflow to %(to)s"),
}


def _exhausted(event: Event, story: Story) -> Line:
    if event.data.get("condition") == "waited":
        text = _("Waited too long in %(queue)s, but no other queue takes it") % {"queue": event.data["queue"]}
        return Line("alert-triangle", text, "bad")
    text = _("No queue has room: waiting in %(queue)s all the same") % {"queue": event.data.get("queue", "")}
    return Line("alert-triangle", text, "bad")


def _claimed(event: Event, story: Story) -> Line:
    who = story.somebody(event)
    if event.cause == "router":
        return Line("user-plus", _("Given to %(agent)s by the router") % {"agent": story.receiver(event)})
    if event.cause == "pull":
        return Line("user-plus", _("Pulled from the queue by %(who)s") % {"who": who})
    return Line("user-plus", _("Taken from the queue by %(who)s") % {"who": who})


def _assigned(event: Event, story: Story) -> Line:
    to, who = story.receiver(event), story.somebody(event)
    if to and who:
        return Line("user-plus", _("Given to %(agent)s by %(who)s") % {"agent": to, "who": who})
    return Line("user-plus", _("Given to %(agent)s") % {"agent": to} if to else _("Given to an agent"))


def _taken_over(event: Event, story: Story) -> Line:
    return Line(
        "user-plus", _("Taken over by %(who)s") % {"who": story.somebody(event) or story.receiver(event)}
    )


def _released(event: Event, story: Story) -> Line:
    who = story.somebody(event)
    return Line(
        "robot", _("Given back to the bot by %(who)s") % {"who": who} if who else _("Given back to the bot")
    )


def _closed(event: Event, story: Story) -> Line:
    if who := story.somebody(event):
        return Line("circle-check", _("Closed by %(who)s") % {"who": who})
    reason = dict(CloseReason.choices).get(story.conversation.close_reason, "")
    return Line("circle-check", _("Closed: %(reason)s") % {"reason": reason} if reason else _("Closed"))


def _attention(event: Event, story: Story) -> Line:
    why = event.data.get("why", "")
    return Line("alert-triangle", _("Needs attention: %(why)s") % {"why": WHY.get(why, why)}, "warn")


def _unsnoozed(event: Event, story: Story) -> Line:
    return Line("clock-pause", _("Back from snooze"))


def _retried(event: Event, story: Story) -> Line:
    if event.actor_id is None:
        return Line("history", _("Could not be delivered; it is sent once more"), "warn")
    return Line("history", _("Sent again by %(who)s") % {"who": story.somebody(event)})


# ---------------------------------------------------------------- offers and agents' limits
def _offered(event: Event, story: Story) -> Line:
    return Line("bell", _("Offered to %(agent)s") % {"agent": _agent(event, story)})


def _offer_declined(event: Event, story: Story) -> Line:
    return Line("x", _("%(agent)s declined it") % {"agent": _agent(event, story)})


def _offer_timed_out(event: Event, story: Story) -> Line:
    return Line(
        "clock-pause", _("%(agent)s did not answer the offer in time") % {"agent": _agent(event, story)}
    )


def _agent(event: Event, story: Story) -> str:
    """The agent whom the line names."""
    mine = event.data.get("agent_id") == str(story.viewer_id)
    return _("you") if mine else str(event.data.get("agent", ""))


def _over_capacity(event: Event, story: Story) -> Line:
    values = {name: event.data.get(name, "") for name in ("agent", "load", "capacity")}
    return Line("alert-triangle", _("Above the limit of %(agent)s: %(load)s of %(capacity)s taken") % values)


# ---------------------------------------------------------------- at rest
def _snoozed(event: Event, story: Story) -> Line:
    return Line("clock-pause", _("Snoozed"))


def _held(event: Event, story: Story) -> Line:
    return Line("clock-pause", _("On hold"))


def _unheld(event: Event, story: Story) -> Line:
    return Line("player-play", _("Taken up again"))


# ---------------------------------------------------------------- in time
def _idle_warning(event: Event, story: Story) -> Line:
    return Line("clock-pause", _("The customer has been waiting for the agent's answer"), "warn")


def _sla_warning(event: Event, story: Story) -> Line:
    return Line("clock-pause", _("Promised time is near: %(target)s") % {"target": _target(event)}, "warn")


def _sla_breach(event: Event, story: Story) -> Line:
    return Line("alert-triangle", _("Promised time missed: %(target)s") % {"target": _target(event)}, "bad")


def _escalation_failed(event: Event, story: Story) -> Line:
    text = _("What was to follow for “%(target)s” could not be done") % {"target": _target(event)}
    return Line("alert-triangle", text, "warn")


def _target(event: Event) -> str:
    word = event.data.get("target", "")
    return str(TARGETS.get(word, word))


def _priority(event: Event, story: Story) -> Line:
    known, who = dict(Priority.choices), story.somebody(event)
    values = {name: known.get(event.data.get(name), event.data.get(name, "")) for name in ("from", "to")}
    if who:
        return Line("tag", _("Priority %(from)s → %(to)s by %(who)s") % {**values, "who": who})
    return Line("tag", _("Priority %(from)s → %(to)s") % values)


def _out_of_hours(event: Event, story: Story) -> Line:
    text = _("%(queue)s is closed and takes nobody in meanwhile") % {"queue": event.data.get("queue", "")}
    return Line("moon", text)


def _repaired(event: Event, story: Story) -> Line:
    what = event.data.get("what", "")
    return Line("settings", _("Mended by the desk: %(what)s") % {"what": WHY.get(what, what)}, "warn")


# ---------------------------------------------------------------- planned messages
PLAN_ENDED = {
    "closed": gettext_lazy("Planned messages withdrawn: the conversation was closed"),
    "moved": gettext_lazy("Planned messages withdrawn: the conversation changed hands"),
}


def _later_cancelled(event: Event, story: Story) -> Line:
    return Line("calendar-time", str(PLAN_ENDED[event.data["why"]]))


def _later_refused(event: Event, story: Story) -> Line:
    return Line("calendar-time", _("A planned message was not sent"), "warn")


TELLERS: Mapping[str, Callable[[Event, Story], Line]] = {
    "flow_started": _flow_started,
    "flow_failed": _flow_failed,
    "enqueue": _queued,
    "requeue": _queued,
    "overflow": _overflow,
    "overflow_exhausted": _exhausted,
    "claim": _claimed,
    "assign": _assigned,
    "hand_on": _assigned,
    "take_over": _taken_over,
    "release_to_bot": _released,
    "close": _closed,
    "attention": _attention,
    "unsnoozed": _unsnoozed,
    "message_retried": _retried,
    "offered": _offered,
    "offer_declined": _offer_declined,
    "offer_timed_out": _offer_timed_out,
    "over_capacity": _over_capacity,
    "snoozed": _snoozed,
    "held": _held,
    "unheld": _unheld,
    "idle_warning": _idle_warning,
    "sla_warning": _sla_warning,
    "sla_breach": _sla_breach,
    "escalation_failed": _escalation_failed,
    "priority": _priority,
    "out_of_hours": _out_of_hours,
    "repaired": _repaired,
    "later_cancelled": _later_cancelled,
    "later_refused": _later_refused,
}
