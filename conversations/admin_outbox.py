"""Admin pages of the outbox: what is to be sent, each call of the platform, what the platform told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
    TextFilter,
)
from unfold.decorators import display
from unfold.enums import ActionVariant

from accounts.admin_base import TenantInline, asks, col, refused, told
from accounts.roles import Action
from channels_hub.contract import Outcome
from conversations import outbox, periods, troubles
from conversations.admin_records import (
    CHANNEL,
    SEQ,
    ConversationFilter,
    RecordAdmin,
    StatusFilter,
    name_of_status,
)
from conversations.admin_replay import ReplayMixin
from conversations.models import Attempt, Delivery, Receipt
from conversations.moves import database_now

OUTCOME_COLOURS = {
    Outcome.ACCEPTED: "success",
    Outcome.RETRYABLE: "warning",
    Outcome.RATE_LIMITED: "warning",
    "": "info",
} | dict.fromkeys(
    (
        Outcome.PERMANENT, Outcome.AMBIGUOUS, Outcome.WINDOW_CLOSED, Outcome.UNREACHABLE, Outcome.AUTH,
        Outcome.CONTENT,
    ),
    "danger",
)  # fmt: skip
NO_CODE = "none"  # in an address, for those without a code
UNDER_WAY = gettext_lazy("under way")


# ---------------------------------------------------------------- filters
class WrittenFilter(DropdownFilter):
    """By when it was written, in the periods of the figures."""

    title = gettext_lazy("written")
    parameter_name = "written"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        self.zone = ZoneInfo(request.member.organization.timezone)
        return list(periods.PERIODS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in periods.PERIODS:
            return queryset
        return queryset.filter(pk__gte=periods.first_id(self.value(), database_now(), self.zone))


class DeliveryFilter(admin.SimpleListFilter):
    """`?delivery=<id>`, as its page links; it offers no choices of its own."""

    title = gettext_lazy("delivery")
    parameter_name = "delivery"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        given = request.GET.get(self.parameter_name)
        return [(given, _("this delivery"))] if given else []

    def has_output(self) -> bool:
        return bool(self.value())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        try:
            return queryset.filter(delivery_id=UUID(self.value())) if self.value() else queryset
        except ValueError:
            return queryset.none()


class OutcomeFilter(DropdownFilter):
    title = gettext_lazy("outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(str(value), name) for value, name in troubles.OUTCOMES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(outcome=self.value()) if self.value() else queryset


class CodeFilter(TextFilter):
    """The whole code: a list of all that ever came would cost more than the page."""

    title = gettext_lazy("error code")
    parameter_name = "code"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        return queryset.filter(code="" if self.value() == NO_CODE else self.value())


class EndedFilter(DropdownFilter):
    """By how long ago the call ended, as channel health counts."""

    title = gettext_lazy("ended within")
    parameter_name = "within"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("1h", gettext_lazy("an hour")),
            ("24h", gettext_lazy("a day")),
            ("7d", gettext_lazy("a week")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        span = periods.SPANS.get(self.value() or "")
        return queryset.filter(ended_at__gt=database_now() - span) if span else queryset


# ---------------------------------------------------------------- what an attempt looks like
def exchange_lines(
    requests: Iterable[Mapping[str, Any]], responses: Iterable[Mapping[str, Any]]
) -> Iterator[str]:
    """What was said and answered, as one would read it aloud."""
    for said, answered in zip(requests, responses, strict=False):
        yield f"{said.get('method', '')} {said.get('url', '')}"
        if names := said.get("fields"):
            yield f"    {', '.join(names)}"
        how = answered.get("status") or answered.get("error") or "-"
        yield f"→ {how} ({answered.get('milliseconds', '?')} ms)"
        for name, value in (answered.get("answer") or {}).items():
            yield f"    {name}: {value}"


class Outcomes:
    """Columns that an attempt shows in its list, on its page and below its delivery."""

    @display(description=gettext_lazy("Outcome"), label=OUTCOME_COLOURS)
    def outcome_label(self, attempt: Attempt) -> tuple[str, Any]:
        return attempt.outcome, troubles.OUTCOMES.get(attempt.outcome, attempt.outcome) or UNDER_WAY

    @display(description=gettext_lazy("Outcome"))
    def outcome_name(self, attempt: Attempt) -> Any:
        return troubles.OUTCOMES.get(attempt.outcome, attempt.outcome) or UNDER_WAY

    @display(description=gettext_lazy("In words"), empty_value="-")
    def meaning(self, attempt: Attempt) -> str:
        words = troubles.meaning(attempt.code) if attempt.code else ""
        return words or troubles.explained(attempt.channel, attempt.code)


WHEN = col("started_at", gettext_lazy("When"))
NUMBER = col("number", gettext_lazy("Try"))
CODE = col("code", gettext_lazy("Code"))
SAID = col("detail", gettext_lazy("What the platform said"))
MILLISECONDS = col("milliseconds", gettext_lazy("Milliseconds"))


class AttemptInline(Outcomes, TenantInline):
    """Every call that was made for a delivery."""

    model = Attempt
    view_action = Action.READ_OUTBOX
    fields = (NUMBER, WHEN, "outcome_name", CODE, "meaning", MILLISECONDS, "details")
    readonly_fields = fields
    hide_title = True
    ordering = ("started_at", "id")
    per_page = 20
    tab = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attempt]:
        return super().get_queryset(request).select_related("channel").defer("channel__secrets")

    @display(description=gettext_lazy("Details"))
    def details(self, attempt: Attempt) -> str:
        url = reverse("admin:conversations_attempt_change", args=[attempt.pk])
        return format_html('<a href="{}" class="record-link">{}</a>', url, _("request and answer"))


class ReceiptInline(TenantInline):
    """Every report of the platform, as it came."""

    model = Receipt
    view_action = Action.READ_OUTBOX
    fields = (
        col("received_at", gettext_lazy("Received")),
        col("at", gettext_lazy("By the platform's clock")),
        "state_name",
        CODE,
        SAID,
    )
    readonly_fields = fields
    hide_title = True
    ordering = ("received_at", "id")
    verbose_name_plural = gettext_lazy("Status reports")
    per_page = 20
    tab = True

    @display(description=gettext_lazy("Status"))
    def state_name(self, receipt: Receipt) -> Any:
        return name_of_status(receipt.state)


@admin.register(Attempt)
class AttemptAdmin(Outcomes, RecordAdmin):
    view_action = Action.READ_OUTBOX
    list_display = (
        WHEN, "conversation_link", CHANNEL, NUMBER, "outcome_label", CODE, "meaning", MILLISECONDS,
    )  # fmt: skip
    list_filter = (
        DeliveryFilter,
        ("channel", RelatedDropdownFilter),
        OutcomeFilter,
        CodeFilter,
        EndedFilter,
        ("started_at", RangeDateFilter),
    )
    list_select_related = ("delivery__conversation__contact", "channel")
    ordering = ("-id",)
    fields = (
        WHEN, col("ended_at", gettext_lazy("Ended")), "conversation_link", "delivery_link", CHANNEL, NUMBER,
        "outcome_name", CODE, "meaning", "advice", SAID, MILLISECONDS, "exchange",
    )  # fmt: skip
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attempt]:
        found = super().get_queryset(request).select_related(*self.list_select_related)
        return found.defer("channel__secrets").order_by("-id")

    @display(description=gettext_lazy("Conversation"))
    def conversation_link(self, attempt: Attempt) -> str:
        return super().conversation_link(attempt.delivery)

    @display(description=gettext_lazy("Delivery"))
    def delivery_link(self, attempt: Attempt) -> str:
        url = reverse("admin:conversations_delivery_change", args=[attempt.delivery_id])
        name = name_of_status(attempt.delivery.status)
        return format_html('<a href="{}" class="record-link">{}</a>', url, name)

    @display(description=gettext_lazy("What helps"), empty_value="-")
    def advice(self, attempt: Attempt) -> str:
        return troubles.explained(attempt.channel, attempt.code)

    @display(description=gettext_lazy("Request and answer"), empty_value="-")
    def exchange(self, attempt: Attempt) -> str:
        """Names of the fields, never what was in them."""
        lines = "\n".join(exchange_lines(attempt.request or (), attempt.response or ()))
        return format_html('<pre class="code-view">{}</pre>', lines) if lines else ""


# ---------------------------------------------------------------- the outbox
class SendingAdmin(ReplayMixin, RecordAdmin):
    """What the outbox and its dead letters have in common."""

    view_action = Action.READ_OUTBOX
    origin = col("origin", gettext_lazy("From"))
    attempts = col("attempts", gettext_lazy("Attempts"))
    error = col("error_code", gettext_lazy("Error"))
    list_select_related = ("conversation__contact", "channel")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found = super().get_queryset(request).select_related("message", *self.list_select_related)
        return found.defer("channel__secrets")

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

    @display(description=gettext_lazy("In words"), empty_value="-")
    def meaning(self, delivery: Delivery) -> str:
        return troubles.meaning(delivery.error_code) or troubles.explained(
            delivery.channel, delivery.error_code
        )

    @display(description=gettext_lazy("What to do next"), empty_value="-")
    def next_step(self, delivery: Delivery) -> str:
        step = troubles.next_step(delivery.status, delivery.error_code, delivery.channel)
        told_us = troubles.explained(delivery.channel, delivery.error_code)
        return " ".join(part for part in (step, told_us) if part)

    @display(description=gettext_lazy("Message"))
    def message_link(self, delivery: Delivery) -> str:
        url = reverse("admin:conversations_message_change", args=[delivery.message_id])
        return format_html('<a href="{}" class="record-link">{}</a>', url, delivery.message.text[:80] or "-")


@admin.register(Delivery)
class DeliveryAdmin(SendingAdmin):
    stored = col("created_at", gettext_lazy("Stored"))
    due = col("due_at", gettext_lazy("Due"))
    origin, attempts, error = SendingAdmin.origin, SendingAdmin.attempts, SendingAdmin.error
    list_display = (
        stored, "conversation_link", "status_label", origin, attempts, due, error, "meaning", CHANNEL,
    )  # fmt: skip
    list_filter = (
        ConversationFilter,
        StatusFilter,
        WrittenFilter,
        ("origin", ChoicesDropdownFilter),
        ("channel", RelatedDropdownFilter),
    )
    ordering = ("-id",)
    inlines = (AttemptInline, ReceiptInline)
    fields = (
        "conversation_link", "message_link", CHANNEL, "status_name",
        error, "meaning", "next_step",
        col("error_detail", gettext_lazy("What the platform said")),
        origin, attempts, col("max_retries", gettext_lazy("Tries at most")), due,
        col("expires_at", gettext_lazy("Too old after")),
        col("lease_until", gettext_lazy("With a worker until")),
        col("provider_id", gettext_lazy("Id at the platform")),
        stored, col("settled_at", gettext_lazy("Settled")),
        SEQ, col("part", gettext_lazy("Part")), col("priority", gettext_lazy("Priority")),
    )  # fmt: skip
    readonly_fields = fields
    actions = ("cancel_selected", "replay_selected")
    actions_row = ("retry", "cancel")
    actions_detail = ("retry", "cancel")

    @asks(gettext_lazy("Cancel sending"), permission="replay", icon="cancel_schedule_send")
    def cancel(self, request: HttpRequest, form: Any, delivery: Delivery) -> None:
        try:
            outbox.cancel(delivery.message_id, actor=request.member)
        except outbox.TooLate:
            refused(request, _("It is too late: the message is with the platform."))
        else:
            told(request, _("The message is not going to be sent."))
