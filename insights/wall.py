"""The live wall: tiles, queues, the day by the hour, agents, and what is wrong now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.roles import Action
from conversations import promises
from conversations.pages import Chip, clock_text
from insights import people, reads
from insights.floor import Floor, Line, Look
from insights.heads import Head
from insights.shown import count_text, inbox_of, percent_text, span_text
from queues import sla

STEADY = 0.1  # percentage points in which yesterday and today are the same


@dataclass(frozen=True, slots=True)
class Tile:
    key: str
    title: str
    value: str
    chip: Chip


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Head):
    """One queue."""

    closed: bool
    url: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour: where its two bars stand in the chart, and their figures."""

    hour: int
    came: int
    taken: int
    x: int
    came_y: int
    came_height: int
    taken_x: int
    taken_y: int
    taken_height: int


@dataclass(frozen=True, slots=True)
class Chart:
    bars: Sequence[Bar]
    peak: int
    came: int
    taken: int
    ticks: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Alert:
    css: str
    icon: str
    text: str
    url: str
    link: str


def parts(look: Look, memory: reads.Memory) -> tuple[str, dict[str, dict[str, Any]]]:
    """The cursor, and what each part of the page shows. Ten statements."""
    floor = Floor(look, memory)
    here = tuple(line.queue.pk for line in floor.lines) if look.department else None
    now = reads.now(look.organization.pk, here, floor.now)
    today = memory.recall(
        ("today", floor.midnight, here),
        lambda: reads.today(look.organization.pk, here, floor.midnight, floor.now),
    )
    return floor.cursor, {
        "tiles": {"tiles": list(_tiles(floor, now, today))},
        "lines": {"rows": [_row(line, floor) for line in floor.lines]},
        "hours": {"chart": _chart(floor.stays)},
        "agents": {"agents": people.agents_of(floor)},
        "alerts": {"alerts": list(_alerts(floor, now))},
    }


# ---------------------------------------------------------------- tiles
def _tiles(floor: Floor, now: reads.Now, today: reads.Today) -> Iterator[Tile]:
    here = [person for person in floor.people if person.is_here]
    used, room = sum(p.facts.load for p in here), sum(p.facts.capacity for p in here)
    waiting = sum(line.waiting.count for line in floor.lines)
    yield Tile("waiting", _("In the queue"), count_text(waiting), _oldest(floor))
    yield Tile(
        "agents",
        _("With agents"),
        count_text(now.with_agents),
        Chip("warn" if room and used >= room else "ok", "", _("cap. %d/%d") % (used, room)),
    )
    yield Tile("bot", _("With the bot"), count_text(now.with_bot), _containment(today))
    yield Tile("first", _("First response p90"), span_text(today.first_response), _goal(floor, today))
    yield _kept(floor)
    if floor.look.may(Action.READ_OUTBOX):
        yield _outbox(now, today)


def _oldest(floor: Floor) -> Chip:
    waiting = [line for line in floor.lines if line.waiting.oldest]
    if not waiting:
        return Chip("ok", "", _("nobody waits"))
    strains = {line.strain(floor.now) for line in waiting}
    css = next(name for name in ("bad", "warn", "ok") if name in strains)
    since = min(line.waiting.oldest for line in waiting if line.waiting.oldest)
    return Chip(css, "", clock_text(floor.now - since), since=since.isoformat(), label=_("longest wait"))


def _containment(today: reads.Today) -> Chip:
    """Of the talks of today that the bot finished or handed to people: how many it finished."""
    ended = today.contained + today.handed_over
    if not ended:
        return Chip("", "", _("no bot talk ended today"))
    return Chip("info", "", _("contained %s today") % percent_text(100 * today.contained / ended, 0))


def _goal(floor: Floor, today: reads.Today) -> Chip:
    policies = [promises.policy_of(line.queue) for line in floor.lines]
    minutes = [p.minutes[sla.Target.FIRST_RESPONSE] for p in policies if p and _promises_first(p)]
    if not minutes:
        return Chip("", "", _("no target set"))
    goal = timedelta(minutes=min(minutes))
    kept = today.first_response is None or today.first_response <= goal
    return Chip("ok" if kept else "bad", "", _("target %s") % span_text(goal))


def _promises_first(policy: sla.Policy) -> bool:
    return sla.Target.FIRST_RESPONSE in policy.minutes


def _kept(floor: Floor) -> Tile:
    today, yesterday = _total(floor, floor.stays.today), _total(floor, floor.stays.yesterday)
    title, value = _("SLA today"), percent_text(today.percent)
    if today.percent is None or yesterday.percent is None:
        return Tile("sla", title, value, Chip("", "", _("nothing to compare with")))
    change = today.percent - yesterday.percent
    if abs(change) < STEADY:
        return Tile("sla", title, value, Chip("ok", "", _("as yesterday")))
    css, arrow = ("warn", "▼") if change < 0 else ("ok", "▲")
    points = _("%(arrow)s %(n)s p.p.") % {"arrow": arrow, "n": number_format(abs(change), 1)}
    return Tile("sla", title, value, Chip(css, "", points))


