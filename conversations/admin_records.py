"""Admin pages of what a conversation leaves behind: messages, outbox, ledger, deadlines, routing."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import display
from unfold.enums import ActionVariant

from accounts.admin_base import TenantAdmin, TenantInline, asks, col, may, refused, told
from accounts.roles import Action
from channels_hub.contract import State
from conversations import outbox, words
from conversations.models import Deadline, Delivery, Event, Message, RoutingDecision
from conversations.why import told_of

STATUS_COLOURS = {
    "received": "info",
    "pending": "info",
    "processing": "info",
    "retrying": "warning",
    "unknown": "danger",
    "queued": "info",
    "sent": "success",
    "delivered": "success",
    "read": "success",
    "cancelled": "default",
    "expired": "warning",
    "failed": "danger",
}
STATUS_NAMES = {
    "received": gettext_lazy("received"),
    State.PENDING: gettext_lazy("waiting to be sent"),
    State.PROCESSING: gettext_lazy("being sent"),
    State.RETRYING: gettext_lazy("waiting for another try"),
    State.UNKNOWN: gettext_lazy("not confirmed"),
    State.QUEUED: gettext_lazy("accepted by the platform"),
    State.SENT: gettext_lazy("sent"),
    State.DELIVERED: gettext_lazy("delivered"),
    State.READ: gettext_lazy("read"),
    State.CANCELLED: gettext_lazy("cancelled"),
    State.EXPIRED: gettext_lazy("expired"),
    State.FAILED: gettext_lazy("failed"),
}


CHANNEL = col("channel", gettext_lazy("Channel"))
SEQ = col("seq", gettext_lazy("No."))
DATA = col("data", gettext_lazy("Details"))
EVENT = (
    SEQ,
    col("type", gettext_lazy("What")),
    col("actor", gettext_lazy("Who")),
    col("cause", gettext_lazy("Cause")),
)
AT = col("at", gettext_lazy("When"))


def in_words(data: dict[str, Any]) -> str:
    """The details of a ledger line in one line."""
    return ", ".join(f"{name}: {value}" for name, value in data.items() if value != "")


class ConversationFilter(admin.SimpleListFilter):
    """`?conversation=<id>`, as the conversation's page links; it offers no choices of its own."""

    title = gettext_lazy("conversation")
    parameter_name = "conversation"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        given = request.GET.get(self.parameter_name)
        return [(given, _("this conversation"))] if given else []

    def has_output(self) -> bool:
        return bool(self.value())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        try:
            return queryset.filter(conversation_id=UUID(self.value())) if self.value() else queryset
        except ValueError:
            return queryset.none()


