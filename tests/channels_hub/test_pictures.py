"""Pictures: small ones for the page, clean ones for the customer, and none that would fill the memory."""

import io

import pytest
from PIL import Image

from channels_hub import pictures
from tests.channels_hub.files import bomb, photo, picture


def opened(data):
    return Image.open(io.BytesIO(data))


def test_a_thumbnail_is_small_and_upright():
    small = opened(pictures.thumbnail(io.BytesIO(photo((2000, 1000)))))

    assert small.format == "WEBP"
    assert small.size == (320, 640)
    assert not small.getexif()


def test_a_small_picture_is_its_own_thumbnail():
    assert pictures.thumbnail(io.BytesIO(picture())) == b""


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<svg/>", picture((900, 900))[:-200], bomb(), b"%PDF-1.4"])
def test_what_cannot_be_read_is_no_picture(data):
    with pytest.raises(pictures.NotAPicture):
        pictures.thumbnail(io.BytesIO(data))
    with pytest.raises(pictures.NotAPicture):
        pictures.cleaned(io.BytesIO(data))


def test_a_bomb_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("unpacked"))
    with pytest.raises(pictures.NotAPicture, match="too many pixels"):
        pictures.thumbnail(io.BytesIO(bomb(8000)))


def test_a_photo_loses_place_and_camera_and_stands_upright():
    before = photo((80, 60))
    data, mime = pictures.cleaned(io.BytesIO(before))

    assert b"CameraMaker" in before
    assert b"CameraMaker" not in data
    assert not opened(data).getexif()
    assert (mime, opened(data).size) == ("image/jpeg", (60, 80))


def test_what_hides_behind_a_picture_is_gone():
    data, _mime = pictures.cleaned(
        io.BytesIO(picture(format="JPEG") + b"PK\x03\x04<script>alert(1)</script>")
    )
    assert b"script" not in data


@pytest.mark.parametrize(
    ("colour", "mime"), [("red", "image/jpeg"), ((9, 9, 9, 99), "image/png")], ids=["opaque", "see-through"]
)
def test_a_type_that_the_channel_does_not_take_is_changed(colour, mime):
    webp = picture(format="WEBP", colour=colour, lossless=True)
    assert pictures.cleaned(io.BytesIO(webp))[1] == "image/webp"
    assert pictures.cleaned(io.BytesIO(webp), ("image/jpeg", "image/png"))[1] == mime


def test_an_animation_stays_as_it_is():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert pictures.cleaned(buffer) is None
