"""What the pages of the simulator accept."""

from __future__ import annotations

from io import BytesIO
from typing import Any
from uuid import UUID

import puremagic
from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from channels_hub.simulator.platform import MAX_LATENCY_MS, Failure

MAX_TEXT = 4096
MAX_PHOTO = 1024 * 1024
PHOTO_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
PLACES = {
    "paulista": {"latitude": -23.561414, "longitude": -46.655881, "label": "Avenida Paulista, São Paulo"},
    "maracana": {"latitude": -22.912167, "longitude": -43.230194, "label": "Maracanã, Rio de Janeiro"},
    "pelourinho": {"latitude": -12.971111, "longitude": -38.510833, "label": "Pelourinho, Salvador"},
}


class PhoneForm(forms.Form):
    name = forms.CharField(max_length=60, required=False, strip=True)


class PhoneSwitches(forms.Form):
    receives = forms.BooleanField(required=False)
    reads = forms.BooleanField(required=False)
    always_on = forms.BooleanField(required=False)


class PlatformSwitches(forms.Form):
    latency_ms = forms.IntegerField(min_value=0, max_value=MAX_LATENCY_MS)
    failure = forms.ChoiceField(choices=Failure.choices)
    failures_left = forms.IntegerField(min_value=1, max_value=1000, required=False)


class MessageForm(forms.Form):
    """One of text, tapped option (`<message id>:<option id>`), place and photo."""

    text = forms.CharField(max_length=MAX_TEXT, required=False, strip=True)
    choice = forms.CharField(max_length=300, required=False)
    place = forms.ChoiceField(
        choices=[("", "")] + [(key, place["label"]) for key, place in PLACES.items()], required=False
    )
    photo = forms.FileField(required=False)

    def clean_choice(self) -> tuple[UUID, str] | None:
        """The message that offered it and the option's id."""
        message_id, _colon, option_id = self.cleaned_data["choice"].partition(":")
        try:
            return (UUID(message_id), option_id) if message_id else None
        except ValueError as error:
            raise ValidationError(_("This option is not on offer any more.")) from error

    def clean_photo(self) -> tuple[bytes, str] | None:
        """The bytes and their type, judged by the bytes."""
        file = self.cleaned_data["photo"]
        return _picture(file) if file else None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors and not any(cleaned.values()):
            raise ValidationError(_("Write something first."))
        return cleaned


def _picture(file: UploadedFile) -> tuple[bytes, str]:
    if (file.size or 0) > MAX_PHOTO:
        raise ValidationError(_("The photo is larger than 1 MB."))
    content = file.read()
    try:
        kind = puremagic.from_stream(BytesIO(content), mime=True)
    except (puremagic.PureError, ValueError):
        kind = ""
    if kind not in PHOTO_TYPES:
        raise ValidationError(_("Only JPEG, PNG, GIF and WebP pictures can be sent."))
    return content, kind
