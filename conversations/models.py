"""The facts of the desk: conversations, messages, deliveries, the ledger, deadlines."""

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
from channels_hub.models import ChannelAccount, MediaFile
from contacts.models import Contact, Identity
from conversations.fsm import verb
from conversations.states import OPEN_STATES, CloseReason, State
from conversations.xid import TransactionIdField
from flows.models import Flow, FlowVersion
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

    contact = models.ForeignKey(Contact, on_delete=models.PROTECT, related_name="conversations")
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
    assigned_agent = models.ForeignKey(Membership, null=True, on_delete=models.PROTECT, related_name="+")
    assigned_at = models.DateTimeField(null=True)
    handoff_at = models.DateTimeField(null=True)
    first_response_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    close_reason = models.CharField(max_length=10, choices=CloseReason.choices, blank=True)
    snoozed_until = models.DateTimeField(null=True)
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
        "closed_at", "close_reason", "snoozed_until", "seq", "unread", "last_message_at", "last_inbound_at",
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
    def requeue(self, queue: Queue, priority: int, now: Any) -> None:
        """Move to another queue, or back into one from an agent."""
        self.assigned_agent = self.assigned_at = None
        self._wait(queue, priority, now)

    @verb(state, source=[State.QUEUED], target=State.HUMAN_HANDOFF)
    def claim(self, agent: Membership, now: Any) -> None:
        """An agent takes the conversation from the line. The first one wins."""
        self._give(agent, now)

    @verb(state, source=[State.PENDING, State.BOT, State.QUEUED], target=State.HUMAN_HANDOFF)
    def assign(self, agent: Membership, now: Any) -> None:
        """Somebody (the bot, a supervisor) gives it to an agent directly, without a queue."""
        self._silence_bot()
        self._give(agent, now)

    @verb(
        state,
        source=[State.PENDING, State.BOT, State.QUEUED, State.HUMAN_HANDOFF],
        target=State.HUMAN_HANDOFF,
    )
    def take_over(self, agent: Membership, now: Any) -> None:
        """A person takes it, from the bot or from a colleague."""
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
        self.assigned_agent = self.assigned_at = self.snoozed_until = None
        self.flow = flow

    @verb(state, source=[State.PENDING, State.BOT, State.QUEUED, State.HUMAN_HANDOFF], target=State.CLOSED)
    def close(self, reason: str, now: Any) -> None:
        """The end; the next message of the contact opens a new conversation."""
        self._silence_bot()
        self._leave_queue(now)
        self.closed_at, self.close_reason = now, reason
        self.snoozed_until = None

    def _wait(self, queue: Queue, priority: int, now: Any) -> None:
        self.snoozed_until = None
        self.queue, self.queue_priority, self.queued_at = queue, priority, now
        self.handoff_at = self.handoff_at or now

    def _give(self, agent: Membership, now: Any) -> None:
        self._leave_queue(now)
        self.snoozed_until = None
        self.assigned_agent, self.assigned_at, self.last_activity_at = agent, now, now
        self.handoff_at = self.handoff_at or now

    def _leave_queue(self, now: Any) -> None:
        """Off the line; the waiting time is kept."""
        if self.queued_at and now:
            self.waited_seconds = (self.waited_seconds or 0) + max(
                0.0, (now - self.queued_at).total_seconds()
            )
        self.queued_at = None

    def _silence_bot(self) -> None:
        self.bot_epoch += 1


class FlowRun(TenantModel):
    """One run of a flow version in a conversation. The version is pinned until the run ends."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="runs")
    version = models.ForeignKey(FlowVersion, on_delete=models.PROTECT, related_name="+")
    state = models.JSONField(null=True)  # flows.engine.RunState as JSON
    trigger = models.CharField(max_length=40, blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=20, blank=True)  # handoff, bot_done, expired, taken_over, failed

    class Meta:
        verbose_name = _("flow run")
        verbose_name_plural = _("flow runs")
        constraints = [
            models.UniqueConstraint(
                fields=["conversation"], condition=Q(ended_at__isnull=True), name="one_live_run"
            )
        ]


class Message(TenantModel):
    """What somebody said, in or out. Its seq is its place in the conversation's ledger."""

    class Direction(models.TextChoices):
        IN = "in"
        OUT = "out"

    class Sender(models.TextChoices):
        CONTACT = "contact", _("contact")
        BOT = "bot", _("bot")
        AGENT = "agent", _("agent")
        SYSTEM = "system", _("system")

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
    channel = models.ForeignKey(ChannelAccount, on_delete=models.PROTECT, related_name="+")
    seq = models.PositiveIntegerField()
    direction = models.CharField(max_length=3, choices=Direction.choices)
    sender = models.CharField(max_length=8, choices=Sender.choices)
    agent = models.ForeignKey(Membership, null=True, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(
        max_length=12, default="text"
    )  # text image audio video file sticker location choice contacts
    text = models.TextField(blank=True)
    options = models.JSONField(default=list)  # [{"id","title"}] that went out with it
    choice = models.JSONField(null=True)  # {"id","title"} the contact pressed
    location = models.JSONField(null=True)  # {"latitude","longitude","label"}
    contacts = models.JSONField(default=list)  # contact cards as the platform gave them
    reply_to = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="+")
    provider_id = models.CharField(max_length=255, blank=True)
    client_id = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=12, default="received")
    error_code = models.CharField(max_length=40, blank=True)
    error_detail = models.CharField(max_length=300, blank=True)
    occurred_at = models.DateTimeField()  # the platform's clock for inbound, ours for outbound
    created_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True)
    delivered_at = models.DateTimeField(null=True)
    read_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        constraints = [
            models.UniqueConstraint(fields=["conversation", "seq"], name="message_seq_once"),
            models.UniqueConstraint(
                fields=["channel", "provider_id"],
                condition=Q(direction="in") & ~Q(provider_id=""),
                name="inbound_message_once",
            ),
            models.UniqueConstraint(
                fields=["conversation", "client_id"], condition=~Q(client_id=""), name="client_id_once"
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)


class Attachment(TenantModel):
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="attachments")
    media = models.ForeignKey(MediaFile, on_delete=models.PROTECT, related_name="+")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position"]


