"""The figures that supervisors see in the admin: how channels fare, and what became of what was written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action

from accounts.admin_base import asks, refused, told
from accounts.middleware import MemberRequest
from channels_hub.models import ChannelAccount
from conversations import bells, outbox, pacing, periods
from conversations.admin import DeskChannelAdmin
from conversations.admin_outbox import DeliveryAdmin
from conversations.models import Delivery
from conversations.moves import database_now
from insights import health, sending

EVERY = 10  # seconds between two looks of an open page
END_REST = "admin:channels_hub_channelaccount_end_rest"

# The same pages with figures on them, which the floors below do not know.
admin.site.unregister([ChannelAccount, Delivery])


@admin.register(ChannelAccount)
class HealthChannelAdmin(DeskChannelAdmin):
    actions_list: Any = (*DeskChannelAdmin.actions_list, "health")
    actions_detail: Any = (*DeskChannelAdmin.actions_detail, "end_rest")
    change_form_before_template = "admin/insights/channel.html"

    @action(description=gettext_lazy("Health"), url_path="health", permissions=["view"], icon="monitor_heart")
    def health(self, request: MemberRequest) -> HttpResponse:
        """Every channel; with ?fragment=1 only what an open page swaps in."""
        channels = ChannelAccount.objects.defer("secrets").order_by("-is_active", "name", "id")
        context: dict[str, Any] = {
            "healths": health.of(list(channels), database_now()),
            "may_end": self.has_change_permission(request),
            "every": EVERY,
            "here": reverse("admin:channels_hub_channelaccount_health"),
        }
        page = "_healths"
        if not request.GET.get("fragment"):
            page, titled = "health", {"title": _("Channel health"), "subtitle": None, "opts": self.opts}
            context |= self.admin_site.each_context(request) | titled
        with timezone.override(ZoneInfo(request.member.organization.timezone)):
            return TemplateResponse(request, f"admin/insights/{page}.html", context).render()

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if (channel := context.get("original")) is not None:
            context["health"] = health.of([channel], database_now())[0]
            context["may_end"] = self.has_change_permission(request)
        return super().render_change_form(request, context, *args, **kwargs)

    @asks(
        gettext_lazy("End the rest now"),
        permission="change",
        icon="play_arrow",
        description=gettext_lazy(
            "What waits is tried at once. If nobody answers at the platform still, the channel rests again."
        ),
    )
    def end_rest(self, request: HttpRequest, form: Any, account: ChannelAccount) -> None:
        if not pacing.end_rest(account.pk):
            refused(request, _("This channel does not rest."))
            return
        bells.wake_workers(outbox.DRAIN)
        self.note(request, "rest_ended", account)
        told(request, _("The rest is over: what waits is tried now."))


@admin.register(Delivery)
class FiguresDeliveryAdmin(DeliveryAdmin):
    actions_list = ("figures",)

    @action(
        description=gettext_lazy("Sending in figures"),
        url_path="figures",
        permissions=["view"],
        icon="bar_chart",
    )
    def figures(self, request: MemberRequest) -> HttpResponse:
        """A period and a channel, in the desk's zone."""
        organization = request.member.organization
        channels = {one.pk: one for one in ChannelAccount.objects.defer("secrets").order_by("name", "id")}
        period = request.GET.get("period", "")
        zone = ZoneInfo(organization.timezone)
        asked = sending.Asked(
            organization.pk,
            period if period in periods.PERIODS else "24h",
            _chosen(channels, request.GET.get("channel", "")),
            zone,
            database_now(),
        )
        context = {
            **self.admin_site.each_context(request),
            "title": _("Sending in figures"),
            "subtitle": None,
            "opts": self.opts,
            "page": sending.page(asked, channels),
            "names": list(sending.NAMES.values()),
            "asked": asked,
            "since": periods.start_of(asked.period, asked.now, zone),
            "periods": periods.PERIODS,
            "channels": list(channels.values()),
        }
        with timezone.override(zone):
            return TemplateResponse(request, "admin/insights/sending.html", context).render()


def _chosen(channels: Mapping[UUID, ChannelAccount], given: str) -> ChannelAccount | None:
    """One of the desk's own; anything else is no choice."""
    return next((channel for pk, channel in channels.items() if str(pk) == given), None)
