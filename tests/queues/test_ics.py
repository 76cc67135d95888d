"""Days off out of .ics files: what is taken, what is passed over and why, what is refused."""

from __future__ import annotations

from datetime import date
from time import perf_counter

import pytest

from queues import ics
from queues.ics import DayOff, UnreadableFile

TODAY = date(2026, 11, 21)


def file(*events: str, wrap: str = "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:test\n{}\nEND:VCALENDAR\n") -> bytes:
    return wrap.format("\n".join(events)).replace("\n", "\r\n").encode()


def event(start: str, *more: str, name: str = "Recesso", uid: str = "") -> str:
    lines = [f"DTSTART;VALUE=DATE:{start}", f"SUMMARY:{name}", *([f"UID:{uid}"] if uid else []), *more]
    return "\n".join(["BEGIN:VEVENT", "DTSTAMP:20260101T000000Z", *lines, "END:VEVENT"])


def taken(*events: str) -> list[tuple[str, str, str]]:
    found = ics.read(file(*events), today=TODAY)
    return [(day.first.isoformat(), day.last.isoformat(), day.name) for day in found.days]


def passed_over(*events: str) -> list[str]:
    found = ics.read(file(*events), today=TODAY)
    assert not found.days
    return [one.reason for one in found.skipped]


# ---------------------------------------------------------------- taken
def test_a_whole_day_is_taken() -> None:
    assert taken(event("20261225", name="Natal")) == [("2026-12-25", "2026-12-25", "Natal")]


def test_the_end_of_several_days_is_the_day_after() -> None:
    assert taken(event("20261224", "DTEND;VALUE=DATE:20261227")) == [("2026-12-24", "2026-12-26", "Recesso")]
    assert taken(event("20261224", "DURATION:P2D")) == [("2026-12-24", "2026-12-25", "Recesso")]
    assert taken(event("20261224", "DTEND;VALUE=DATE:20261224")) == [("2026-12-24", "2026-12-24", "Recesso")]


def test_days_around_new_year_are_one_piece() -> None:
    assert taken(event("20251230", "DTEND;VALUE=DATE:20260103")) == [("2025-12-30", "2026-01-02", "Recesso")]


@pytest.mark.parametrize(
    "start, rule, days",
    [
        ("20200120", "FREQ=YEARLY", ["2026-01-20", "2027-01-20", "2028-01-20"]),
        ("20200120", "FREQ=YEARLY;UNTIL=20270601", ["2026-01-20", "2027-01-20"]),
        ("20251120", "FREQ=YEARLY;COUNT=2", ["2026-11-20"]),
        ("20251127", "FREQ=YEARLY;BYMONTH=11;BYDAY=4TH", ["2026-11-26", "2027-11-25", "2028-11-23"]),
        ("20260525", "FREQ=YEARLY;BYMONTH=5;BYDAY=MO;BYSETPOS=-1",
         ["2026-05-25", "2027-05-31", "2028-05-29"]),
        ("20240229", "FREQ=YEARLY", ["2028-02-29"]),
        ("20260518", "FREQ=YEARLY;BYMONTH=5;BYDAY=MO;BYMONTHDAY=18,19,20,21,22,23,24",
         ["2026-05-18", "2027-05-24", "2028-05-22"]),
    ],
)  # fmt: skip
def test_what_returns_every_year_is_written_out(start: str, rule: str, days: list[str]) -> None:
    assert [first for first, _, _ in taken(event(start, f"RRULE:{rule}"))] == days


def test_a_year_that_was_taken_out_or_moved_is_respected() -> None:
    series = event("20260120", "RRULE:FREQ=YEARLY", "EXDATE;VALUE=DATE:20270120", uid="a")
    moved = event("20280122", "RECURRENCE-ID;VALUE=DATE:20280120", uid="a", name="Mudou")

    assert [(first, name) for first, _, name in taken(series, moved)] == [
        ("2026-01-20", "Recesso"), ("2028-01-22", "Mudou"),
    ]  # fmt: skip


def test_the_same_day_twice_is_one() -> None:
    assert len(taken(event("20261225", uid="a"), event("20261225", uid="b"))) == 1


def test_names_are_one_line_of_bounded_length() -> None:
    assert taken(event("20261225", name="Natal\\n e  fim"))[0][2] == "Natal e fim"
    assert len(taken(event("20261225", name="x" * 500))[0][2]) == 120


