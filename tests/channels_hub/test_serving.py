"""Stored files by HTTP: ranges, tags, headers; from any storage."""

from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage
from django.test import RequestFactory

from channels_hub import media, serving
from channels_hub.models import MediaFile

DATA = bytes(range(200))


@pytest.fixture
def sound(twilio_channel, settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    row = MediaFile(
        organization_id=twilio_channel.organization_id, account=twilio_channel, kind="voice",
        mime="audio/ogg", sha256="ab", state="ok", filename='no"ta.ogg',
    )  # fmt: skip
    row.file.save("x", ContentFile(DATA), save=False)
    row.save()
    return row


def ask(row, method="get", **headers):
    return serving.original(getattr(RequestFactory(), method)("/", headers=headers), row)


def body(answer):
    return b"".join(answer.streaming_content)


@pytest.mark.parametrize(
    ("wanted", "status", "first", "last"),
    [
        ("bytes=0-9", 206, 0, 9), ("bytes=190-", 206, 190, 199), ("bytes=-5", 206, 195, 199),
        ("bytes=50-9999", 206, 50, 199), ("bytes=-9999", 206, 0, 199),
        ("bytes=9-3", 200, 0, 199), ("bytes=-", 200, 0, 199), ("bytes=0-1,5-6", 200, 0, 199),
        ("lines=1-2", 200, 0, 199), ("", 200, 0, 199),
    ],
)  # fmt: skip
def test_a_range_is_answered_with_just_that(sound, wanted, status, first, last):
    answer = ask(sound, range=wanted)

    assert answer.status_code == status
    assert body(answer) == DATA[first : last + 1]
    assert answer.headers["Content-Length"] == str(last - first + 1)
    assert answer.headers.get("Content-Range") == (f"bytes {first}-{last}/200" if status == 206 else None)


@pytest.mark.parametrize("wanted", ["bytes=200-", "bytes=-0", "bytes=500-600"])
def test_a_range_behind_the_end_is_refused(sound, wanted):
    answer = ask(sound, range=wanted)
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */200")


def test_a_range_of_something_else_gets_all_of_this(sound):
    assert ask(sound, range="bytes=0-9", if_range='"cd"').status_code == 200
    assert ask(sound, range="bytes=0-9", if_range='"ab"').status_code == 206


def test_what_the_browser_has_is_not_sent_again(sound):
    answer = ask(sound, if_none_match='"ab"')
    assert (answer.status_code, answer.content) == (304, b"")


def test_head_tells_type_and_length(sound):
    answer = ask(sound, "head")
    assert (answer.headers["Content-Type"], answer.headers["Content-Length"]) == ("audio/ogg", "200")


def test_no_browser_runs_what_it_gets(sound):
    sound.mime = "text/html"
    answer = ask(sound)

    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="no\\"ta.ogg"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["Cache-Control"].startswith("private")


def test_files_may_lie_in_any_storage(twilio_channel, monkeypatch):
    for name in ("file", "thumbnail"):
        monkeypatch.setattr(MediaFile._meta.get_field(name), "storage", InMemoryStorage())
    row = MediaFile(
        organization_id=twilio_channel.organization_id, account=twilio_channel, kind="file", state="ok"
    )
    media.keep(row, stored := media.store([DATA], 1000))
    stored.path.unlink(missing_ok=True)
    row.save()

    assert body(ask(row, range="bytes=1-2")) == DATA[1:3]
    assert media.sweep_orphans() == (0, 0)
    MediaFile.objects.all().delete()
    assert media.sweep_orphans(older_than=timedelta(seconds=-5)) == (1, 0)
