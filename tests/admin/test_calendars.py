"""The admin page of calendars: special days, holidays, a moment tested, days off out of a file."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import AuditEntry
from queues.admin_calendar_forms import Mistyped, read_spans, read_special, special_text
from queues.models import Calendar, RoutingCall
from tests.admin.pages import form_data, page, said
from tests.admin.world import World

NEXT = datetime.now(UTC).year + 1
FILE = f"""BEGIN:VCALENDAR
BEGIN:VEVENT
DTSTART;VALUE=DATE:{NEXT}1224
DTEND;VALUE=DATE:{NEXT}1227
SUMMARY:<b>Recesso</b>
END:VEVENT
BEGIN:VEVENT
DTSTART:{NEXT}1225T100000Z
SUMMARY:Ceia
END:VEVENT
END:VCALENDAR
""".encode()


def save(client: Client, obj: Any, **changes: Any) -> Any:
    url = page(type(obj), "change", obj.pk)
    return client.post(url, form_data(client.get(url)) | changes)


def errors(response: Any) -> dict[str, Any]:
    assert response.status_code == 200
    return response.context["adminform"].form.errors


def shown(client: Client, obj: Any, **asked: str) -> str:
    html = client.get(page(type(obj), "change", obj.pk), asked).content.decode()
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@pytest.fixture
def calendar(ours: World) -> Calendar:
    return ours[Calendar]


# ---------------------------------------------------------------- lines
@pytest.mark.parametrize(
    "line, entry",
    [
        ("2026-12-24", ("2026-12-24", "2026-12-24", [], "")),
        ("2026-12-24 closed Natal", ("2026-12-24", "2026-12-24", [], "Natal")),
        ("2026-12-24 Natal em casa", ("2026-12-24", "2026-12-24", [], "Natal em casa")),
        ("2026-12-24 .. 2026-12-26 Recesso", ("2026-12-24", "2026-12-26", [], "Recesso")),
        ("2026-12-24 9h-13h30 Véspera", ("2026-12-24", "2026-12-24", [("09:00", "13:30")], "Véspera")),
        ("2026-12-24 09:00-12:00, 22:00 – 02:00",
         ("2026-12-24", "2026-12-24", [("09:00", "12:00"), ("22:00", "02:00")], "")),
        ("2026-12-24 24-horas", ("2026-12-24", "2026-12-24", [], "24-horas")),
    ],
)  # fmt: skip
def test_a_special_day_is_a_line(line: str, entry: tuple[Any, ...]) -> None:
    read = read_special(line)

    spans = [(span["start"], span["end"]) for span in read["intervals"]]
    assert (read["from"], read["to"], spans, read["name"]) == entry
    assert read_special(special_text(read)) == read


@pytest.mark.parametrize("line", ["24/12/2026", "2026-13-01", "2026-12-24x", "2026-12-24 25:00-26:00", "x"])
def test_a_line_that_is_none(line: str) -> None:
    with pytest.raises(Mistyped):
        read_special(line)


def test_hours_are_read_as_people_type_them() -> None:
    assert read_spans("9h-12h30 , 13:00 - 18:00") == [
        {"start": "09:00", "end": "12:30"}, {"start": "13:00", "end": "18:00"},
    ]  # fmt: skip


# ---------------------------------------------------------------- the form
def test_special_days_and_holidays_are_saved_and_shown_again(lead: Client, calendar: Calendar) -> None:
    lines = f"{NEXT}-12-31 closed Recesso\n{NEXT}-12-24 9h-13h Véspera"

    assert save(lead, calendar, special=lines, holidays_of="BR-SP").status_code == 302

    saved = Calendar.objects.get(pk=calendar.pk)
    assert [one["name"] for one in saved.exceptions] == ["Véspera", "Recesso"]
    assert saved.holiday_calendar == "BR-SP"
    form = lead.get(page(Calendar, "change", calendar.pk)).context["adminform"].form
    assert form.initial["special"].splitlines()[0] == f"{NEXT}-12-24 09:00-13:00 Véspera"
    assert form.initial["holidays_of"] == "BR-SP"
    assert AuditEntry.objects.get(action="calendar.changed").data == {"fields": ["holidays_of", "special"]}
    assert list(RoutingCall.objects.values_list("reason", flat=True)) == ["hours"]


def test_a_page_that_is_saved_unchanged_changes_nothing(lead: Client, calendar: Calendar) -> None:
    special = [{"from": "2026-12-24", "to": "2026-12-26", "name": "Recesso", "intervals": []}]
    Calendar.objects.filter(pk=calendar.pk).update(exceptions=special, holiday_calendar="PT-20")
    before = Calendar.objects.filter(pk=calendar.pk).values().get()

    assert save(lead, calendar).status_code == 302
    assert Calendar.objects.filter(pk=calendar.pk).values().get() == before
    assert not RoutingCall.objects.exists()


def test_another_country_is_written(lead: Client, calendar: Calendar) -> None:
    save(lead, calendar, holidays_of="other", other_holidays="US-CA")

    assert Calendar.objects.get(pk=calendar.pk).holiday_calendar == "US-CA"


@pytest.mark.parametrize(
    "wrong, field",
    [
        ({"mon": "9 to 5"}, "mon"),
        ({"sat": "09:00-24:00"}, "sat"),
        ({"special": "tomorrow"}, "special"),
        ({"special": "2026-12-26..2026-12-24"}, "__all__"),
        ({"holidays_of": "other", "other_holidays": "XX"}, "other_holidays"),
        ({"holidays_of": "BR-XX"}, "holidays_of"),
    ],
)
def test_a_mistake_is_named_at_its_field(
    lead: Client, calendar: Calendar, wrong: dict[str, str], field: str
) -> None:
    before = Calendar.objects.filter(pk=calendar.pk).values().get()

    assert field in errors(save(lead, calendar, **wrong))
    assert Calendar.objects.filter(pk=calendar.pk).values().get() == before


def test_a_page_that_is_older_than_the_calendar_is_refused(lead: Client, calendar: Calendar) -> None:
    url = page(Calendar, "change", calendar.pk)
    mine, theirs = form_data(lead.get(url)), form_data(lead.get(url))
    assert lead.post(url, theirs | {"tue": "09:00-12:00"}).status_code == 302
    kept = Calendar.objects.get(pk=calendar.pk)

    for _ in range(2):  # what comes back is the same old page: sending it again is no way round
        late = lead.post(url, mine | {"wed": "09:00-12:00"})
        assert "Somebody changed this in the meantime" in str(errors(late)["__all__"])
        mine = form_data(late)
    now = Calendar.objects.get(pk=calendar.pk)
    assert (now.intervals, now.revision) == (kept.intervals, calendar.revision + 1)


def test_a_new_calendar_has_no_moment_to_test(lead: Client, ours: World) -> None:
    assert "Test a moment" not in lead.get(page(Calendar, "add")).content.decode()


# ---------------------------------------------------------------- a moment
@pytest.mark.parametrize(
    "at, words",
    [
        (
            "2026-11-16T10:00",
            "Open Monday, 11/16/2026 10:00. It lies in the weekly hours, 09:00-18:00."
            " Closes: Monday, 11/16/2026 18:00",
        ),
        (
            "2026-11-16T20:00",
            "It lies outside the weekly hours. Opens next: Monday, 11/23/2026 09:00",
        ),
        (
            "2026-12-28T10:00",
            "Closed Monday, 12/28/2026 10:00. The special day “Recesso” has no hours at that time."
            " Opens next: Monday, 01/04/2027 09:00",
        ),
        ("2026-11-02T10:00", "It is a public holiday: All Souls&#x27; Day."),
        ("2026-11-09T10:00", "The date is on the list of closed dates."),
    ],
)
def test_a_moment_is_tested(lead: Client, calendar: Calendar, at: str, words: str) -> None:
    special = [{"from": "2026-12-28", "name": "Recesso", "intervals": []}]
    Calendar.objects.filter(pk=calendar.pk).update(
        exceptions=special, holiday_calendar="BR", closed_dates=["2026-11-09"]
    )

    assert words in shown(lead, calendar, at=at)


def test_what_is_no_moment_is_said_and_now_is_shown(lead: Client, calendar: Calendar) -> None:
    for at in ("yesterday", "1900-01-01T00:00", "9999-12-31T23:59", "\0"):
        assert "That is no date and time between" in shown(lead, calendar, at=at)


def test_the_holidays_of_the_year_are_listed(lead: Client, calendar: Calendar) -> None:
    Calendar.objects.filter(pk=calendar.pk).update(holiday_calendar="BR-SP")

    words = shown(lead, calendar, at="2027-01-10T10:00")

    assert "Public holidays of BR-SP in 2027" in words
    assert "07/09/2027 Friday Constitutionalist Revolution" in words


# ---------------------------------------------------------------- a file
def upload(client: Client, calendar: Calendar, raw: bytes = FILE) -> Any:
    return client.post(page(Calendar, "import_days", calendar.pk), {"file": SimpleUploadedFile("a.ics", raw)})


def test_a_file_is_shown_before_it_is_taken(lead: Client, calendar: Calendar) -> None:
    preview = upload(lead, calendar)
    html = preview.content.decode()

    assert "3 days would be closed" in html
    assert "&lt;b&gt;Recesso&lt;/b&gt;" in html
    assert "Ceia" in html
    assert Calendar.objects.get(pk=calendar.pk).exceptions == []

    done = lead.post(page(Calendar, "import_days", calendar.pk), {"shown": preview.context["shown"]})
    assert done.url == page(Calendar, "change", calendar.pk)
    assert said(done) == ["Special days that were added: 1."]
    entries = Calendar.objects.get(pk=calendar.pk).exceptions
    assert [(one["from"], one["to"]) for one in entries] == [(f"{NEXT}-12-24", f"{NEXT}-12-26")]
    assert RoutingCall.objects.count() == 1
    assert AuditEntry.objects.filter(action="calendar.imported").count() == 1


def test_a_preview_is_good_for_its_calendar_only(lead: Client, calendar: Calendar, ours: World) -> None:
    other = Calendar.objects.create(organization=ours.organization, name="Other")
    days = upload(lead, calendar).context["shown"]

    for forged in (days, "x", days[:-3]):
        done = lead.post(page(Calendar, "import_days", other.pk), {"shown": forged})
        assert "too old" in said(done)[-1]
    assert Calendar.objects.get(pk=other.pk).exceptions == []


@pytest.mark.parametrize("raw, why", [(b"hello", "no calendar"), (b"x" * (1024 * 1024 + 1), "1 MB")])
def test_a_bad_file_is_an_error_of_the_form(lead: Client, calendar: Calendar, raw: bytes, why: str) -> None:
    response = upload(lead, calendar, raw)

    assert why in str(response.context["form"].errors["file"])
    assert Calendar.objects.get(pk=calendar.pk).exceptions == []


def test_no_file_at_all_is_asked_for(lead: Client, calendar: Calendar) -> None:
    url = page(Calendar, "import_days", calendar.pk)

    assert lead.get(url).status_code == 200
    assert "required" in str(lead.post(url, {}).context["form"].errors)
