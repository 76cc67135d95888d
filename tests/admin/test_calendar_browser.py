"""The calendar's page in a real browser: a moment is tested and a file taken under the page's own policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from queues.models import Calendar
from tests.admin.pages import page
from tests.admin.test_browser import desk, session_of
from tests.admin.test_calendars import FILE
from tests.admin.world import World

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_a_moment_is_tested_and_a_file_taken(ours: World, live_server: Any, tmp_path: Path) -> None:
    calendar, session = ours[Calendar], session_of(ours.members["supervisor"])
    Calendar.objects.update(holiday_calendar="BR-SP")
    (tmp_path / "recess.ics").write_bytes(FILE)

    with desk(live_server.url, session) as (tab, wrong):
        tab.goto(live_server.url + page(Calendar, "change", calendar.pk))
        tab.fill("#moment-at", "2026-11-16T10:00")
        tab.get_by_role("button", name="Test", exact=True).click()
        tab.get_by_text("It lies in the weekly hours, 09:00-18:00.").wait_for()
        tab.fill("textarea[name=special]", "2026-11-16 closed Luto")
        tab.locator("button[name=_save]").click()
        tab.get_by_text("was changed successfully").wait_for()
        tab.goto(live_server.url + page(Calendar, "import_days", calendar.pk))
        tab.set_input_files("input[type=file]", tmp_path / "recess.ics")
        tab.get_by_role("button", name="Show its days").click()
        tab.get_by_text("3 days would be closed").wait_for()
        tab.get_by_role("button", name="Close on these days").click()
        tab.get_by_text("Special days that were added: 1.").wait_for()

    assert wrong == []
    assert [one["name"] for one in Calendar.objects.get().exceptions] == ["Luto", "<b>Recesso</b>"]
