"""How many segments a text message takes: carriers count, and charge, in segments of 140 bytes.

Basic and extended table of GSM 03.38. One letter outside both, `ã` for instance, makes the whole text UCS-2.
"""

from __future__ import annotations

from dataclasses import dataclass

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")
GSM7, UCS2 = "GSM-7", "UCS-2"
ALONE, JOINED = {GSM7: 160, UCS2: 70}, {GSM7: 153, UCS2: 67}


@dataclass(frozen=True, slots=True)
class Count:
    """What the text takes, in the units of its alphabet."""

    encoding: str
    units: int
    segments: int


def count(text: str) -> Count:
    """Segments of a text message; none for an empty text. A letter is never cut in two."""
    plain = all(char in _BASIC or char in _EXTENDED for char in text)
    encoding = GSM7 if plain else UCS2
    widths = [_width(char, encoding) for char in text]
    units = sum(widths)
    if units <= ALONE[encoding]:
        return Count(encoding, units, min(units, 1))
    segments, used = 1, 0
    for width in widths:
        used += width
        if used > JOINED[encoding]:
            segments, used = segments + 1, width
    return Count(encoding, units, segments)


def _width(char: str, encoding: str) -> int:
    """Septets for GSM-7 (an extended letter takes an escape), 16-bit units for UCS-2."""
    wide = char in _EXTENDED if encoding == GSM7 else ord(char) > 0xFFFF
    return 2 if wide else 1
