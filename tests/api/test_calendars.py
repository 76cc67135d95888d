"""Calendars by the API: special days, why a moment is open or closed, days off out of a file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.models import AuditEntry, Membership
from queues.models import Calendar, RoutingCall
from tests.api.caller import ROOT, Caller, Calls, outside

OFFICE = [{"weekday": "mon", "start": "09:00", "end": "18:00"}]
MORNING = [{"start": "09:00", "end": "12:00"}]
EVE = {"from": "2026-12-24", "to": "2026-12-24", "name": "Véspera", "intervals": MORNING}
NEXT = datetime.now(UTC).year + 1
FILE = f"""BEGIN:VCALENDAR
BEGIN:VEVENT
DTSTART;VALUE=DATE:{NEXT}1224
DTEND;VALUE=DATE:{NEXT}1227
SUMMARY:Recesso
END:VEVENT
BEGIN:VEVENT
DTSTART:{NEXT}1225T100000Z
SUMMARY:Ceia
END:VEVENT
END:VCALENDAR
""".encode()


@pytest.fixture
def calendar(sofia: Membership) -> Calendar:
    return Calendar.objects.create(
        organization=sofia.organization, name="Semana", intervals=OFFICE, holiday_calendar="BR",
        exceptions=[EVE],
    )  # fmt: skip


def send(caller: Caller, calendar: Calendar, raw: bytes, kind: str = "text/calendar") -> Any:
    with outside():
        return caller.client.post(
            f"{ROOT}calendars/{calendar.pk}/import", raw, content_type=kind, headers=caller.headers
        )


# ---------------------------------------------------------------- columns
def test_special_days_and_holidays_are_kept(sofia: Membership, by: Calls) -> None:
    given = {"holiday_calendar": "BR-SP", "exceptions": [{"from": "2026-12-31"}, EVE]}
    made = by(sofia).post("calendars", {"name": "Semana", **given}).json()

    assert made["holiday_calendar"] == "BR-SP"
    assert made["exceptions"] == [
        EVE, {"from": "2026-12-31", "to": "2026-12-31", "name": "", "intervals": []},
    ]  # fmt: skip
    assert by(sofia).get(f"calendars/{made['id']}").json() == made


@pytest.mark.parametrize(
    "wrong, field",
    [
        ({"holiday_calendar": "BR-XX"}, "non_field_errors"),
        ({"holiday_calendar": "x" * 11}, "holiday_calendar"),
        ({"exceptions": [{}]}, "exceptions"),
        ({"exceptions": [{"from": "24/12"}]}, "exceptions"),
        ({"exceptions": [{"from": "2026-12-24", "to": "2026-12-23"}]}, "non_field_errors"),
        ({"exceptions": [{"from": "2026-12-24", "intervals": [{"start": "9", "end": "10"}]}]}, "exceptions"),
        ({"exceptions": [{"from": "2026-12-24", "intervals": [{"start": "09:00"}]}]}, "exceptions"),
        ({"exceptions": [{"from": "2026-12-24", "name": "x" * 121}]}, "exceptions"),
        ({"exceptions": "x"}, "exceptions"),
    ],
)
def test_what_cannot_be_read_is_refused(
    sofia: Membership, calendar: Calendar, by: Calls, wrong: Any, field: str
) -> None:
    answer = by(sofia).patch(f"calendars/{calendar.pk}", wrong, If_Match='"1"')

    assert answer.status_code == 400, answer.content
    assert field in {name.partition(".")[0] for name in answer.json()["errors"]}
    assert Calendar.objects.get().exceptions == [EVE]


def test_other_hours_call_the_router(sofia: Membership, calendar: Calendar, by: Calls) -> None:
    by(sofia).patch(f"calendars/{calendar.pk}", {"closed_dates": ["2026-12-28"]}, If_Match='"1"')

    assert list(RoutingCall.objects.values_list("reason", flat=True)) == ["hours"]


def test_a_calendar_changes_only_under_its_etag(sofia: Membership, calendar: Calendar, by: Calls) -> None:
    path = f"calendars/{calendar.pk}"
    seen = by(sofia).get(path)
    assert (seen["ETag"], seen.json()["revision"]) == ('"1"', 1)

    assert by(sofia).patch(path, {"name": "A"}).status_code == 428
    assert by(sofia).patch(path, {"name": "A"}, If_Match=seen["ETag"])["ETag"] == '"2"'
    for late in (
        by(sofia).patch(path, {"name": "B"}, If_Match=seen["ETag"]),
        by(sofia).delete(path, If_Match=seen["ETag"]),
    ):
        assert (late.status_code, late.json()["code"], late.json()["revision"]) == (412, "stale", 2)
    assert Calendar.objects.get().name == "A"
    assert by(sofia).delete(path, If_Match='"2"').status_code == 204


def test_days_off_out_of_a_file_make_what_was_read_stale(
    sofia: Membership, calendar: Calendar, by: Calls
) -> None:
    assert send(by(sofia), calendar, FILE).status_code == 200
    late = by(sofia).patch(f"calendars/{calendar.pk}", {"exceptions": []}, If_Match='"1"')

    assert late.status_code == 412
    assert send(by(sofia), calendar, FILE).status_code == 200  # adds nothing the second time
    assert Calendar.objects.get().revision == 2


# ---------------------------------------------------------------- a moment
@pytest.mark.parametrize(
    "at, answer",
    [
        ("2026-12-21T10:00",
         (True, "interval", "", "2026-12-21T10:00:00-03:00", "2026-12-21T18:00:00-03:00")),
        ("2026-12-21T13:00:00Z",
         (True, "interval", "", "2026-12-21T10:00:00-03:00", "2026-12-21T18:00:00-03:00")),
        ("2026-12-24T13:00",
         (False, "special_day", "Véspera", "2026-12-24T13:00:00-03:00", "2026-12-28T09:00:00-03:00")),
        ("2026-12-25T13:00",
         (False, "holiday", "Natal", "2026-12-25T13:00:00-03:00", "2026-12-28T09:00:00-03:00")),
    ],
)  # fmt: skip
def test_a_moment_is_explained(
    vic: Membership, calendar: Calendar, by: Calls, at: str, answer: tuple[Any, ...]
) -> None:
    found = by(vic).get(f"calendars/{calendar.pk}/explain?at={at}").json()

    assert found.keys() == {"open", "rule", "name", "next_change", "next_open", "local"}
    moments = tuple(found[name] for name in ("open", "rule", "name", "local", "next_change"))
    assert moments == answer


@pytest.mark.parametrize(
    "at", ["yesterday", "1969-01-01", "2100-01-01", "0001-01-01T00:00%2B14:00", "9999-12-31"]
)
def test_a_moment_that_is_none_is_refused(vic: Membership, calendar: Calendar, by: Calls, at: str) -> None:
    answer = by(vic).get(f"calendars/{calendar.pk}/explain?at={at}")

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["at"])


def test_without_a_moment_it_is_now(vic: Membership, calendar: Calendar, by: Calls) -> None:
    assert by(vic).get(f"calendars/{calendar.pk}/explain").json()["local"][:2] == "20"


# ---------------------------------------------------------------- a file
def test_a_file_adds_its_days_once(sofia: Membership, calendar: Calendar, by: Calls) -> None:
    answer = send(by(sofia), calendar, FILE)

    assert answer.status_code == 200, answer.content
    assert answer.json()["added"] == [{"from": f"{NEXT}-12-24", "to": f"{NEXT}-12-26", "name": "Recesso"}]
    assert [(one["name"], one["at"][:10]) for one in answer.json()["skipped"]] == [("Ceia", f"{NEXT}-12-25")]
    assert len(Calendar.objects.get().exceptions) == 2
    assert RoutingCall.objects.count() == 1
    assert AuditEntry.objects.get(action="calendar.imported").data == {"days": 1}

    again = send(by(sofia), calendar, FILE).json()
    assert (again["added"], [one["name"] for one in again["skipped"]]) == ([], ["Recesso", "Ceia"])
    assert len(Calendar.objects.get().exceptions) == 2


def test_a_file_comes_as_a_form_too(sofia: Membership, calendar: Calendar, by: Calls) -> None:
    caller, file = by(sofia), SimpleUploadedFile("a.ics", FILE)
    with outside():
        answer = caller.client.post(
            f"{ROOT}calendars/{calendar.pk}/import", {"file": file}, headers=caller.headers
        )

    assert len(answer.json()["added"]) == 1


@pytest.mark.parametrize(
    "raw, kind, status",
    [
        (b"hello", "text/calendar", 400),
        (b"x" * (1024 * 1024 + 1), "text/calendar", 400),
        (FILE, "application/json", 415),
        (b"", "multipart/form-data; boundary=x", 400),
    ],
)
def test_a_bad_file_changes_nothing(
    sofia: Membership, calendar: Calendar, by: Calls, raw: bytes, kind: str, status: int
) -> None:
    assert send(by(sofia), calendar, raw, kind).status_code == status
    assert Calendar.objects.get().exceptions == [EVE]


def test_a_full_calendar_takes_nothing(sofia: Membership, calendar: Calendar, by: Calls) -> None:
    years = [{"from": f"{year}-01-01", "to": f"{year}-12-31"} for year in range(2001, 2012)]
    Calendar.objects.update(exceptions=[*years[:10], {"from": "2001-01-01", "to": "2001-12-14"}])

    answer = send(by(sofia), calendar, FILE)

    assert (answer.status_code, "4000" in answer.json()["detail"]) == (400, True)
    assert len(Calendar.objects.get().exceptions) == 11