# ---------------------------------------------------------------- passed over
@pytest.mark.parametrize(
    "lines, reason",
    [
        (event("20261225").replace(";VALUE=DATE:20261225", ":20261225T100000Z"), ics.TIMED),
        (event("20261225").replace(";VALUE=DATE:20261225", ";TZID=America/Bahia:20261225T100000"), ics.TIMED),
        (event("20261225", "STATUS:CANCELLED"), ics.CANCELLED),
        (event("20240101"), ics.ELSEWHEN),
        (event("20290101"), ics.ELSEWHEN),
        (event("20260101", "DTEND;VALUE=DATE:20270201"), ics.LONG),
        (event("19690101", "RRULE:FREQ=YEARLY"), ics.EARLY),
        (event("20260101", "RRULE:FREQ=YEARLY;INTERVAL=0"), ics.BROKEN),
        (event("20260101", "RRULE:FREQ=YEARLY", "RRULE:FREQ=YEARLY"), ics.BROKEN),
        (event("20260101", "RRULE:FREQ=YEARLY;BYMONTH=xx"), ics.BROKEN),
        (event("garbage"), ics.BROKEN),
        (event("20260101").replace("DTSTART;VALUE=DATE:20260101\n", ""), ics.BROKEN),
        *[
            (event("20260101", f"RRULE:{rule}"), ics.OFTEN)
            for rule in (
                "FREQ=WEEKLY;BYDAY=SU", "FREQ=DAILY", "FREQ=MONTHLY", "FREQ=SECONDLY",
                "FREQ=YEARLY;BYDAY=MO", "FREQ=YEARLY;BYDAY=1MO,2MO", "FREQ=YEARLY;BYMONTH=1,2",
                "FREQ=YEARLY;BYMONTHDAY=1", "FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=1,2",
                "FREQ=YEARLY;BYHOUR=1,2,3", "FREQ=YEARLY;BYYEARDAY=1", "FREQ=YEARLY;BYMONTH=1;BYDAY=MO",
            )
        ],
    ],
)  # fmt: skip
def test_what_is_no_day_off_is_named_with_a_reason(lines: str, reason: str) -> None:
    assert passed_over(lines) == [reason]


def test_the_rest_of_the_file_is_taken() -> None:
    found = ics.read(file(event("garbage", name="Ruim"), event("20261225")), today=TODAY)

    assert [(one.name, one.reason) for one in found.skipped] == [("Ruim", ics.BROKEN)]
    assert len(found.days) == 1


# ---------------------------------------------------------------- refused
@pytest.mark.parametrize(
    "raw, why",
    [
        (b"", "no calendar"),
        (b"hello", "no calendar"),
        (b"\xff\xfe\x00", "no calendar"),
        (b"<html><body>Sign in</body></html>", "no calendar"),
        (file(event("20261225"))[:-20], "no calendar"),
        (file(event("20261225"), wrap="{}"), "no events"),
        (file(event("20261225"), wrap="BEGIN:VCALENDAR\n{}\nEND:VEVENT\nEND:VCALENDAR"), "no calendar"),
        (b"END:VCALENDAR", "no calendar"),
        (file(), "no events"),
        (b"x" * (ics.MAX_BYTES + 1), "1 MB"),
        (file(*[event("20240101")] * 2001), "2000 events"),
        (file(*[event("20260101", "RRULE:FREQ=YEARLY")] * 201), "200 that return"),
        (file(*[event("20260101", f"DTEND;VALUE=DATE:2026{m:02}01", uid=str(m)) for m in range(2, 13)],
              *[event("20270101", f"DTEND;VALUE=DATE:2027{m:02}15", uid=f"n{m}") for m in range(2, 13)]),
         "2000 dates"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_whole(raw: bytes, why: str) -> None:
    with pytest.raises(UnreadableFile, match=why):
        ics.read(raw, today=TODAY)


def test_time_zones_of_a_file_do_not_reach_the_process() -> None:
    zone = (
        "BEGIN:VTIMEZONE\nTZID:Ours/Alone\nBEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0100\n"
        "TZOFFSETTO:+0200\nEND:STANDARD\nEND:VTIMEZONE"
    )
    alarm = "BEGIN:VALARM\nTRIGGER:-PT10M\nACTION:DISPLAY\nEND:VALARM"
    kept = ics._events_alone(
        file(zone, zone.replace("VTIMEZONE\nTZ", "VTIME\n ZONE\nTZ"), event("20261225", alarm)).decode()
    )

    assert "Ours/Alone" not in kept
    assert "VALARM" not in kept
    assert [day.first for day in ics.read(file(zone, event("20261225", alarm)), today=TODAY).days]


def test_the_worst_file_is_read_in_seconds() -> None:
    rule = "RRULE:FREQ=YEARLY;BYMONTH=5;BYDAY=MO;BYMONTHDAY=1,2,3,4,5,6,7,8,9,10,11,12"
    raw = file(
        *[event("19700501", rule, name="x" * 50, uid=str(n)) for n in range(200)], *[event("20240101")] * 1800
    )

    began = perf_counter()
    ics.read(raw, today=TODAY)

    assert perf_counter() - began < 20


def test_an_entry_comes_back_as_the_day_it_was() -> None:
    day = DayOff(date(2026, 12, 24), date(2026, 12, 26), "Recesso")

    assert DayOff.of(day.entry()) == day
