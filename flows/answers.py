"""What a person's answer means: does it fit the question, which option was meant, does a rule hold."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence

from flows.document import Branch, Option, Rule
from flows.text import fold, number

# What one answer may keep: enough for a story, too little to fill a run's row.
MAX_ANSWER = 2000

PREFIX = re.compile(r"^\s*(?:#|n[º°o]\.?|r\$)\s*", re.IGNORECASE)
PLAIN_NUMBER = re.compile(r"[+-]?\d{1,30}", re.ASCII)
EMAIL = re.compile(r"[^\s@<>()\[\],;:\"]{1,64}@[^\s@<>()\[\],;:\"]{1,190}\.[A-Za-z]{2,24}")
PHONE_SIGNS = re.compile(r"[ ()./-]")
PHONE = re.compile(r"\+?\d{8,15}", re.ASCII)
DAY_FIRST = re.compile(r"(\d{1,2})[/.-](\d{1,2})(?:[/.-](\d{4}|\d{2}))?", re.ASCII)
DAYS = {"ontem": -1, "hoje": 0, "amanha": 1, "yesterday": -1, "today": 0, "tomorrow": 1, "ayer": -1, "hoy": 0}


def read(kind: str, texts: Sequence[str], kinds: Sequence[str], now: dt.datetime) -> str | None:
    """The answer in several quick messages: all of them together, else the newest that fits."""
    reader = READERS[kind]
    written = [text.strip() for text in texts if text.strip()]
    for candidate in ("\n".join(written), *reversed(written)):
        if candidate and (value := reader(candidate, now)) is not None:
            return value[:MAX_ANSWER]
    if kind == "any" and kinds:
        return f"[{kinds[-1]}]"
    return None


def _text(written: str, now: dt.datetime) -> str | None:
    return written


def _number(written: str, now: dt.datetime) -> str | None:
    """Digits stay as typed (an order 00123 keeps its zeros); 1.234,56 becomes 1234.56."""
    plain = PREFIX.sub("", unicodedata.normalize("NFKC", written)).strip().rstrip(".,!;")
    if PLAIN_NUMBER.fullmatch(plain):
        return plain
    whole, _, cents = _without_thousands(plain).partition(".")
    fits = PLAIN_NUMBER.fullmatch(whole) and re.fullmatch(r"[0-9]{1,12}", cents)
    if "." not in _without_thousands(plain):
        return whole if PLAIN_NUMBER.fullmatch(whole) else None
    return f"{whole}.{cents}" if fits else None


def _without_thousands(plain: str) -> str:
    """Brazilian first: a lone comma is decimal, dots between groups of three are thousands."""
    if re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})+(,\d+)?", plain, re.ASCII):
        return plain.replace(".", "").replace(",", ".")
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)|[+-]?\d{1,3}(,\d{3}){2,}", plain, re.ASCII):
        return plain.replace(",", "")
    return plain.replace(",", ".") if plain.count(",") == 1 and "." not in plain else plain


def _email(written: str, now: dt.datetime) -> str | None:
    plain = written.strip("<> .,;")
    return plain if EMAIL.fullmatch(plain) else None


def _phone(written: str, now: dt.datetime) -> str | None:
    plain = PHONE_SIGNS.sub("", unicodedata.normalize("NFKC", written))
    return plain if PHONE.fullmatch(plain) else None


def _date(written: str, now: dt.datetime) -> str | None:
    """ISO 8601, day first as in Brazil, or a word such as 'amanhã'. A missing year is this one."""
    plain = fold(written)
    if plain in DAYS:
        return (now.date() + dt.timedelta(days=DAYS[plain])).isoformat()
    try:
        if match := DAY_FIRST.fullmatch(plain):
            day, month, year = match.groups(default=str(now.year))
            return dt.date(int(year) + (2000 if len(year) == 2 else 0), int(month), int(day)).isoformat()
        return dt.date.fromisoformat(plain).isoformat() if len(plain) == 10 else None
    except ValueError:
        return None


READERS: dict[str, Callable[[str, dt.datetime], str | None]] = {
    "text": _text,
    "any": _text,
    "number": _number,
    "email": _email,
    "phone": _phone,
    "date": _date,
}


def choose(
    options: Sequence[Option], choice_id: str, choice_title: str, texts: Sequence[str]
) -> Option | None:
    """The option that was tapped or written: by id, else by id, title or number, newest text first."""
    for tapped in options:
        if choice_id and tapped.id == choice_id:
            return tapped
    meanings = _meanings(options)
    # Written in pieces ("falar com", "atendente"), only the whole makes sense: tried last.
    for text in (choice_title, *reversed(texts), " ".join(texts)):
        if option := meanings.get(fold(text)):
            return option
    return None


def _meanings(options: Sequence[Option]) -> dict[str, Option]:
    """Ids win over titles, titles over positions: an option titled “2” is not the second one."""
    by_number = {str(place): option for place, option in enumerate(options, start=1)}
    by_title = {fold(option.title): option for option in options}
    by_id = {fold(option.id): option for option in options}
    return {key: option for key, option in (by_number | by_title | by_id).items() if key}


def holds(branch: Branch, lookup: Callable[[str], object], fill: Callable[[str], str]) -> bool:
    """Do all (or any) rules of a branch hold?"""
    if branch.all is not None:
        return all(rule_holds(rule, lookup(rule.variable), fill) for rule in branch.all)
    return any(rule_holds(rule, lookup(rule.variable), fill) for rule in branch.any or ())


def rule_holds(rule: Rule, actual: object, fill: Callable[[str], str]) -> bool:
    expected = rule.value
    if isinstance(expected, tuple):
        return any(_equal(actual, _filled(value, fill)) for value in expected)
    return OPERATORS[rule.op](actual, _filled(expected, fill))


def _filled(value: object, fill: Callable[[str], str]) -> object:
    return fill(value) if isinstance(value, str) else value


def _equal(actual: object, expected: object) -> bool:
    left, right = number(actual), number(expected)
    if left is not None and right is not None:
        return left == right
    return _plain(actual) == _plain(expected)


def _compare(actual: object, expected: object) -> int:
    left, right = number(actual), number(expected)
    if left is not None and right is not None:
        return (left > right) - (left < right)
    first, second = _plain(actual), _plain(expected)
    return (first > second) - (first < second) if first and second else 0


def _empty(actual: object) -> bool:
    return not _plain(actual)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(map(fold, value)) if isinstance(value, list | tuple) else fold(value)


OPERATORS: Mapping[str, Callable[[object, object], bool]] = {
    "equals": _equal,
    "not_equals": lambda actual, expected: not _equal(actual, expected),
    "contains": lambda actual, expected: _plain(expected) in _plain(actual),
    "starts_with": lambda actual, expected: _plain(actual).startswith(_plain(expected)),
    "greater": lambda actual, expected: _compare(actual, expected) > 0,
    "less": lambda actual, expected: _compare(actual, expected) < 0,
    "is_empty": lambda actual, _: _empty(actual),
    "is_not_empty": lambda actual, _: not _empty(actual),
}
