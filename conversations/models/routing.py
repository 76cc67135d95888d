"""Who waited where, who was asked, who got it and why."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership
from accounts.tenancy import TenantModel
from channels_hub.models import ChannelAccount
from conversations.models.conversation import Conversation
from flows.models import Flow
from queues.models import Queue


class RoutingDecision(TenantModel):
    """Why did this agent get it, or why nobody: every candidate with the verdict of every filter."""

    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="routing", db_index=False
    )
    # pull, claim, assign, take_over by people; round_robin, load_balance, skills_based by the router
    mode = models.CharField(max_length=16)
    queue = models.ForeignKey(Queue, null=True, on_delete=models.SET_NULL, related_name="+")
    candidates = models.JSONField(default=list)  # [{agent, verdicts: [{filter, ok, detail}], keys}]
    chosen = models.ForeignKey(Membership, null=True, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=200, blank=True)
    unblock = models.JSONField(default=list)  # when nobody was chosen: what would have to change
    at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("routing decision")
        verbose_name_plural = _("routing decisions")
        indexes = [models.Index(fields=["conversation", "-at"], name="decisions_of_conversation")]


class Offer(TenantModel):
    """A waiting conversation shown to one agent, who has a moment to accept. It holds a place of theirs."""

    class Outcome(models.TextChoices):
        OPEN = "", _("open")
        ACCEPTED = "accepted", _("accepted")
        DECLINED = "declined", _("declined")
        TIMED_OUT = "timed_out", _("timed out")
        WITHDRAWN = "withdrawn", _("withdrawn")  # somebody took it, or it left the queue

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="offers")
    agent = models.ForeignKey(Membership, on_delete=models.PROTECT, related_name="+")
    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="+")
    offered_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    outcome = models.CharField(max_length=10, choices=Outcome.choices, blank=True)
    answered_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("offer")
        verbose_name_plural = _("offers")
        constraints = [
            models.UniqueConstraint(fields=["conversation"], condition=Q(outcome=""), name="one_open_offer")
        ]
        indexes = [models.Index(fields=["agent"], condition=Q(outcome=""), name="open_offers_of_agent")]


class Stay(TenantModel):
    """One stay in one queue, from entering to leaving: the source of all waiting figures."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="stays")
    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="+", db_index=False)
    entered_at = models.DateTimeField()
    left_at = models.DateTimeField(null=True)
    ahead = models.PositiveIntegerField(default=0)  # how many were before it when it came
    left_by = models.CharField(max_length=20, blank=True)  # the verb that took it out

    class Meta:
        verbose_name = _("stay in a queue")
        verbose_name_plural = _("stays in queues")
        constraints = [
            models.UniqueConstraint(
                fields=["conversation"], condition=Q(left_at__isnull=True), name="one_open_stay"
            )
        ]
        indexes = [
            models.Index(fields=["queue", "-entered_at"], name="stays_of_queue"),
            # expected waits: the latest that ended, and the oldest that go on, however many wait
            models.Index(
                fields=["queue", "-entered_at"], condition=Q(left_at__isnull=False), name="stays_that_ended"
            ),
            models.Index(
                fields=["queue", "entered_at"], condition=Q(left_at__isnull=True), name="stays_that_go_on"
            ),
        ]


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
