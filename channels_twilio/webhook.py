"""Reading Twilio's form posts: people, files, answers, ads."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl

from channels_hub.contract import (
    Address,
    BadPayload,
    Choice,
    Identity,
    Location,
    MediaRef,
    RawRequest,
    brazil_variants,
    clean,
)

MAX_FIELDS = 1000
_PHONE = re.compile(r"\+\d{5,20}")
_BSUID = re.compile(r"[A-Z]{2}\.(?!ENT\.)[A-Za-z0-9]{1,128}")  # enterprise ids cannot be written to
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
PREFIX = "whatsapp:"
_PLATFORM = re.compile(r"[a-z]+:")
_NUMBER = re.compile(r"\+?\d+")
REFERRAL = {
    "ReferralBody": "body", "ReferralHeadline": "headline", "ReferralSourceId": "source_id",
    "ReferralSourceType": "source_type", "ReferralSourceUrl": "source_url", "ReferralMediaUrl": "media_url",
    "ReferralMediaContentType": "media_mime", "ReferralCtwaClid": "click_id",
}  # fmt: skip


# ------------------------------------------------------------------ forms
def is_json(request: RawRequest) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def pairs(body: bytes, errors: str) -> list[tuple[str, str]]:
    """The form in order, blank values included: Twilio signs those too."""
    text = body.decode("utf-8", errors)
    return parse_qsl(text, keep_blank_values=True, errors=errors, max_num_fields=MAX_FIELDS)


def form_of(request: RawRequest) -> dict[str, str]:
    """The form as text; a name that comes twice counts once."""
    try:
        return {name: clean(value) for name, value in pairs(request.body, "strict")}
    except ValueError as error:  # UnicodeDecodeError is one
        raise BadPayload("the form is not UTF-8 or has too many fields") from error


# ------------------------------------------------------------------ people
def address_of(raw: str) -> Address:
    """`whatsapp:+55…` or `whatsapp:BR.…`; what came is kept for the way back."""
    bare = raw.removeprefix(PREFIX)
    if _PHONE.fullmatch(bare):
        return Address("phone", bare, raw)
    return Address("bsuid" if _BSUID.fullmatch(bare) else "ext", bare, raw)


def prefix_of(raw: str) -> str:
    """The platform that an address is on: `whatsapp:`, `rcs:`; nothing for a telephone number."""
    found = _PLATFORM.match(raw)
    return found.group() if found else ""


def same_number(one: str, other: str) -> bool:
    """Whether two spellings are one sender, Brazil's ninth digit aside; names are compared as they are."""
    if not (_NUMBER.fullmatch(one) and _NUMBER.fullmatch(other)):
        return one.casefold() == other.casefold()
    spellings = [set(brazil_variants(re.sub(r"\D", "", number))) for number in (one, other)]
    return not spellings[0].isdisjoint(spellings[1])


def sender_of(form: Mapping[str, str]) -> Identity:
    """Who wrote, with every address that Twilio vouches for."""
    if not form.get("From"):
        raise BadPayload("no From")
    first = address_of(form["From"])
    found = [first]
    if other := form.get("ExternalUserId"):
        found.append(address_of(other))
    wa_id = form.get("WaId", "")
    if wa_id.isdecimal() and same_number(wa_id, first.value):
        found.append(Address("phone", f"+{wa_id}", f"{PREFIX}+{wa_id}"))
    unique: dict[tuple[str, str], Address] = {}
    for one in found:
        unique.setdefault((one.scheme, one.value), one)
    return Identity(
        addresses=tuple(unique.values()),
        name=form.get("ProfileName", ""),
        phone=first.value if first.scheme == "phone" else "",
        extra={"wa_id": wa_id} if wa_id else {},
    )


# ------------------------------------------------------------------ content
def text_of(form: Mapping[str, str]) -> str:
    """The body; long ones have been seen base64-encoded."""
    body = form.get("Body", "")
    if len(body) <= 40 or len(body) % 4 or not _BASE64.fullmatch(body):
        return body
    try:
        decoded = base64.b64decode(body, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return body
    printable = all(char.isprintable() or char in "\r\n\t" for char in decoded)
    return decoded if printable else body


def media_of(form: Mapping[str, str]) -> Iterator[MediaRef]:
    count = form.get("NumMedia", "0")
    for index in range(min(int(count), 10) if count.isdecimal() else 0):
        url, mime = form.get(f"MediaUrl{index}", ""), form.get(f"MediaContentType{index}", "")
        if url:
            kind = media_kind(mime, form.get("MessageType", ""))
            name = "contact.vcf" if mime.lower() in {"text/vcard", "text/x-vcard"} else ""
            yield MediaRef(kind=kind, mime=mime, url=url, filename=name)


def media_kind(mime: str, message_type: str) -> str:
    family = mime.partition("/")[0].lower()
    if family == "image":
        return "sticker" if message_type == "sticker" else "image"
    if family == "audio":
        return "voice" if mime.lower().startswith("audio/ogg") else "audio"
    return "video" if family == "video" else "file"


def location_of(form: Mapping[str, str]) -> Location | None:
    try:
        latitude, longitude = float(form["Latitude"]), float(form["Longitude"])
    except (KeyError, ValueError):
        return None
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):  # also false for nan
        return None
    return latitude, longitude, form.get("Label") or form.get("Address", "")


def choice_of(form: Mapping[str, str]) -> Choice | None:
    """Which button or row was tapped."""
    source = form.get("OriginalRepliedMessageSid", "")
    if payload := form.get("ListId"):
        title = form.get("ListTitle") or form.get("Body", "")
        data = {"description": form["ListDescription"]} if form.get("ListDescription") else {}
        return Choice(payload, title, "list", data, source)
    if payload := form.get("ButtonPayload"):
        return Choice(payload, form.get("ButtonText") or form.get("Body", ""), "button", {}, source)
    if flow := form.get("InteractiveData") or form.get("FlowData"):
        return Choice("form", form.get("Body", ""), "form", {"json": flow}, source)
    return None


def referral_of(form: Mapping[str, str]) -> dict[str, str]:
    return {ours: form[theirs] for theirs, ours in REFERRAL.items() if form.get(theirs)}