class Delivery(TenantModel):
    """One platform call still to make or made: the outbox row. Its id is our reference on the platform."""

    class Origin(models.TextChoices):
        AGENT = "agent"
        BOT = "bot"
        SYSTEM = "system"
        API = "api"

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="deliveries")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(ChannelAccount, on_delete=models.PROTECT, related_name="+")
    seq = models.PositiveIntegerField()  # of the message: the order within the conversation
    part = models.PositiveSmallIntegerField(default=0)  # of a message split into several calls
    priority = models.PositiveSmallIntegerField(default=0)
    origin = models.CharField(max_length=8, choices=Origin.choices)
    status = models.CharField(max_length=12, default="pending")
    due_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    max_retries = models.PositiveSmallIntegerField(default=3)
    retry_delay = models.FloatField(default=5.0)
    attempt_id = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    provider_id = models.CharField(max_length=255, blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    error_detail = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    settled_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("outbox")
        constraints = [
            models.UniqueConstraint(fields=["message", "part"], name="one_delivery_per_part"),
        ]
        indexes = [
            models.Index(
                F("channel"), F("priority").desc(), F("due_at"), F("id"),
                condition=Q(status__in=["pending", "retrying"]), name="outbox_due",
            ),
            models.Index(
                fields=["lease_until"], condition=Q(status="processing"), name="outbox_leases"
            ),
            models.Index(
                fields=["conversation", "seq", "part"],
                condition=Q(status__in=["pending", "retrying", "processing", "unknown"]),
                name="outbox_in_order",
            ),
            models.Index(
                fields=["channel", "provider_id"], condition=~Q(provider_id=""), name="outbox_by_provider_id"
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return str(self.pk)


class Note(TenantModel):
    """What colleagues write to each other; the customer never sees it."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="notes")
    seq = models.PositiveIntegerField()
    author = models.ForeignKey(Membership, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("note")
        verbose_name_plural = _("notes")
        constraints = [models.UniqueConstraint(fields=["conversation", "seq"], name="note_seq_once")]


class Event(TenantModel):
    """A line of the ledger: append-only, gap-free per conversation, with cause and actor.

    `xid` is the writing transaction: a reader that takes rows below the oldest running transaction, in the
    order (xid, id), never misses one that is committed late.
    """

    id = models.BigAutoField(primary_key=True)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveIntegerField()
    type = models.CharField(max_length=40)
    actor = models.ForeignKey(Membership, null=True, on_delete=models.PROTECT, related_name="+")
    cause = models.CharField(max_length=80, blank=True)
    data = models.JSONField(default=dict)
    at = models.DateTimeField(db_default=Now())
    xid = TransactionIdField()

    class Meta:
        verbose_name = _("ledger line")
        verbose_name_plural = _("ledger")
        constraints = [models.UniqueConstraint(fields=["conversation", "seq"], name="event_seq_once")]
        indexes = [models.Index(fields=["organization", "xid", "id"], name="ledger_in_commit_order")]

    def __str__(self) -> str:
        return f"{self.seq} {self.type}"


class Deadline(TenantModel):
    """The next thing that must happen by itself. One row per conversation and kind, re-armed on each move."""

    class Kind(models.TextChoices):
        BOT_TURN = "bot_turn", _("the bot answers")
        BOT_TIMEOUT = "bot_timeout", _("the question times out")
        BOT_IDLE = "bot_idle", _("the bot run expires")
        QUEUE_WAIT = "queue_wait", _("the wait is given up")
        AGENT_IDLE = "agent_idle", _("the agent is idle")
        SNOOZE = "snooze", _("the snooze ends")
        ATTENTION = "attention", _("nobody handles it")

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="deadlines")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    due_at = models.DateTimeField()
    epoch = models.PositiveIntegerField(default=0)  # the bot_epoch it was armed under
    data = models.JSONField(default=dict)
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        verbose_name = _("deadline")
        verbose_name_plural = _("deadlines")
        constraints = [models.UniqueConstraint(fields=["conversation", "kind"], name="one_deadline_per_kind")]
        indexes = [models.Index(fields=["due_at"], name="deadlines_due")]


class RoutingDecision(TenantModel):
    """Why did this agent get it, or why nobody: every candidate with the verdict of every filter."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="routing")
    mode = models.CharField(max_length=16)  # pull, claim, assign, transfer, take_over
    candidates = models.JSONField(default=list)  # [{agent, verdicts: [{filter, ok, detail}], keys}]
    chosen = models.ForeignKey(Membership, null=True, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("routing decision")
        verbose_name_plural = _("routing decisions")
        indexes = [models.Index(fields=["conversation", "-at"], name="decisions_of_conversation")]


class Reception(TenantModel):
    """Who receives a channel's first message: a flow, else a queue; with neither a supervisor sees it."""

    channel = models.OneToOneField(ChannelAccount, on_delete=models.CASCADE, related_name="reception")
    default_flow = models.ForeignKey(Flow, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    default_queue = models.ForeignKey(
        Queue, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        verbose_name = _("reception")
        verbose_name_plural = _("receptions")
