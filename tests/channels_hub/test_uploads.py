"""What the desk's people attach: taken as the channel takes it, or refused in clear words."""

import io

import av
import pytest
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from PIL import Image

from channels_hub import media, uploads
from channels_hub.models import MediaFile
from tests.channels_hub.files import bomb, photo, picture, recording
from tests.conftest import new_channel

PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n%%EOF"


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "media"
    return settings.MEDIA_ROOT


@pytest.fixture
def whatsapp(acme):
    return new_channel(acme, "twilio_whatsapp")


@pytest.fixture
def take(whatsapp, ana):
    def make(data, name="arquivo", **options):
        return uploads.take(whatsapp, ana, SimpleUploadedFile(name, data, "image/png"), **options)

    return make


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_photo_is_kept_clean_with_a_thumbnail(take, ana, folder):
    row = take(photo((1600, 1200)), "férias.jpg")

    assert (row.state, row.kind, row.mime, row.filename) == ("ok", "image", "image/jpeg", "férias.jpg")
    assert row.uploader == ana
    assert row.size == row.file.size
    assert not Image.open(row.file).getexif()
    assert Image.open(row.thumbnail).size == (480, 640)
    assert len(files(folder)) == 2


def test_the_type_is_read_from_the_bytes_not_from_the_name(take):
    row = take(PDF, "foto.png")
    assert (row.kind, row.mime) == ("file", "application/pdf")


def test_a_picture_of_another_type_becomes_one_that_the_channel_takes(take):
    row = take(picture(format="GIF"), "graça.gif")
    assert (row.kind, row.mime, row.filename) == ("image", "image/jpeg", "graça.jpg")


def test_a_page_that_claims_to_be_a_picture_goes_as_a_plain_file(take):
    row = take(b"<html><script>alert(1)</script></html>", "foto.gif")
    assert row.kind == "file"


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", "empty_file"), (bomb(), "bad_picture"), (picture((900, 900))[:-500], "bad_picture")],
    ids=["empty", "bomb", "broken"],
)
def test_what_is_no_good_is_refused_and_leaves_nothing(take, folder, data, code):
    with pytest.raises(uploads.NotTaken) as refused:
        take(data)
    assert refused.value.code == code
    assert files(folder) == []
    assert not MediaFile.objects.exists()


def test_too_big_for_its_kind_is_refused_with_the_limit(take, folder, monkeypatch):
    caps = uploads.registry.adapter_class("twilio_whatsapp").caps
    monkeypatch.setitem(caps.media, "image", 100)
    with pytest.raises(uploads.NotTaken, match="100") as refused:
        take(picture((300, 300), "PNG", compress_level=0))
    assert refused.value.code == "too_big"
    assert files(folder) == []


def test_more_than_the_channel_ever_takes_is_not_even_kept(take, folder, monkeypatch):
    monkeypatch.setattr(media, "MAX_BYTES", 10)
    with pytest.raises(uploads.NotTaken) as refused:
        take(b"x" * 11)
    assert refused.value.code == "too_big"
    assert files(folder) == []


def test_a_form_that_announces_too_much_is_cut_off_at_once():
    with pytest.raises(RequestDataTooBig):
        uploads.Bounded().handle_raw_input(io.BytesIO(), {}, media.MAX_BYTES + 10**6, b"")


def test_a_type_that_the_channel_never_takes_is_refused(acme, ana):
    teams = new_channel(acme, "twilio_whatsapp")
    caps = uploads.registry.adapter_class("twilio_whatsapp").caps
    with pytest.raises(uploads.NotTaken) as refused:
        uploads.fitting("video", "video/webm", type(caps)(10, media={"image": 1}))
    assert refused.value.code == "type_unsupported"
    assert uploads.carried_by(teams).voice


# ------------------------------------------------------------------ voice
@pytest.mark.parametrize(("container", "codec"), [("webm", "libopus"), ("mp4", "aac")])
def test_a_recording_becomes_what_the_channel_takes(take, tmp_path, folder, container, codec):
    row = take(recording(tmp_path / "r", container, codec), f"nota.{container}", voice=True)
    assert (row.state, row.kind) == ("pending", "voice")
    assert media.by_token(media.public_url(row).rstrip("/").rpartition("/")[2]) is None, (
        "not before it is ready"
    )

    media.fetch(row.pk)
    row = MediaFile.objects.get()
    with row.file.open() as file, av.open(file) as sound:
        [stream] = sound.streams
        assert (sound.format.name, stream.codec_context.name, stream.layout.name) == ("ogg", "opus", "mono")
        assert sound.duration == pytest.approx(1_000_000, abs=100_000)
    assert (row.state, row.mime, row.size) == ("ok", "audio/ogg", row.file.size)
    assert len(files(folder)) == 1, "the recording itself is gone"


@pytest.mark.parametrize("data", [b"no sound at all", PDF, b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"])
def test_a_recording_without_sound_is_unavailable(take, folder, data):
    row = take(data, "nota.webm", voice=True)
    media.fetch(row.pk)

    row = MediaFile.objects.get()
    assert (row.state, row.reason) == ("unavailable", "cannot convert")
    assert files(folder) == []


def test_a_conversion_that_died_is_done_by_the_next_worker(take, tmp_path, monkeypatch):
    row = take(recording(tmp_path / "r"), voice=True)
    assert media._claim(row.pk), "and then it died"
    assert media.fetch(row.pk) is None, "its lease holds"
    MediaFile.objects.update(next_attempt_at=timezone.now())
    assert media.fetch(row.pk).state == "ok"
