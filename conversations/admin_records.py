"""Admin pages of what a conversation leaves behind: messages, ledger, deadlines, routing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import display

from accounts.admin_base import TenantAdmin, TenantInline, col
from accounts.roles import Action
from channels_hub.contract import State
from conversations import words
from conversations.models import Deadline, Event, Message, RoutingDecision
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


def name_of_status(status: str) -> str:
    return str(STATUS_NAMES.get(status, status))


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
    """Statuses by name, or several with commas between, as figures link; the column has no choices."""

    title = gettext_lazy("status")
    parameter_name = "status"
    offered: Sequence[str] = tuple(map(str, STATUS_NAMES))

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        given = request.GET.get(self.parameter_name, "")
        several = [(given, ", ".join(map(name_of_status, given.split(","))))] if "," in given else []
        return several + [(status, name_of_status(status)) for status in self.offered]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(status__in=self.value().split(",")) if self.value() else queryset


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
        return record.status, name_of_status(record.status)

    @display(description=gettext_lazy("Status"))
    def status_name(self, record: Any) -> Any:
        return name_of_status(record.status)

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
        """Each part with its calls and reports a click away."""
        found = message.deliveries.order_by("part")
        pages = [(reverse("admin:conversations_delivery_change", args=[one.pk]), one) for one in found]
        return format_html_join(
            ", ",
            '<a href="{}" class="record-link">{}</a>',
            ((page, name_of_status(one.status)) for page, one in pages),
        )


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
