"""What happened and what must happen next."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership
from accounts.tenancy import TenantModel
from conversations.xid import TransactionIdField


class Event(TenantModel):
    """A line of the ledger: append-only, gap-free per conversation, with cause and actor.

    `xid` is the writing transaction: a reader that takes rows below the oldest running transaction, in the
    order (xid, id), never misses one that is committed late.
    """

    id = models.BigAutoField(primary_key=True)
    conversation = models.ForeignKey(
        "conversations.Conversation", models.CASCADE, related_name="events", db_index=False
    )
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
        indexes = [
            models.Index(fields=["organization", "xid", "id"], name="ledger_in_commit_order"),
            # the wall's alerts
            models.Index(
                fields=["organization", "at"], condition=Q(type="attention"), name="calls_for_attention"
            ),
        ]

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
        OFFER = "offer", _("the offer runs out")
        ROUTE = "route", _("the router looks again")
        OVERFLOW = "overflow", _("moves on after waiting")
        SLA_WAIT = "sla_wait", _("SLA: wait in the queue")
        SLA_FIRST = "sla_first", _("SLA: first response")
        SLA_NEXT = "sla_next", _("SLA: next response")
        SLA_RESOLUTION = "sla_resolution", _("SLA: resolution")

    conversation = models.ForeignKey(
        "conversations.Conversation", models.CASCADE, related_name="deadlines", db_index=False
    )
    kind = models.CharField(max_length=16, choices=Kind.choices)
    due_at = models.DateTimeField()
    epoch = models.PositiveIntegerField(default=0)  # the bot_epoch it was armed under
    data = models.JSONField(default=dict)
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        verbose_name = _("deadline")
        verbose_name_plural = _("deadlines")
        constraints = [models.UniqueConstraint(fields=["conversation", "kind"], name="one_deadline_per_kind")]
        indexes = [models.Index(fields=["due_at"], name="deadlines_due")]
