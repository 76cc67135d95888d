"""Routing in words: what a filter found, by which keys agents were ordered, what would have to change.

The router and the records keep codes and short English details; people read these sentences.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from queues.models import Priority, Queue

MOST_NAMES = 3
_PLACES = re.compile(r"^(\d+) of (\d+)(?:, (\d+) of (\d+) here)?$")

MODES: Mapping[str, Any] = {
    **dict(Queue.Routing.choices),
    "pull": gettext_lazy("the agent took the next one in line"),
    "claim": gettext_lazy("the agent picked it from the line"),
    "assign": gettext_lazy("given directly"),
    "take_over": gettext_lazy("taken over"),
}
REASONS: Mapping[str, Any] = {
    "next in turn": gettext_lazy("next in turn"),
    "least busy": gettext_lazy("the least busy of those who can take it"),
    "best skills, then least busy": gettext_lazy("the best skills, then the least busy"),
    "knows the customer": gettext_lazy("knows the customer from last time"),
    "agents take from this queue themselves": gettext_lazy("agents take from this queue themselves"),
    "no agents": gettext_lazy("there are no agents"),
    "first in line": gettext_lazy("it was the first in line"),
    "picked by the agent": gettext_lazy("the agent picked it"),
    "taken over": gettext_lazy("the agent took it over"),
    "passed on": gettext_lazy("a colleague passed it on"),
    "assigned": gettext_lazy("somebody assigned it"),
    "assigned by the bot": gettext_lazy("the bot assigned it"),
}
PRESENCES: Mapping[str, Any] = {
    "online": gettext_lazy("is available"),
    "busy": gettext_lazy("is busy"),
    "away": gettext_lazy("is away"),
    "offline": gettext_lazy("is offline"),
}
FILTERS: Mapping[str, Any] = {
    "allowed_agents": gettext_lazy("Serves this queue"),
    "skills_required": gettext_lazy("Skills"),
    "business_hours": gettext_lazy("Opening hours"),
    "presence": gettext_lazy("Presence"),
    "agent_capacity": gettext_lazy("Free places"),
    "skills_preferred": gettext_lazy("Preferred skills"),
    "offer": gettext_lazy("Earlier offers"),
}


# ---------------------------------------------------------------- verdicts
def verdict(name: str, ok: bool, detail: str, skills: Mapping[str, str]) -> str:
    """What a filter found about an agent; `skills` are the names of skills by their slugs."""
    tell = VERDICTS.get(name)
    return str(tell(ok, detail, skills)) if tell else detail or name


def _allowed(ok: bool, detail: str, skills: Mapping[str, str]) -> str:
    return _("serves this queue") if ok else _("is not on this queue's list of agents")


def _skilled(ok: bool, detail: str, skills: Mapping[str, str]) -> str:
    if ok:
        return _("has the skills")
    return _("lacks %(skills)s") % {"skills": _skill_names(detail.removeprefix("missing "), skills)}


def _open(ok: bool, detail: str, skills: Mapping[str, str]) -> str:
    if ok:
        return _("the queue is open")
    return _("the queue is switched off") if detail == "queue inactive" else _("the queue is closed")


def _present(ok: bool, detail: str, skills: Mapping[str, str]) -> str:
    return str(PRESENCES.get(detail, detail))


def _room(ok: bool, detail: str, skills: Mapping[str, str]) -> str:
    return (_("has room: %(places)s") if ok else _("is full: %(places)s")) % {"places": places(detail)}


def _preferred(ok: bool, detail: str, skills: Mapping[str, str]) -> str:
    if ok:
        return _("no preference stands against it")
    wanted = _skill_names(detail.removeprefix("still prefers "), skills)
    return _("somebody with %(skills)s is preferred for now") % {"skills": wanted}


def _offered(ok: bool, detail: str, skills: Mapping[str, str]) -> str:
    if ok:
        return _("has not refused it")
    if detail == "it was taken from them":
        return _("it was taken from them a moment ago")
    return _("declined or missed it a moment ago")


VERDICTS: Mapping[str, Callable[[bool, str, Mapping[str, str]], str]] = {
    "allowed_agents": _allowed,
    "skills_required": _skilled,
    "business_hours": _open,
    "presence": _present,
    "agent_capacity": _room,
    "skills_preferred": _preferred,
    "offer": _offered,
}


def places(detail: str) -> str:
    """ "2 of 5" places taken, and how many of them in this queue when that is the limit."""
    found = _PLACES.match(detail)
    if found is None:
        return detail
    taken, capacity, here, limit = found.groups()
    if here is None:
        return _("%(n)s of %(all)s") % {"n": taken, "all": capacity}
    values = {"n": taken, "all": capacity, "here": here, "limit": limit}
    return _("%(n)s of %(all)s, %(here)s of %(limit)s in this queue") % values


def _skill_names(detail: str, skills: Mapping[str, str]) -> str:
    """ "boletos, english 3" with the names of the skills instead of their slugs."""
    named = []
    for item in detail.split(", "):
        slug, _space, level = item.partition(" ")
        name = skills.get(slug, slug)
        named.append(_("%(skill)s level %(level)s") % {"skill": name, "level": level} if level else name)
    return ", ".join(named)


# ---------------------------------------------------------------- order
def keys(mode: str, values: Sequence[Any]) -> list[str]:
    """By what an agent was put in order; the first difference decides."""
    match mode, list(values):
        case "round_robin", [stranger, last, _id]:
            return [*_known(stranger), _last_given(last)]
        case "load_balance", [stranger, share, idle, _id]:
            return [*_known(stranger), _share(share), _idle(idle)]
        case "skills_based", [stranger, short, share, idle, _id]:
            return [*_known(stranger), _short(short), _share(share), _idle(idle)]
        case "pull" | "claim" | "assign" | "take_over", [priority, waited]:
            known = dict(Priority.choices)
            found = [_("priority %(priority)s") % {"priority": known.get(priority, priority)}]
            return (
                [*found, _("waited %(time)s") % {"time": span(timedelta(seconds=waited))}]
                if waited
                else found
            )
    return []


def _known(stranger: float) -> list[str]:
    return [] if stranger else [_("knows the customer")]


def _last_given(last: float) -> str:
    if not last:
        return _("was never given one")
    return _("was last given one %(time)s") % {"time": moment(datetime.fromtimestamp(last, UTC))}


def _share(share: float) -> str:
    return _("%(percent)s %% of the places taken") % {"percent": round(share * 100)}


def _idle(since: float) -> str:
    return _("idle since %(time)s") % {"time": moment(datetime.fromtimestamp(since, UTC))}


def _short(levels: int) -> str:
    if not levels:
        return _("has all preferred skills")
    return ngettext(
        "%(n)s level short of what is preferred", "%(n)s levels short of what is preferred", levels
    ) % {"n": levels}


def reason(text: str) -> str:
    """The record's reason; a list of filters that nobody passes becomes their names."""
    if text.startswith("nobody fits: "):
        names = [str(FILTERS.get(code, code)) for code in text.removeprefix("nobody fits: ").split(", ")]
        return _("nobody fits: %(filters)s") % {"filters": ", ".join(names)}
    if text.startswith("assigned by ") and text not in REASONS:
        return _("assigned by %(name)s") % {"name": text.removeprefix("assigned by ")}
    return str(REASONS.get(text, text))