class StatusFilter(DropdownFilter):
    """Statuses by name; the column has no choices of its own."""

    title = gettext_lazy("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(str(value), name) for value, name in STATUS_NAMES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(status=self.value()) if self.value() else queryset


class RecordAdmin(TenantAdmin):
    """Written by the desk, read by people: nothing is added, changed or deleted here."""

    view_action = Action.READ_CONVERSATIONS
    sortable_by = ()

    @display(description=gettext_lazy("Conversation"))
    def conversation_link(self, record: Any) -> str:
        url = reverse("admin:conversations_conversation_change", args=[record.conversation_id])
        return format_html('<a href="{}" class="record-link">{}</a>', url, record.conversation.contact)

    @display(description=gettext_lazy("Status"), ordering="status", label=STATUS_COLOURS)
    def status_label(self, record: Any) -> tuple[str, Any]:
        return record.status, STATUS_NAMES.get(record.status, record.status)

    @display(description=gettext_lazy("Status"))
    def status_name(self, record: Any) -> Any:
        return STATUS_NAMES.get(record.status, record.status)

    @display(description=gettext_lazy("Details"))
    def details(self, record: Any) -> str:
        return in_words(record.data)


class EventInline(TenantInline):
    """The ledger of one conversation, newest first."""

    model = Event
    view_action = Action.READ_CONVERSATIONS
    fields = (AT, *EVENT, "details")
    readonly_fields = fields
    hide_title = True
    ordering = ("-seq",)
    per_page = 20
    tab = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        return super().get_queryset(request).select_related("actor__user")

    @display(description=gettext_lazy("Details"))
    def details(self, event: Event) -> str:
        return in_words(event.data)


@admin.register(Message)
class MessageAdmin(RecordAdmin):
    occurred = col("occurred_at", gettext_lazy("When"))
    direction = col("direction", gettext_lazy("Direction"))
    sender = col("sender", gettext_lazy("From"))
    author = col("agent", gettext_lazy("Agent"))
    list_display = (
        occurred,
        "conversation_link",
        direction,
        sender,
        author,
        "excerpt",
        "status_label",
        CHANNEL,
    )
    list_filter = (
        ConversationFilter,
        StatusFilter,
        ("direction", ChoicesDropdownFilter),
        ("sender", ChoicesDropdownFilter),
        ("channel", RelatedDropdownFilter),
    )
    list_select_related = ("conversation__contact", "channel", "agent__user")
    ordering = ("-id",)
    fields = (
        "conversation_link", CHANNEL, SEQ, direction, sender, author,
        col("kind", gettext_lazy("Kind")),
        col("text", gettext_lazy("Text")),
        col("options", gettext_lazy("Options")),
        col("choice", gettext_lazy("Choice")),
        col("location", gettext_lazy("Location")),
        col("contacts", gettext_lazy("Contact cards")),
        "files", "status_name",
        col("error_code", gettext_lazy("Error")),
        col("error_detail", gettext_lazy("What the platform said")),
        col("provider_id", gettext_lazy("Id at the platform")),
        col("client_id", gettext_lazy("Id of the writer")),
        occurred,
        col("created_at", gettext_lazy("Stored")),
        col("sent_at", gettext_lazy("Sent")),
        col("delivered_at", gettext_lazy("Delivered")),
        col("read_at", gettext_lazy("Read")),
        col("failed_at", gettext_lazy("Failed")),
        "deliveries",
    )  # fmt: skip
    readonly_fields = fields

    @display(description=gettext_lazy("Text"))
    def excerpt(self, message: Message) -> str:
        return message.text[:80] or f"[{message.kind}]"

    @display(description=gettext_lazy("Files"))
    def files(self, message: Message) -> str:
        found = message.attachments.select_related("media")
        return ", ".join(f"{one.media} ({one.media.get_state_display()})" for one in found)

    @display(description=gettext_lazy("Outbox"))
    def deliveries(self, message: Message) -> str:
        return ", ".join(
            str(STATUS_NAMES.get(one.status, one.status)) for one in message.deliveries.order_by("part")
        )


@admin.register(Delivery)
class DeliveryAdmin(RecordAdmin):
    view_action = Action.READ_OUTBOX
    stored = col("created_at", gettext_lazy("Stored"))
    origin = col("origin", gettext_lazy("From"))
    attempts = col("attempts", gettext_lazy("Attempts"))
    due = col("due_at", gettext_lazy("Due"))
    error = col("error_code", gettext_lazy("Error"))
    list_display = (stored, "conversation_link", "status_label", origin, attempts, due, error, CHANNEL)
    list_filter = (
        ConversationFilter,
        StatusFilter,
        ("origin", ChoicesDropdownFilter),
        ("channel", RelatedDropdownFilter),
    )
    list_select_related = ("conversation__contact", "channel")
    ordering = ("-id",)
    fields = (
        "conversation_link", "message_link", CHANNEL, SEQ,
        col("part", gettext_lazy("Part")),
        origin,
        col("priority", gettext_lazy("Priority")),
        "status_name", attempts,
        col("max_retries", gettext_lazy("Tries at most")),
        due,
        col("expires_at", gettext_lazy("Too old after")),
        col("lease_until", gettext_lazy("With a worker until")),
        col("provider_id", gettext_lazy("Id at the platform")),
        error,
        col("error_detail", gettext_lazy("What the platform said")),
        stored,
        col("settled_at", gettext_lazy("Settled")),
    )  # fmt: skip
    readonly_fields = fields
    actions_row = ("retry", "cancel")
    actions_detail = ("retry", "cancel")

    def has_replay_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, Action.REPLAY)

    @asks(
        gettext_lazy("Send again"),
        permission="replay",
        icon="replay",
        variant=ActionVariant.PRIMARY,
        description=gettext_lazy("If it had reached the customer after all, they get it twice."),
    )
    def retry(self, request: HttpRequest, form: Any, delivery: Delivery) -> None:
        try:
            outbox.retry(delivery.message_id, actor=request.member)
        except outbox.TooLate:
            refused(
                request, _("Only what failed, expired, was cancelled or is not confirmed can be sent again.")
            )
        else:
            told(request, _("The message is waiting to be sent."))

    @asks(gettext_lazy("Cancel sending"), permission="replay", icon="cancel_schedule_send")
    def cancel(self, request: HttpRequest, form: Any, delivery: Delivery) -> None:
        try:
            outbox.cancel(delivery.message_id, actor=request.member)
        except outbox.TooLate:
            refused(request, _("It is too late: the message is with the platform."))
        else:
            told(request, _("The message is not going to be sent."))

    @display(description=gettext_lazy("Message"))
    def message_link(self, delivery: Delivery) -> str:
        url = reverse("admin:conversations_message_change", args=[delivery.message_id])
        return format_html('<a href="{}" class="record-link">{}</a>', url, delivery.message.text[:80] or "-")


