"""How what people write is compared: without case, accents, emphasis or outer punctuation."""

from __future__ import annotations

import re
import unicodedata

SPACES = re.compile(r"\s+")
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)
# No customer's line is longer than this on any platform; what is longer only costs time to fold.
LONGEST = 5000


def fold(text: object) -> str:
    """'  Segunda VIA! ' and 'segunda via' are the same; so are '1️⃣' and '1'."""
    if text is None:
        return ""
    plain = str(text)[:LONGEST]
    if not plain.isascii():
        plain = "".join(c for c in unicodedata.normalize("NFKD", plain) if unicodedata.category(c)[0] != "M")
    return strip_punctuation(SPACES.sub(" ", plain.casefold()))


def strip_punctuation(text: str) -> str:
    """Cut what stands around the first and the last letter or digit; keep a text made of signs only."""
    start, end = 0, len(text)
    while start < end and not text[start].isalnum():
        start += 1
    while end > start and not text[end - 1].isalnum():
        end -= 1
    return text[start:end] or text.strip()


def number(value: object) -> float | None:
    """The number a value stands for, None when it is not one."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    written = str(value).strip()[:40]
    return float(written) if NUMBER.fullmatch(written) else None


def clean(text: str) -> str:
    """Without what PostgreSQL's JSON refuses: NUL and halves of surrogate pairs."""
    if text.isascii():
        return text.replace("\x00", "") if "\x00" in text else text
    return text.encode("utf-8", "ignore").decode().replace("\x00", "")