# ---------------------------------------------------------------- what would help
def unblock(
    name: str,
    agents: Sequence[str],
    detail: str,
    skills: Mapping[str, str],
    *,
    opens: datetime | None = None,
    again: datetime | None = None,
) -> str:
    """What would let somebody take it; `opens` is when the queue does, `again` when time alone may help."""
    who = {"agents": either(agents)}
    match name:
        case "no_agents":
            return _("somebody works as an agent")
        case "business_hours" if detail == "queue inactive":
            return _("the queue is switched on again")
        case "business_hours":
            return _("the queue opens %(time)s") % {"time": moment(opens)} if opens else _("the queue opens")
        case "agent_capacity":
            return _("%(agents)s frees a place (%(places)s)") % {**who, "places": places(detail)}
        case "presence":
            return _("%(agents)s becomes available") % who
        case "skills_required":
            wanted = _skill_names(detail.removeprefix("missing "), skills)
            return _("an agent with %(skills)s becomes available") % {"skills": wanted}
        case "allowed_agents":
            return _("%(agents)s is added to the agents of the queue") % who
        case "skills_preferred" | "offer" if again:
            return _("%(agents)s may have it from %(time)s on") % {**who, "time": moment(again)}
        case "skills_preferred" | "offer":
            return _("%(agents)s may have it after a while") % who
    return detail or name


def either(names: Sequence[str]) -> str:
    """One of these people."""
    if len(names) > MOST_NAMES:
        more = len(names) - MOST_NAMES
        values = {"names": ", ".join(names[:MOST_NAMES]), "n": more}
        return ngettext("%(names)s or %(n)s other", "%(names)s or %(n)s others", more) % values
    if len(names) < 2:
        return "".join(names)
    return _("%(names)s or %(last)s") % {"names": ", ".join(names[:-1]), "last": names[-1]}


# ---------------------------------------------------------------- times
def moment(at: datetime) -> str:
    """A moment near today in the reader's zone: the time alone, with the weekday, or with the date."""
    local, today = timezone.localtime(at), timezone.localdate()
    days = (local.date() - today).days
    if days == 0:
        return formats.date_format(local, "H:i")
    return formats.date_format(local, "D H:i" if 0 < days < 7 else "SHORT_DATETIME_FORMAT")


def span(time: timedelta) -> str:
    """A length of time, as people say it."""
    minutes = int(time.total_seconds()) // 60
    if minutes < 1:
        return _("less than a minute")
    if minutes < 60:
        return _("%(n)s min") % {"n": minutes}
    if minutes < 48 * 60:
        return _("%(hours)s h %(minutes)s min") % {"hours": minutes // 60, "minutes": minutes % 60}
    return ngettext("%(n)s day", "%(n)s days", minutes // 1440) % {"n": minutes // 1440}