@admin.register(Event)
class EventAdmin(RecordAdmin):
    list_display = (AT, "conversation_link", *EVENT, "details")
    list_filter = (ConversationFilter,)
    list_select_related = ("conversation__contact", "actor__user")
    ordering = ("-id",)
    fields = ("conversation_link", *EVENT, DATA, AT)
    readonly_fields = fields


@admin.register(Deadline)
class DeadlineAdmin(RecordAdmin):
    due = col("due_at", gettext_lazy("Due"))
    kind = col("kind", gettext_lazy("What happens"))
    attempts = col("attempts", gettext_lazy("Attempts"))
    list_display = (due, "conversation_link", kind, attempts)
    list_filter = (ConversationFilter, ("kind", ChoicesDropdownFilter))
    list_select_related = ("conversation__contact",)
    ordering = ("due_at", "id")
    fields = ("conversation_link", kind, due, col("epoch", gettext_lazy("Bot's turn no.")), attempts, DATA)
    readonly_fields = fields


class ModeFilter(DropdownFilter):
    """How it was decided: by people, or by one of the router's modes."""

    title = gettext_lazy("how")
    parameter_name = "mode"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(words.MODES.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(mode=self.value()) if self.value() else queryset


class ChosenFilter(DropdownFilter):
    title = gettext_lazy("outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("chosen", gettext_lazy("an agent was chosen")), ("nobody", gettext_lazy("nobody fits"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in ("chosen", "nobody"):
            return queryset
        return queryset.filter(chosen__isnull=self.value() == "nobody")


@admin.register(RoutingDecision)
class RoutingDecisionAdmin(RecordAdmin):
    queue = col("queue", gettext_lazy("Queue"))
    chosen = col("chosen", gettext_lazy("Agent"))
    list_display = (AT, "conversation_link", queue, "how", chosen, "why")
    list_filter = (
        ConversationFilter,
        ModeFilter,
        ("queue", RelatedDropdownFilter),
        ChosenFilter,
        ("at", RangeDateFilter),
    )
    list_select_related = ("conversation__contact", "chosen__user", "queue")
    search_fields = ("conversation_id",)
    search_help_text = gettext_lazy("The whole id of a conversation")
    ordering = ("-id",)
    fields = ("conversation_link", queue, "how", chosen, "why", "what_helps", AT, "considered")
    readonly_fields = fields

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[RoutingDecision], search_term: str
    ) -> tuple[QuerySet[RoutingDecision], bool]:
        if not (term := search_term.strip()):
            return queryset, False
        try:
            return queryset.filter(conversation_id=UUID(term)), False
        except ValueError:
            return queryset.none(), False

    @display(description=gettext_lazy("How"))
    def how(self, record: RoutingDecision) -> Any:
        return words.MODES.get(record.mode, record.mode)

    @display(description=gettext_lazy("Why"))
    def why(self, record: RoutingDecision) -> str:
        return words.reason(record.reason)

    @display(description=gettext_lazy("What would move it"), empty_value="-")
    def what_helps(self, record: RoutingDecision) -> str | None:
        return "; ".join(told_of(record).unblock) or None

    @display(description=gettext_lazy("Candidates"))
    def considered(self, record: RoutingDecision) -> str:
        shown = {"candidates": told_of(record).candidates}
        return render_to_string("admin/conversations/candidates.html", shown)
