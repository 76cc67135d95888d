"""Public holidays by country and state, computed offline. Pure: code, year and language in, dates out.

A code is "BR", or "BR-SP" with a state. Only days off by law count: Carnival is none in Brazil, 9 July is one
in São Paulo. What a town keeps besides goes into the special days of a calendar.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cache, lru_cache
from types import MappingProxyType

import holidays

from queues.sentences import Unreadable, gettext_noop

BRAZIL = "BR"
NONE: Mapping[date, str] = MappingProxyType({})


class UnknownHolidays(Unreadable):
    """No such country or state; the message says how to write one."""


@cache
def _codes() -> Mapping[str, list[str]]:
    """The states of each country."""
    return holidays.list_supported_countries(include_aliases=False)


def check(code: str) -> None:
    """Raise UnknownHolidays for anything but "" and a code that has holidays."""
    country, dash, state = code.partition("-")
    if code and (country not in _codes() or (dash and state not in _codes()[country])):
        text = gettext_noop("There are no holidays for “%(code)s”. Write a country as BR, a state as BR-SP.")
        raise UnknownHolidays(text, code=code)


@lru_cache(maxsize=512)
def of(code: str, year: int, language: str = "") -> Mapping[date, str]:
    """The days off of one year and their names; none without a code. Raises UnknownHolidays.

    Names come in the language if the library has it for this country ("pt-br" finds pt_BR), else in the
    country's own.
    """
    check(code)
    if not code:
        return NONE
    country, _dash, state = code.partition("-")
    found = holidays.country_holidays(
        country, subdiv=state or None, years=year, expand=False, language=_nearest(language, country)
    )
    return MappingProxyType(dict(sorted(found.items())))


@cache
def _nearest(language: str, country: str) -> str | None:
    """What the library calls the language; without a choice of ours it takes the one of this process."""
    known = holidays.list_localized_countries(include_aliases=False).get(country, [])
    wanted = language.replace("-", "_").lower()
    exact = [one for one in known if one.lower() == wanted]
    same = [one for one in known if wanted and one.lower().split("_")[0] == wanted.split("_")[0]]
    return next(iter(exact + same), holidays.country_holidays(country).default_language)


@cache
def states_of_brazil() -> tuple[tuple[str, str], ...]:
    """(code, name) of each state, by name."""
    named = holidays.country_holidays(BRAZIL).subdivisions_aliases
    return tuple((f"{BRAZIL}-{state}", name) for name, state in sorted(named.items()))
