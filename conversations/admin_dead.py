"""Admin page of dead letters: what failed, grew too old or was never confirmed, and sending it again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Count, F, Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from accounts.admin_base import col
from channels_hub.models import ChannelAccount
from conversations import periods, troubles
from conversations.admin_outbox import NO_CODE, SendingAdmin, WrittenFilter
from conversations.admin_records import CHANNEL, StatusFilter, name_of_status
from conversations.models import DEAD, DeadLetter
from conversations.moves import database_now

GROUPS = 20  # lines above the list
MOST = 999  # nobody needs to know more exactly than that


class DeadStatusFilter(StatusFilter):
    offered = DEAD


class ErrorFilter(DropdownFilter):
    """The codes that dead letters have."""

    title = gettext_lazy("error")
    parameter_name = "error"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        codes = dead().order_by("error_code").values_list("error_code", flat=True).distinct()
        return [(code or NO_CODE, code_and_words(code)) for code in codes]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        return queryset.filter(error_code="" if self.value() == NO_CODE else self.value())


class AgeFilter(DropdownFilter):
    title = gettext_lazy("age")
    parameter_name = "age"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("1h", gettext_lazy("less than an hour")), ("24h", gettext_lazy("less than a day")),
            ("7d", gettext_lazy("less than a week")), ("older", gettext_lazy("more than a week")),
        ]  # fmt: skip

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "older":
            return queryset.filter(settled_at__lte=database_now() - periods.SPANS["7d"])
        span = periods.SPANS.get(self.value() or "")
        return queryset.filter(settled_at__gt=database_now() - span) if span else queryset


def dead() -> QuerySet[DeadLetter]:
    return DeadLetter.objects.filter(status__in=DEAD)


def badge(request: HttpRequest) -> str:
    """The number beside the entry in the navigation; nothing when there is none."""
    n = dead().order_by()[: MOST + 1].count()
    return f"{MOST}+" if n > MOST else str(n or "")


def code_and_words(code: str) -> str:
    words = troubles.meaning(code)
    return f"{code}: {words}" if code and words else code or words or _("no code")


def groups() -> list[dict[str, Any]]:
    """By channel, status and error, the largest first, each with the addresses that narrow the list to it."""
    day_ago = database_now() - timedelta(days=1)
    rows = list(
        dead()
        .values("channel_id", "status", "error_code", name=F("channel__name"))
        .annotate(n=Count("id"), lately=Count("id", filter=Q(settled_at__gt=day_ago)), last=Max("settled_at"))
        .order_by("-n", "name", "error_code")[:GROUPS]
    )
    channels = ChannelAccount.objects.defer("secrets").in_bulk({row["channel_id"] for row in rows})
    page = reverse("admin:conversations_deadletter_changelist")
    found = []
    for row in rows:
        narrowed = {
            "channel__id__exact": row["channel_id"], "status": row["status"],
            "error": row["error_code"] or NO_CODE,
        }  # fmt: skip
        found.append(
            {
                **row,
                "words": troubles.meaning(row["error_code"]),
                "next_step": troubles.next_step(
                    row["status"], row["error_code"], channels[row["channel_id"]]
                ),
                "status_name": name_of_status(row["status"]),
                "link": f"{page}?{urlencode(narrowed)}",
                "link_lately": f"{page}?{urlencode(narrowed | {'age': '24h'})}",
            }
        )
    return found


@admin.register(DeadLetter)
class DeadLetterAdmin(SendingAdmin):
    """A row leads to the delivery's own page: there are its calls and reports."""

    ended = col("settled_at", gettext_lazy("Ended"))
    origin, attempts, error = SendingAdmin.origin, SendingAdmin.attempts, SendingAdmin.error
    list_display = (
        ended, "conversation_link", "status_label", error, "meaning", origin, CHANNEL,
    )  # fmt: skip
    list_filter = (
        DeadStatusFilter,
        ErrorFilter,
        AgeFilter,
        WrittenFilter,
        ("channel", RelatedDropdownFilter),
        ("origin", ChoicesDropdownFilter),
    )
    list_before_template = "admin/conversations/dead_groups.html"
    ordering = ("-settled_at", "-id")
    fields = (
        "conversation_link", "message_link", CHANNEL, "status_name", error, "meaning", "next_step", origin,
        attempts, ended, "delivery_link",
    )  # fmt: skip
    readonly_fields = fields
    actions = ("replay_selected",)
    actions_row = ("retry",)
    actions_detail = ("retry",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        return super().get_queryset(request).filter(status__in=DEAD).order_by(*self.ordering)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(request, {"groups": groups(), **(extra_context or {})})

    @display(description=gettext_lazy("Outbox"))
    def delivery_link(self, delivery: DeadLetter) -> str:
        url = reverse("admin:conversations_delivery_change", args=[delivery.pk])
        return format_html('<a href="{}" class="record-link">{}</a>', url, _("calls and reports"))
