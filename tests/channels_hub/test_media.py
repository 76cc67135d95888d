"""Files: fetched once, checked by their bytes, kept under names that tell nothing."""

import hashlib
import io
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import time_machine
from django.utils import timezone
from PIL import Image

from channels_hub import media
from channels_hub.contract import MediaRef
from channels_hub.models import MediaFile
from tests.conftest import TWILIO_SID, new_channel


def picture():
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2), "red").save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    return tmp_path


@pytest.fixture
def account(acme, fake, folder):
    return new_channel(acme, "twilio_whatsapp", api_base=fake.url)


@pytest.fixture
def arrives(account, fake):
    """A message brought this file; the row waits."""

    def make(data, kind="image", mime="image/jpeg", filename="comprovante.jpg"):
        fake.put_media("ME1", mime, data)
        url = f"{fake.url}/2010-04-01/Accounts/{TWILIO_SID}/Messages/MM1/Media/ME1"
        [row] = media.expect(account, [MediaRef(kind, mime, filename, url=url)])
        return row

    return make


def again(row):
    return MediaFile.objects.get(pk=row.pk)


def files(folder):
    return [path for path in Path(folder).rglob("*") if path.is_file()]


def test_a_file_is_stored_with_size_sum_and_true_type(arrives, folder):
    row = arrives(picture())
    assert media.fetch(row.pk).pk == row.pk
    found = again(row)
    assert (found.state, found.mime, found.size) == ("ok", "image/png", len(picture()))
    assert found.sha256 == hashlib.sha256(picture()).hexdigest()
    assert found.file.read() == picture()
    assert (found.source, found.reason, found.filename) == ({}, "", "comprovante.jpg")


def test_the_stored_name_tells_nothing_and_nothing_else_is_left(arrives, folder, acme):
    row = arrives(picture())
    media.fetch(row.pk)
    [path] = files(folder)
    assert path.parent.name == str(acme.pk)
    assert len(path.name) == 32
    assert "comprovante" not in str(path)


def test_a_file_is_fetched_by_one_worker_only(arrives, fake):
    row = arrives(picture())
    assert media.fetch(row.pk)
    assert media.fetch(row.pk) is None
    assert media.fetch(uuid4()) is None


def test_a_late_worker_leaves_no_second_file(arrives, folder, http):
    row = arrives(picture())
    late = media._claim(row.pk)
    MediaFile.objects.filter(pk=row.pk).update(next_attempt_at=timezone.now())
    assert media.fetch(row.pk)
    assert media._fetch(late, http) is None
    assert len(files(folder)) == 1
    assert again(row).state == "ok"


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (b"BEGIN:VCARD\r\nFN:Ana\r\nEND:VCARD", "text/vcard"),
        ("só texto, é claro".encode(), "text/plain"),
        (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n%%EOF", "application/pdf"),
        (b"\x00\x01\x02\x03", "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)
def test_the_type_is_read_from_the_bytes(tmp_path, data, mime):
    path = tmp_path / "x"
    path.write_bytes(data)
    assert media.sniff(path) == mime


def test_a_page_that_claims_to_be_a_picture_is_a_file(arrives):
    row = arrives(b"<html><script>alert(1)</script></html>")
    media.fetch(row.pk)
    assert again(row).kind == "file"
    assert not again(row).mime.startswith("image/")


# ------------------------------------------------------------------ failures
def test_a_file_that_is_gone_is_unavailable(account, fake):
    [row] = media.expect(account, [MediaRef("image", url=f"{fake.url}/gone")])
    assert media.fetch(row.pk)
    assert (again(row).state, again(row).reason) == ("unavailable", "http_404")


def test_a_private_address_is_never_asked(account, listen):
    listener = listen(lambda connection: None, allowed=False)
    [row] = media.expect(account, [MediaRef("image", url=listener.url)])
    media.fetch(row.pk)
    assert (again(row).state, again(row).reason) == ("unavailable", "forbidden address")
    assert listener.connections == 0


def test_too_big_a_file_is_cut_and_leaves_nothing(arrives, folder, monkeypatch):
    monkeypatch.setattr(media, "MAX_BYTES", 100)
    row = arrives(b"x" * 101)
    media.fetch(row.pk)
    assert (again(row).state, again(row).reason) == ("unavailable", "too big")
    assert files(folder) == []


def test_a_platform_that_is_away_is_asked_again_later(arrives, fake, folder):
    row = arrives(picture())
    fake.stop()
    assert media.fetch(row.pk) is None
    found = again(row)
    assert (found.state, found.attempts, found.reason) == ("pending", 1, "NotSent")
    assert timedelta(seconds=3) < found.next_attempt_at - timezone.now() < timedelta(seconds=7)
    assert media.fetch(row.pk) is None, "not due yet"
    assert files(folder) == []


def test_after_the_last_attempt_it_is_given_up(arrives, fake):
    row = arrives(picture())
    fake.stop()
    MediaFile.objects.filter(pk=row.pk).update(attempts=len(media.WAITS))
    assert media.fetch(row.pk)
    assert again(row).state == "unavailable"


def test_half_a_file_is_no_file(account, listen, folder):
    def behave(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    [row] = media.expect(account, [MediaRef("image", url=listen(behave).url)])
    media.fetch(row.pk)
    assert (again(row).state, again(row).reason) == ("pending", "MaybeSent")
    assert files(folder) == []


def test_due_files_of_everybody_wait_in_line(account, arrives):
    first, second = arrives(picture()), arrives(picture())
    MediaFile.objects.filter(pk=first.pk).update(next_attempt_at=timezone.now() - timedelta(hours=1))
    assert media.due() == [first.pk, second.pk]
    assert media.due(limit=1) == [first.pk]
    MediaFile.objects.filter(pk=first.pk).update(next_attempt_at=timezone.now() + timedelta(hours=1))
    assert media.due() == [second.pk]


# ------------------------------------------------------------------ links
def test_a_link_opens_its_file_for_a_day(arrives, settings):
    settings.PUBLIC_URL = "https://desk.example.org"
    row = arrives(picture())
    token = media.public_url(row).removeprefix("https://desk.example.org/media/").strip("/")
    assert media.by_token(token) is None, "not stored yet"
    media.fetch(row.pk)
    assert media.by_token(token).pk == row.pk
    assert media.by_token(token + "x") is None
    with time_machine.travel(timezone.now() + timedelta(hours=25)):
        assert media.by_token(token) is None


def test_orphans_are_swept_both_ways(arrives, folder, acme):
    kept, lost = arrives(picture()), arrives(picture())
    media.fetch(kept.pk)
    media.fetch(lost.pk)
    Path(again(lost).file.path).unlink()
    stray = folder / str(acme.pk) / "stray"
    stray.write_bytes(b"x")
    assert media.sweep_orphans(older_than=timedelta(seconds=-5)) == (1, 1)
    assert (again(lost).state, again(lost).reason) == ("unavailable", "file lost")
    assert [path.name for path in files(folder)] == [Path(again(kept).file.name).name]