def _total(floor: Floor, by_queue: dict[UUID, reads.Kept]) -> reads.Kept:
    """All queues that promise something together."""
    found = reads.Kept()
    for line in floor.lines:
        if line.has_promise and line.queue.pk in by_queue:
            found.add(by_queue[line.queue.pk].judged, by_queue[line.queue.pk].missed)
    return found


def _outbox(now: reads.Now, today: reads.Today) -> Tile:
    text = ngettext("%d failure", "%d failures", now.failed) % now.failed
    if today.send_delay is not None:
        seconds = number_format(today.send_delay.total_seconds(), 1)
        text = _("%(failures)s · p95 %(seconds)s s") % {"failures": text, "seconds": seconds}
    chip = Chip("bad" if now.failed else "ok", "", text)
    return Tile("outbox", _("Waiting to be sent"), count_text(now.unsent), chip)


# ---------------------------------------------------------------- queues
def _row(line: Line, floor: Floor) -> Row:
    return Row.of(
        line,
        floor,
        unpromised="–",
        closed=not line.facts.is_open,
        url=f"{reverse('board')}?department={line.queue.department.slug}",
    )


# ---------------------------------------------------------------- the day
LEFT, BASE, HEIGHT, STEP, WIDE = 26, 150, 132, 22, 9  # of the chart, in its own units


def _chart(stays: reads.Stays) -> Chart:
    peak = max([*stays.came.values(), *stays.taken.values(), 1])
    bars = [_bar(hour, stays.came[hour], stays.taken[hour], peak) for hour in range(24)]
    ticks = [(BASE - HEIGHT * n // peak, n) for n in sorted({peak, peak // 2} - {0})]
    return Chart(bars, peak, stays.came.total(), stays.taken.total(), ticks)


def _bar(hour: int, came: int, taken: int, peak: int) -> Bar:
    up, beside, x = HEIGHT * came // peak, HEIGHT * taken // peak, LEFT + 8 + hour * STEP
    return Bar(hour, came, taken, x, BASE - up, up, x + WIDE + 1, BASE - beside, beside)


# ---------------------------------------------------------------- what is wrong
def _alerts(floor: Floor, now: reads.Now) -> Iterator[Alert]:
    """What is true now and needs somebody, the worst first; each leads to what it is about."""
    where = f":{floor.look.department}" if floor.look.department else ""
    if now.late:
        text = ngettext(
            "%d open conversation missed its SLA", "%d open conversations missed their SLA", now.late
        )
        yield Alert("bad", "alert-triangle", text % now.late, inbox_of(f"late{where}"), _("Inbox"))
    if now.unhandled and not where:
        text = ngettext("Nobody handles %d conversation", "Nobody handles %d conversations", now.unhandled)
        yield Alert("bad", "alert-triangle", text % now.unhandled, inbox_of("unhandled"), _("Inbox"))
    if now.attention:
        text = ngettext(
            "%d conversation calls for a supervisor", "%d conversations call for a supervisor", now.attention
        )
        yield Alert("warn", "bell", text % now.attention, inbox_of(f"attention{where}"), _("Inbox"))
    for line in floor.lines:
        yield from _of_line(line, floor)
    if now.failed and floor.look.may(Action.READ_OUTBOX):
        text = ngettext(
            "%d message failed in the last hour", "%d messages failed in the last hour", now.failed
        )
        link = f"{reverse('admin:conversations_delivery_changelist')}?status=failed"
        yield Alert("bad", "send", text % now.failed, link, _("Outbox"))


def _of_line(line: Line, floor: Floor) -> Iterator[Alert]:
    queue, n = line.queue, line.waiting.count
    if not n:
        return
    there = inbox_of(f"queue:{queue.pk}", tab="queue"), _("Inbox")
    if not queue.is_active:
        text = _("%(queue)s is switched off and %(n)s wait in it") % {"queue": queue.name, "n": count_text(n)}
        yield Alert("bad", "alert-triangle", text, *there)
    elif line.facts.is_open and not line.online:
        text = _("%(queue)s: %(n)s wait and nobody who serves it is available") % {
            "queue": queue.name, "n": count_text(n),
        }  # fmt: skip
        yield Alert("bad", "users", text, *there)
    elif line.strain(floor.now) == "bad":
        text = _("%(queue)s: the longest wait is over its limit") % {"queue": queue.name}
        yield Alert("warn", "clock-pause", text, *there)
