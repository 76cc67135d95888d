"""One contact on one channel, and the verbs that move it."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django_fsm import ConcurrentTransitionMixin, FSMField
from django_scopes import ScopedManager

from accounts.models import Membership
from accounts.roles import Action, Role
from accounts.tenancy import TenantModel
from channels_hub.models import ChannelAccount
from contacts.models import Contact, Identity
from conversations.fsm import verb
from conversations.models.ledger import Event
from conversations.states import OPEN_STATES, CloseReason, State
from flows.models import Flow
from queues.models import Priority, Queue


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def open(self) -> ConversationQuerySet:
        return self.filter(state__in=OPEN_STATES)

    def visible_to(self, member: Membership, queue_ids: Any = ()) -> ConversationQuerySet:
        """What a member may read: everything, except agents: their own and the waiting ones of their queues.

        `queue_ids` are the queues that an agent serves (`selectors.queues_served_by`).
        """
        if not member.may(Action.READ_CONVERSATIONS):
            return self.none()
        if member.role != Role.AGENT:
            return self
        own = Q(assigned_agent=member)
        waiting = Q(state=State.QUEUED, queue_id__in=list(queue_ids))
        return self.filter(own | waiting)


class Conversation(ConcurrentTransitionMixin, TenantModel):
    """One contact on one channel, from the first message until it is closed."""

    contact = models.ForeignKey(
        Contact, on_delete=models.PROTECT, related_name="conversations", db_index=False
    )
    channel = models.ForeignKey(ChannelAccount, on_delete=models.PROTECT, related_name="+")
    # Where answers go: the last inbound address of this conversation.
    identity = models.ForeignKey(Identity, null=True, on_delete=models.SET_NULL, related_name="+")
    state = FSMField(_("state"), default=State.PENDING, choices=State.choices, protected=True)
    is_bot_active = models.GeneratedField(
        expression=Q(state="bot"), output_field=models.BooleanField(), db_persist=True
    )
    flow = models.ForeignKey(Flow, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    # Raised whenever people take over: a bot turn computed before is void (I-14).
    bot_epoch = models.PositiveIntegerField(default=0)
    fence_seq = models.PositiveIntegerField(default=0)  # unsent bot messages before it are void
    heard_seq = models.PositiveIntegerField(default=0)  # last inbound message the bot has answered
    queue = models.ForeignKey(Queue, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    queue_priority = models.PositiveSmallIntegerField(_("priority"), choices=Priority.choices, default=50)
    queued_at = models.DateTimeField(null=True)
    waited_seconds = models.FloatField(null=True)  # kept when queued_at goes back to null
    assigned_agent = models.ForeignKey(
        Membership, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    assigned_at = models.DateTimeField(null=True)
    handoff_at = models.DateTimeField(null=True)
    first_response_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    close_reason = models.CharField(max_length=16, choices=CloseReason.choices, blank=True)
    snoozed_until = models.DateTimeField(null=True)
    held_at = models.DateTimeField(null=True)  # on hold: with the agent, but waiting for somebody else
    waiting_since = models.DateTimeField(null=True)  # the customer's first message people have not answered
    sla_breached_at = models.DateTimeField(null=True)  # the first target that was missed
    seq = models.PositiveIntegerField(default=0)
    unread = models.PositiveIntegerField(default=0)
    last_message_at = models.DateTimeField(null=True)
    last_inbound_at = models.DateTimeField(null=True)  # by the platform's clock: opens the 24 h window
    last_activity_at = models.DateTimeField(null=True)  # last act of the agent who has it
    preview = models.CharField(max_length=140, blank=True)
    preview_sender = models.CharField(max_length=8, blank=True)
    extra_data = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = ScopedManager(
        _manager_class=models.Manager.from_queryset(ConversationQuerySet), organization="organization"
    )

    # What `moves` writes back; a protected state is saved only there.
    MOVED = (
        "state", "flow", "bot_epoch", "fence_seq", "heard_seq", "identity", "queue", "queue_priority",
        "queued_at", "waited_seconds", "assigned_agent", "assigned_at", "handoff_at", "first_response_at",
        "closed_at", "close_reason", "snoozed_until", "held_at", "waiting_since", "sla_breached_at", "seq",
        "unread", "last_message_at", "last_inbound_at",
        "last_activity_at", "preview", "preview_sender", "extra_data",
    )  # fmt: skip

    class Meta:
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in State]), name="conversation_known_state"
            ),
            models.CheckConstraint(
                condition=~Q(state="queued") | Q(queue__isnull=False, queued_at__isnull=False),
                name="queued_has_queue",
            ),
            models.CheckConstraint(
                condition=~Q(state="human_handoff") | Q(assigned_agent__isnull=False),
                name="handoff_has_agent",
            ),
            models.CheckConstraint(
                condition=Q(state="human_handoff") | Q(state="closed") | Q(assigned_agent__isnull=True),
                name="only_handoff_has_agent",
            ),
            models.CheckConstraint(
                condition=Q(state="closed", closed_at__isnull=False) & ~Q(close_reason="")
                | ~Q(state="closed") & Q(closed_at__isnull=True, close_reason=""),
                name="closed_has_time_and_reason",
            ),
            models.UniqueConstraint(
                fields=["channel", "contact"],
                condition=~Q(state="closed"),
                name="one_open_conversation_per_contact",
            ),
        ]
        indexes = [
            # pull_from_queue: the first of a queue by priority, then age, then id.
            models.Index(
                F("queue"), F("queue_priority").desc(), F("queued_at"), F("id"),
                condition=Q(state="queued"), name="waiting_in_order",
            ),
            # the router: everybody who waits, whatever the queue
            models.Index(
                F("organization"), F("queue_priority").desc(), F("queued_at"), F("id"),
                condition=Q(state="queued"), name="waiting_for_router",
            ),
            # what agents and the bot have in hand: the router's loads, the wall
            models.Index(
                fields=["organization", "state", "assigned_agent", "queue"],
                condition=Q(state__in=["pending", "bot", "human_handoff"]), name="in_hand",
            ),
            # the wall: promises broken, by day, and those of open conversations
            models.Index(
                fields=["organization", "sla_breached_at"],
                condition=Q(sla_breached_at__isnull=False), name="promises_broken",
            ),
            models.Index(
                fields=["organization", "queue"],
                condition=Q(sla_breached_at__isnull=False) & ~Q(state="closed"), name="open_and_late",
            ),
            # figures of a queue: what it sent on to others
            models.Index(
                fields=["organization", "created_at"],
                condition=Q(extra_data__has_key="overflow_history"), name="overflowed",
            ),
            # the tab "Mine" and an agent's load
            models.Index(fields=["assigned_agent", "-last_message_at"], name="by_agent"),
            # the tab "All", keyset by time
            models.Index(fields=["organization", "-last_message_at", "-id"], name="by_last_message"),
            models.Index(fields=["contact", "-created_at"], name="by_contact"),
        ]  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_moving = False
        self.is_locked = False
        self.unwritten: list[Event] = []

    def __str__(self) -> str:
        return f"{self.contact} · {self.get_state_display()}"

    def log(self, type: str, data: dict[str, Any] | None = None, *, actor: Membership | None = None) -> Event:
        """Add a line to the ledger; it takes the next seq and is written when the lock's block ends."""
        if not self.is_locked:
            raise RuntimeError("log() needs the conversation's lock: use moving() or writing()")
        self.seq += 1
        event = Event(
            organization_id=self.organization_id,
            conversation_id=self.pk,
            seq=self.seq,
            type=type,
            actor=actor,
            data=data or {},
        )
        self.unwritten.append(event)
        return event

    def whereabouts(self) -> dict[str, Any]:
        """Who has it now, or where it waits: what a move puts on record, for names change later."""
        if self.state == State.QUEUED:
            return {"queue": self.queue.name, "priority": self.queue_priority}
        if self.state == State.HUMAN_HANDOFF:
            return {"agent": self.assigned_agent.name, "agent_id": str(self.assigned_agent_id)}
        return {"reason": self.close_reason} if self.state == State.CLOSED else {}

    # --- verbs: one per business event; sources listed, never "*" -----------------------------------
    @verb(state, source=[State.PENDING, State.QUEUED], target=State.BOT)
    def start_bot(self, flow: Flow) -> None:
        """A flow begins to talk with the contact."""
        self._leave_queue(None)
        self.flow = flow

    @verb(state, source=[State.PENDING, State.BOT], target=State.QUEUED)
    def enqueue(self, queue: Queue, priority: int, now: Any) -> None:
        """Wait for an agent in a queue."""
        self._silence_bot()
        self._wait(queue, priority, now)

    @verb(state, source=[State.QUEUED, State.HUMAN_HANDOFF], target=State.QUEUED)
    def requeue(self, queue: Queue, priority: int, now: Any, *, since: Any = None) -> None:
        """Move to another queue, or back into one from an agent; `since` is the age it keeps in line."""
        self.assigned_agent = self.assigned_at = None
        self._wait(queue, priority, now, since)

    @verb(state, source=[State.QUEUED], target=State.HUMAN_HANDOFF)
    def claim(self, agent: Membership, now: Any) -> None:
        """An agent takes the conversation from the line. The first one wins."""
        self._give(agent, now)

    @verb(state, source=[State.PENDING, State.BOT, State.QUEUED], target=State.HUMAN_HANDOFF)
    def assign(self, agent: Membership, now: Any) -> None:
        """Somebody (the bot, a supervisor) gives it to an agent directly, without a queue."""
        self._forget_old_queue()
        self._silence_bot()
        self._give(agent, now)

    @verb(
        state,
        source=[State.PENDING, State.BOT, State.QUEUED, State.HUMAN_HANDOFF],
        target=State.HUMAN_HANDOFF,
    )
    def take_over(self, agent: Membership, now: Any) -> None:
        """A person takes it, from the bot or from a colleague."""
        self._forget_old_queue()
        self._silence_bot()
        self._give(agent, now)

    @verb(state, source=[State.HUMAN_HANDOFF], target=State.HUMAN_HANDOFF)
    def hand_on(self, agent: Membership, now: Any) -> None:
        """From one agent to another."""
        self._give(agent, now)

    @verb(state, source=[State.QUEUED, State.HUMAN_HANDOFF], target=State.BOT)
    def release_to_bot(self, flow: Flow) -> None:
        """An agent gives the contact back to the bot."""
        self._leave_queue(None)
        self.assigned_agent = self.assigned_at = None
        self._wake()
        self.waiting_since = None
        self.flow = flow

    @verb(state, source=[State.PENDING, State.BOT, State.QUEUED, State.HUMAN_HANDOFF], target=State.CLOSED)
    def close(self, reason: str, now: Any) -> None:
        """The end; the next message of the contact opens a new conversation."""
        self._silence_bot()
        self._leave_queue(now)
        self.closed_at, self.close_reason = now, reason
        self._wake()

    def _wake(self) -> None:
        """Neither snoozed nor on hold any more."""
        self.snoozed_until = self.held_at = None
        self.extra_data.pop("over_capacity", None)

    def _wait(self, queue: Queue, priority: int, now: Any, since: Any = None) -> None:
        if since is None:  # else the same wait goes on elsewhere
            self._leave_queue(now)
        self._wake()
        self.queue, self.queue_priority, self.queued_at = queue, priority, since or now
        self.handoff_at = self.handoff_at or now
        self.waiting_since = self.waiting_since or now

    def _give(self, agent: Membership, now: Any) -> None:
        self._leave_queue(now)
        self._wake()
        self.assigned_agent, self.assigned_at, self.last_activity_at = agent, now, now
        self.handoff_at = self.handoff_at or now
        if self.state in (State.PENDING, State.BOT):
            self.waiting_since = self.waiting_since or now

    def _leave_queue(self, now: Any) -> None:
        """Off the line; the waiting time is kept."""
        if self.queued_at and now:
            self.waited_seconds = (self.waited_seconds or 0) + max(
                0.0, (now - self.queued_at).total_seconds()
            )
        self.queued_at = None

    def _forget_old_queue(self) -> None:
        """From the bot to an agent no queue has a part in it, though it may have waited in one before."""
        if self.state in (State.PENDING, State.BOT):
            self.queue = None

    def _silence_bot(self) -> None:
        self.bot_epoch += 1
