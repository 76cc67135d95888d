"""The admin pages of queues, with a picture of how they overflow and how many wait where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action

from conversations import handoff
from queues import graph
from queues.admin import QueueAdmin
from queues.models import OverflowRule, Queue

Condition = OverflowRule.Condition


@dataclass(frozen=True, slots=True)
class Shown:
    """A queue as the picture and the table beside it show it."""

    queue: Queue
    waiting: int
    link: str
    rules: tuple[OverflowRule, ...]

    @property
    def is_full(self) -> bool:
        return self.queue.max_queue_size is not None and self.waiting >= self.queue.max_queue_size

    @property
    def css(self) -> str:
        return "is-off" if not self.queue.is_active else "is-full" if self.is_full else "is-open"

    @property
    def size(self) -> str:
        return f"{self.waiting} / {self.queue.max_queue_size or '∞'}"


@admin.register(Queue)
class DeskQueueAdmin(QueueAdmin):
    actions_list = ("overflow",)

    @action(
        description=gettext_lazy("Overflow"), url_path="overflow", permissions=["view"], icon="fork_right"
    )
    def overflow(self, request: HttpRequest) -> HttpResponse:
        """Every queue and every rule, drawn on the server, with the same in a table."""
        queues = shown()
        names = {one.queue.pk: one.queue.name for one in queues}
        drawing = graph.draw(names, links_of(queues))
        by_id = {one.queue.pk: one for one in queues}
        context = {
            **self.admin_site.each_context(request),
            "title": _("Overflow"),
            "subtitle": None,
            "opts": self.opts,
            "drawing": drawing,
            "boxes": [(box, by_id[box.id]) for box in drawing.boxes],
            "queues": queues,
        }
        return TemplateResponse(request, "admin/queues/overflow.html", context)


def shown() -> list[Shown]:
    """The queues in the order of their names, each with its rules as sentences."""
    rules: dict[UUID, list[OverflowRule]] = {}
    for rule in OverflowRule.objects.select_related("target").order_by("position", "id"):
        rules.setdefault(rule.queue_id, []).append(rule)
    queues = list(Queue.objects.select_related("overflow_queue").order_by("name", "id"))
    waiting = handoff.waiting_in([queue.pk for queue in queues])
    found = []
    for queue in queues:
        own = rules.get(queue.pk, [])
        if plain := queue.overflow_queue:
            also_closed = queue.closed_action == Queue.ClosedAction.OVERFLOW
            conditions = [Condition.FULL, *([Condition.CLOSED] if also_closed else [])]
            own += [OverflowRule(condition=one, target=plain) for one in conditions]
        link = reverse("admin:queues_queue_change", args=[queue.pk])
        found.append(Shown(queue, waiting.get(queue.pk, 0), link, tuple(own)))
    return found


def links_of(queues: Iterable[Shown]) -> list[graph.Link]:
    """One arrow for each pair of queues, whatever the number of rules between them."""
    labels: dict[tuple[UUID, UUID], list[str]] = {}
    for one in queues:
        for rule in one.rules:
            labels.setdefault((one.queue.pk, rule.target_id), []).append(rule.short_label)
    return [graph.Link(*pair, tuple(dict.fromkeys(found))) for pair, found in labels.items()]
