"""Admin page of the raw inbox: what came in, what became of it, and another try."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display
from unfold.enums import ActionVariant

from accounts.admin_base import TenantAdmin, asks, col, may, refused, told
from accounts.roles import Action
from channels_hub.models import InboundEvent
from conversations import intake

SHOWN = 20_000  # characters of a body
_NUMBER = re.compile(r"(?<![0-9A-Za-z])(\+?)(\d{4,11})(\d{4})(?![0-9A-Za-z])")
REPLAYABLE = (InboundEvent.State.DEAD, InboundEvent.State.IGNORED)


def masked(text: str) -> str:
    """Telephone numbers down to their last four digits; ids of platforms, which have letters, stay."""
    return _NUMBER.sub(lambda found: f"{found[1]}{'•' * len(found[2])}{found[3]}", text)


def readable(body: bytes, content_type: str) -> str:
    """A webhook's body for the eye: forms a line per field, JSON indented, anything else as it is."""
    text = body.decode("utf-8", "replace")
    if "json" in content_type:
        try:
            return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            return text
    if "form" in content_type:
        fields = parse_qsl(text, keep_blank_values=True, errors="replace")
        return "\n".join(f"{name}: {value}" for name, value in fields) or text
    return text


@admin.register(InboundEvent)
class InboundEventAdmin(TenantAdmin):
    view_action = Action.READ_CHANNELS
    received = col("received_at", gettext_lazy("Received"))
    account = col("account", gettext_lazy("Channel"))
    kind = col("kind", gettext_lazy("Kind"))
    reason = col("reason", gettext_lazy("Reason"))
    attempts = col("attempts", gettext_lazy("Attempts"))
    processed = col("processed_at", gettext_lazy("Processed"))
    list_display = (received, account, kind, "state_label", reason, attempts, processed)
    list_filter = (("state", ChoicesDropdownFilter), ("account", RelatedDropdownFilter))
    list_select_related = ("account",)
    ordering = ("-id",)
    sortable_by = ()
    fields = (
        account, kind, col("part", gettext_lazy("Part of the call")), col("state", gettext_lazy("State")),
        reason, attempts, col("occurred_at", gettext_lazy("Happened")), received, processed,
        col("next_attempt_at", gettext_lazy("Next attempt")), col("method", gettext_lazy("Method")),
        "path", "shown_headers", "shown_body",
    )  # fmt: skip
    readonly_fields = fields
    actions_row = ("replay",)
    actions_detail = ("replay",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[InboundEvent]:
        """Lists never decrypt a body."""
        found = super().get_queryset(request).select_related("account").order_by("-id")
        return found.defer("body", "account__secrets", "account__config")

    def get_fields(self, request: HttpRequest, obj: InboundEvent | None = None) -> Any:
        if self.has_replay_permission(request):
            return self.fields
        return tuple(name for name in self.fields if name != "shown_body")

    def has_replay_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, Action.REPLAY)

    @asks(
        gettext_lazy("Process again"),
        permission="replay",
        icon="replay",
        variant=ActionVariant.PRIMARY,
        description=gettext_lazy("Harmless when it had an effect before: nothing happens twice."),
    )
    def replay(self, request: HttpRequest, form: Any, row: InboundEvent) -> None:
        if row.state not in REPLAYABLE:
            refused(request, _("Only what is dead or was ignored is processed again."))
            return
        intake.replay(row.pk)
        self.note(request, "replayed", row)
        if InboundEvent.objects.filter(pk=row.pk, state=InboundEvent.State.DEAD).exists():
            refused(request, _("It still cannot be read."))
        else:
            told(request, _("The event waits to be processed."))

    @display(
        description=gettext_lazy("State"),
        ordering="state",
        label={"new": "info", "done": "success", "ignored": "default", "dead": "danger"},
    )
    def state_label(self, row: InboundEvent) -> tuple[str, str]:
        return row.state, row.get_state_display()

    @display(description=gettext_lazy("Address"))
    def path(self, row: InboundEvent) -> str:
        return masked(row.url)

    @display(description=gettext_lazy("Headers"))
    def shown_headers(self, row: InboundEvent) -> str:
        lines = "\n".join(f"{name}: {value}" for name, value in sorted(row.headers.items()))
        return format_html('<pre class="code-view">{}</pre>', masked(lines))

    @display(description=gettext_lazy("Body (numbers masked)"))
    def shown_body(self, row: InboundEvent) -> str:
        text = readable(bytes(row.body), str(row.headers.get("content-type", "")))
        return format_html('<pre class="code-view">{}</pre>', masked(text[:SHOWN]))
