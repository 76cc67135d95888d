"""Opening hours by example: what each rule does, and which of them wins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

import pytest

from queues.hours import Hours, InvalidHours, Rule
from queues.models import Calendar

ZONE = "America/Sao_Paulo"
OFFICE = [
    {"weekday": day, "start": start, "end": end}
    for day in ("mon", "tue", "wed", "thu", "fri")
    for start, end in (("09:00", "12:00"), ("13:00", "18:00"))
]


def at(text: str, hours: Hours) -> datetime:
    """What the clock on the wall shows there."""
    return datetime.fromisoformat(text).replace(tzinfo=hours.zone).astimezone(UTC)


def shown(moment: datetime | None, hours: Hours) -> str | None:
    return moment and moment.astimezone(hours.zone).strftime("%Y-%m-%d %H:%M")


def make(intervals: Any = OFFICE, zone: str = ZONE, **more: Any) -> Hours:
    return Hours.parse(zone, intervals, **more)


def special(first: str, *spans: tuple[str, str], to: str = "", name: str = "Festa") -> dict[str, Any]:
    hours = [{"start": start, "end": end} for start, end in spans]
    return {"from": first, "to": to or first, "name": name, "intervals": hours}


# ---------------------------------------------------------------- the week
@pytest.mark.parametrize(
    "when, is_open",
    [
        ("2026-11-16T08:59", False), ("2026-11-16T09:00", True), ("2026-11-16T11:59:59", True),
        ("2026-11-16T12:00", False), ("2026-11-16T13:00", True), ("2026-11-16T18:00", False),
        ("2026-11-21T10:00", False),
    ],
)  # fmt: skip
def test_an_interval_holds_its_start_and_not_its_end(when: str, is_open: bool) -> None:
    hours = make()

    assert hours.is_open(at(when, hours)) is is_open


def test_overlapping_intervals_are_one() -> None:
    hours = make([
        {"weekday": "mon", "start": "09:00", "end": "13:00"},
        {"weekday": "mon", "start": "12:00", "end": "18:00"},
    ])  # fmt: skip
    start = at("2026-11-16T00:00", hours)

    assert hours.business_delta(start, start + timedelta(days=1)) == timedelta(hours=9)
    assert shown(hours.next_close(at("2026-11-16T10:00", hours)), hours) == "2026-11-16 18:00"


def test_equal_ends_are_a_whole_day() -> None:
    hours = make([{"weekday": "mon", "start": "08:00", "end": "08:00"}])
    start = at("2026-11-16T08:00", hours)

    assert hours.next_close(start) == start + timedelta(days=1)


def test_touching_days_have_no_seam() -> None:
    hours = make([{"weekday": day, "start": "00:00", "end": "00:00"} for day in ("mon", "tue")])

    assert shown(hours.next_close(at("2026-11-16T10:00", hours)), hours) == "2026-11-18 00:00"


def test_no_interval_is_always_open_except_on_days_off() -> None:
    hours = make([], closed_dates=["2026-11-17"])

    assert hours.is_open(at("2026-11-16T03:00", hours))
    assert shown(hours.next_close(at("2026-11-16T03:00", hours)), hours) == "2026-11-17 00:00"
    assert shown(hours.next_open(at("2026-11-17T03:00", hours)), hours) == "2026-11-18 00:00"


# ---------------------------------------------------------------- which rule wins
NIGHT = [{"weekday": "fri", "start": "22:00", "end": "02:00"}]


@pytest.mark.parametrize(
    "when, rules, is_open, rule",
    [
        ("2026-11-21T01:00", {}, True, Rule.PAST_MIDNIGHT),
        # What the next day is does not cut the night short.
        ("2026-11-21T01:00", {"closed_dates": ["2026-11-21"]}, True, Rule.PAST_MIDNIGHT),
        ("2026-11-21T01:00", {"exceptions": [special("2026-11-21")]}, True, Rule.PAST_MIDNIGHT),
        # A day off takes its own night with it, up to the next morning.
        ("2026-11-20T23:00", {"closed_dates": ["2026-11-20"]}, False, Rule.CLOSED_DATE),
        ("2026-11-21T01:00", {"closed_dates": ["2026-11-20"]}, False, Rule.OUTSIDE_HOURS),
        ("2026-11-20T23:00", {"holidays": "BR"}, False, Rule.HOLIDAY),
        ("2026-11-21T01:00", {"holidays": "BR"}, False, Rule.OUTSIDE_HOURS),
        # A special day wins over both, and may pass midnight itself.
        ("2026-11-20T23:00", {"holidays": "BR", "closed_dates": ["2026-11-20"],
                              "exceptions": [special("2026-11-20", ("20:00", "03:00"))]},
         True, Rule.SPECIAL_DAY),
        ("2026-11-21T02:30", {"exceptions": [special("2026-11-20", ("20:00", "03:00"))]},
         True, Rule.PAST_MIDNIGHT),
        ("2026-11-20T23:00", {"exceptions": [special("2026-11-20")]}, False, Rule.SPECIAL_DAY),
        # A closed date is named before the holiday that it also is.
        ("2026-11-20T23:00", {"holidays": "BR", "closed_dates": ["2026-11-20"]}, False, Rule.CLOSED_DATE),
        ("2026-11-20T10:00", {}, False, Rule.OUTSIDE_HOURS),
    ],
)  # fmt: skip
def test_the_rule_that_decides(when: str, rules: dict[str, Any], is_open: bool, rule: Rule) -> None:
    hours = make(NIGHT, **rules)
    why = hours.explain(at(when, hours))

    assert (why.is_open, why.rule) == (is_open, rule)
    assert hours.is_open(at(when, hours)) is is_open


def test_the_narrower_special_day_wins_then_the_first() -> None:
    week = special("2026-12-21", ("10:00", "12:00"), to="2026-12-27", name="Semana")
    eve = special("2026-12-24", ("08:00", "09:00"), name="Véspera")
    late = special("2026-12-24", name="Depois")
    hours = make(exceptions=[week, eve, late])

    assert hours.explain(at("2026-12-24T08:30", hours)).name == "Véspera"
    assert hours.explain(at("2026-12-24T11:00", hours)).is_open is False
    assert hours.explain(at("2026-12-23T11:00", hours)).name == "Semana"


def test_an_explanation_names_what_comes_next() -> None:
    hours = make(exceptions=[special("2026-11-20", name="Zumbi")])
    why = hours.explain(at("2026-11-20T10:00", hours))

    assert (why.is_open, why.rule, why.name, why.span) == (False, Rule.SPECIAL_DAY, "Zumbi", None)
    assert shown(why.next_open, hours) == shown(why.next_change, hours) == "2026-11-23 09:00"
    opened = hours.explain(at("2026-11-19T10:00", hours))
    assert (str(opened.span), shown(opened.next_change, hours)) == ("09:00-12:00", "2026-11-19 12:00")
    assert opened.next_open == at("2026-11-19T10:00", hours)


@pytest.mark.parametrize(
    "language, name",
    [("pt-br", "Natal"), ("en", "Christmas Day"), ("es", "Natal"), ("", "Natal")],
)
def test_a_holiday_is_named_in_the_language_of_the_viewer(language: str, name: str) -> None:
    hours = make(holidays="BR")

    assert hours.explain(at("2026-12-25T10:00", hours), language).name == name


# ---------------------------------------------------------------- business time
@pytest.mark.parametrize(
    "start, minutes, end",
    [
        ("2026-11-16T08:00", 60, "2026-11-16 10:00"),
        ("2026-11-16T11:30", 60, "2026-11-16 13:30"),
        ("2026-11-16T17:30", 60, "2026-11-17 09:30"),
        ("2026-11-20T17:30", 60, "2026-11-23 09:30"),
        ("2026-11-16T09:00", 8 * 60, "2026-11-16 18:00"),  # at closing time, not at the next opening
        ("2026-11-16T20:00", 0, "2026-11-16 20:00"),
        ("2026-12-24T17:00", 120, "2026-12-28 10:00"),
    ],
)
def test_business_time_skips_what_is_closed(start: str, minutes: int, end: str) -> None:
    hours = make(holidays="" if "11-20" in start else "BR")

    assert shown(hours.add_business_time(at(start, hours), timedelta(minutes=minutes)), hours) == end


def test_business_time_is_not_added_backwards() -> None:
    with pytest.raises(ValueError, match="forward"):
        make().add_business_time(datetime.now(UTC), -timedelta(minutes=1))


def test_what_never_opens_has_no_date() -> None:
    years = [special(f"{year}-01-01", to=f"{year}-12-31") for year in range(2026, 2036)]
    hours = make([], exceptions=[*years, special("2036-01-01", to="2036-07-31")])
    start = at("2026-06-01T00:00", hours)

    assert hours.next_open(start) is None
    assert hours.add_business_time(start, timedelta(minutes=1)) is None
    assert hours.explain(start).next_change is None


def test_what_never_closes_says_so() -> None:
    assert make([]).next_close(datetime(2026, 1, 1, tzinfo=UTC)) is None


# ---------------------------------------------------------------- clocks that change
def test_a_doubled_hour_counts_twice_and_a_missing_one_not_at_all() -> None:
    hours = make([{"weekday": "sun", "start": "00:00", "end": "06:00"}], "America/New_York")

    def worked(day: str) -> timedelta:
        start = at(f"{day}T00:00", hours)
        return hours.business_delta(start, start + timedelta(days=1))

    assert worked("2026-03-08") == timedelta(hours=5)
    assert worked("2026-03-15") == timedelta(hours=6)
    assert worked("2026-11-01") == timedelta(hours=7)


def test_half_an_hour_is_enough_of_a_change() -> None:
    hours = make([{"weekday": "sun", "start": "01:45", "end": "02:15"}], "Australia/Lord_Howe")
    start = at("2026-04-05T00:00", hours)  # at 02:00 the clock goes back to 01:30

    assert hours.business_delta(start, start + timedelta(days=1)) == timedelta(minutes=45)


def test_an_opening_inside_the_missing_hour_begins_after_it() -> None:
    hours = make([{"weekday": "sun", "start": "02:30", "end": "04:00"}], "America/New_York")

    opens = hours.next_open(at("2026-03-08T00:00", hours))

    assert shown(opens, hours) == "2026-03-08 03:00"


def test_a_midnight_that_does_not_exist() -> None:
    hours = make([{"weekday": "sun", "start": "00:00", "end": "02:00"}], "America/Santiago")

    assert shown(hours.next_open(at("2026-09-05T12:00", hours)), hours) == "2026-09-06 01:00"


# ---------------------------------------------------------------- reading
@pytest.mark.parametrize(
    "wrong, where",
    [
        ({"zone": "Mars/Base"}, "time zone “Mars/Base”"),
        ({"zone": "America"}, "time zone"),
        ({"zone": "../etc"}, "time zone"),
        ({"intervals": [OFFICE[0], {"weekday": "seg", "start": "09:00", "end": "18:00"}]}, "Interval 2"),
        ({"intervals": [{"weekday": "mon", "start": "9:00", "end": "18:00"}]}, "Interval 1"),
        ({"intervals": [{"weekday": "mon", "start": "09:00", "end": "24:00"}]}, "Interval 1"),
        ({"intervals": [{"weekday": ["mon"], "start": "09:00", "end": "24:00"}]}, "Interval 1"),
        ({"intervals": [{"weekday": "mon", "start": "09:00"}]}, "Interval 1"),
        ({"intervals": ["mon"]}, "Interval 1"),
        ({"intervals": {"mon": 1}}, "lists"),
        ({"closed_dates": ["2026-12-25", "25/12/2026"]}, "Closed date 2"),
        ({"closed_dates": [5]}, "Closed date 1"),
        ({"holidays": "BR-XX"}, "“BR-XX”"),
        ({"exceptions": [special("2026-12-24"), special("2026-13-24")]}, "Special day 2"),
        ({"exceptions": [special("2026-12-24", to="2026-12-23")]}, "Special day 1"),
        ({"exceptions": [special("2026-12-24", to="2027-12-25")]}, "Special day 1"),
        ({"exceptions": [special("2026-12-24", ("9", "10"))]}, "Special day 1"),
        ({"exceptions": [{"from": "2026-12-24", "name": 5}]}, "Special day 1"),
        ({"exceptions": [special("2026-01-01", to="2026-12-31")] * 12}, "4000"),
        ({"intervals": [{"weekday": "mon", "start": "09:00", "end": "18:00"}] * 49}, "more than 48"),
        ({"exceptions": [special("2026-01-01", *[("09:00", "10:00")] * 49)]}, "more than 48"),
        ({"exceptions": "x"}, "lists"),
    ],
)
def test_what_cannot_be_read_says_where(wrong: dict[str, Any], where: str) -> None:
    with pytest.raises(InvalidHours, match=where):
        make(**wrong)


def test_a_calendar_reads_all_of_its_columns() -> None:
    calendar = Calendar(
        intervals=OFFICE, closed_dates=["2026-11-18"], holiday_calendar="BR-SP",
        exceptions=[special("2026-07-09", ("10:00", "11:00"))],
    )  # fmt: skip
    hours = calendar.hours()

    assert [hours.is_open(at(f"{day}T10:30", hours)) for day in ("2026-11-18", "2026-11-20")] == [False] * 2
    assert hours.is_open(at("2026-07-09T10:30", hours))


def test_months_of_business_time_take_a_moment() -> None:
    hours = make(holidays="BR-SP", exceptions=[special(f"2026-12-{n:02}") for n in range(20, 30)])
    start = at("2026-11-16T10:00", hours)
    hours.add_business_time(start, timedelta(hours=700))

    began = perf_counter()
    for _ in range(20):
        hours.add_business_time(start, timedelta(hours=500))

    assert (perf_counter() - began) / 20 < 0.02  # measured: 1 ms for 90 days; the rest is room for CI
