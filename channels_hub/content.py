"""Fitting content to a channel: measuring, splitting, choosing how to show options, planning the calls."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from channels_hub.vocabulary import Capabilities, MediaRef, Option, OutMessage

_JOINERS = {"\u200d", "\ufe0f", "\ufe0e"}
_BREAKS = tuple(re.compile(pattern) for pattern in (r"\n\s*\n", r"\n", r"[.!?…]\s", r"\s"))
_NO_CAPTION = {"audio", "voice", "sticker"}
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def clean(text: str) -> str:
    """Text without what PostgreSQL cannot store: NUL and lone surrogates."""
    return _UNSTORABLE.sub("\ufffd", text)


def measure(text: str, unit: str) -> int:
    """Length in the channel's own unit: char, utf16 or byte."""
    if unit == "byte":
        return len(text.encode("utf-8", "surrogatepass"))
    if unit == "utf16":
        return len(text.encode("utf-16-le", "surrogatepass")) // 2
    return len(text)


# ------------------------------------------------------------------ splitting
def split_text(text: str, limit: int, unit: str = "char") -> list[str]:
    """Cut at blank line, line end, sentence end, space, then anywhere between visible characters.

    Nothing is lost but the white space at the cut.
    """
    if limit < 8:
        raise ValueError("limit too small")
    pieces: list[str] = []
    rest = text.strip()
    while measure(rest, unit) > limit:
        cut = _cut(rest, _fitting(rest, limit, unit))
        pieces.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*pieces, rest] if rest else pieces


def _fitting(text: str, limit: int, unit: str) -> int:
    """How many characters from the start fit."""
    used = 0
    for index, char in enumerate(text):
        used += measure(char, unit)
        if used > limit:
            return index
    return len(text)


def _cut(text: str, end: int) -> int:
    """The best place to cut at or before `end`."""
    if text[end].isspace():
        return end
    for pattern in _BREAKS:
        places = [found.end() for found in pattern.finditer(text, 0, end)]
        if places and places[-1] >= end // 3:  # an early cut would leave a stub
            return places[-1]
    cut = end
    while cut > 1 and _inside_character(text, cut):
        cut -= 1
    return cut if cut > 1 else end


def _inside_character(text: str, cut: int) -> bool:
    """True when cutting here would split one visible character: accents, emoji sequences, flags."""
    left, right = text[cut - 1], text[cut]
    if right in _JOINERS or left == "\u200d" or unicodedata.combining(right):
        return True
    if "\U0001f3fb" <= right <= "\U0001f3ff":  # skin tones
        return True
    return _is_flag_letter(right) and _flag_letters_before(text, cut) % 2 == 1


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _flag_letters_before(text: str, cut: int) -> int:
    start = cut
    while start and _is_flag_letter(text[start - 1]):
        start -= 1
    return cut - start


# ------------------------------------------------------------------ options
def fit_options(
    options: Sequence[Option], caps: Capabilities, style: str = "auto"
) -> tuple[str, tuple[Option, ...]]:
    """How to show these options here, with titles cut to the limit; "text" means the channel cannot."""
    room = {
        "buttons": (caps.buttons, caps.button_title),
        "list": (caps.list_rows, caps.list_title),
        "quick_replies": (caps.quick_replies, caps.button_title),
    }
    wanted = [style] if style in room else ["buttons", "list", "quick_replies"]
    if style == "auto" and any(option.description for option in options):
        wanted = ["list", "buttons", "quick_replies"]
    for name in dict.fromkeys([*wanted, *room]):
        limit, width = room[name]
        if 0 < len(options) <= limit:
            return name, _fit_titles(options, width)
    return "text", tuple(options)


def _fit_titles(options: Sequence[Option], width: int) -> tuple[Option, ...]:
    """Titles within the width and all different: platforms refuse equal ones."""
    seen: set[str] = set()
    fitted = []
    for option in options:
        title = option.title if len(option.title) <= width else option.title[: width - 1].rstrip() + "…"
        number = 2
        while title in seen:
            tail = f" {number}"
            title, number = option.title[: width - len(tail)].rstrip() + tail, number + 1
        seen.add(title)
        fitted.append(replace(option, title=title))
    return tuple(fitted)


def numbered(text: str, options: Sequence[Option]) -> str:
    """The same options as plain text, for channels without buttons."""
    return "\n".join(filter(None, [text, *(f"{i}. {o.title}" for i, o in enumerate(options, 1))]))


# ------------------------------------------------------------------ planning
def plan_parts(message: OutMessage, caps: Capabilities) -> list[OutMessage]:
    """One message as the platform calls it takes: media first, then text, options on the last text."""
    parts = [_bare(message, template=message.template)] if message.template else _content(message, caps)
    if parts and message.reply_to and (message.template or caps.replies):
        parts[0] = replace(parts[0], reply_to=message.reply_to)
    if len(parts) == 1:
        return parts
    return [replace(part, client_ref=f"{message.client_ref}:{i}") for i, part in enumerate(parts)]


def _content(message: OutMessage, caps: Capabilities) -> list[OutMessage]:
    text, options, style = _with_options(message, caps)
    caption = text if _fits_as_caption(text, message.media, options, caps) else ""
    size = max(1, caps.media_per_message)
    groups = [message.media[i : i + size] for i in range(0, len(message.media), size)]
    parts = [_bare(message, media=group, text=caption) for group in groups]
    pieces = [] if caption else _pieces(text, options, caps)
    parts += [_bare(message, text=piece) for piece in pieces]
    if pieces and options:
        parts[-1] = replace(parts[-1], options=options, options_style=style)
    if message.location:
        parts.append(_bare(message, location=message.location))
    return parts


def _with_options(message: OutMessage, caps: Capabilities) -> tuple[str, tuple[Option, ...], str]:
    text = message.text.strip()
    if not message.options:
        return text, (), "auto"
    style, options = fit_options(message.options, caps, message.options_style)
    if style == "text":
        return numbered(text, options), (), "auto"
    return text or "…", options, style


def _fits_as_caption(
    text: str, media: tuple[MediaRef, ...], options: tuple[Option, ...], caps: Capabilities
) -> bool:
    if not text or not media or options or len(media) > max(1, caps.media_per_message):
        return False
    captionable = not any(item.kind in _NO_CAPTION for item in media)
    return captionable and measure(text, caps.text_unit) <= caps.caption_limit


def _pieces(text: str, options: tuple[Option, ...], caps: Capabilities) -> list[str]:
    pieces = split_text(text, caps.text_limit, caps.text_unit)
    short = caps.options_text_limit
    if options and short and measure(pieces[-1], caps.text_unit) > short:
        pieces[-1:] = split_text(pieces[-1], short, caps.text_unit)
    return pieces


def _bare(message: OutMessage, **content: object) -> OutMessage:
    """The message's envelope with only this content in it."""
    empty = {"text": "", "media": (), "options": (), "location": None, "template": None, "reply_to": ""}
    return replace(message, **{**empty, "options_style": "auto", **content})  # type: ignore[arg-type]


# ------------------------------------------------------------------ numbers
def brazil_variants(digits: str) -> tuple[str, ...]:
    """Both spellings of a Brazilian mobile, with and without the 9; digits only, no plus sign."""
    found = re.fullmatch(r"55([1-9]\d)9?([6-9]\d{7})", digits)
    if not found:
        return (digits,)
    area, local = found.groups()
    return (f"55{area}9{local}", f"55{area}{local}")
