"""How many segments a text takes, by the tables of GSM 03.38."""

import pytest

from channels_hub.segments import GSM7, UCS2, Count, count


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Count(GSM7, 0, 0)),
        ("a" * 160, Count(GSM7, 160, 1)),
        ("a" * 161, Count(GSM7, 161, 2)),
        ("a" * 306, Count(GSM7, 306, 2)),
        ("a" * 307, Count(GSM7, 307, 3)),
        ("à é ù ì ò Ç É ñ ü\n", Count(GSM7, 18, 1)),
        ("€" * 80, Count(GSM7, 160, 1)),
        ("€" * 81, Count(GSM7, 162, 2)),
        ("ã" * 70, Count(UCS2, 70, 1)),
        ("ã" * 71, Count(UCS2, 71, 2)),
        ("Olá, você já viu?", Count(UCS2, 17, 1)),
        ("👋" * 35, Count(UCS2, 70, 1)),
        ("👋" * 36, Count(UCS2, 72, 2)),
    ],
)
def test_segments(text, expected):
    assert count(text) == expected


@pytest.mark.parametrize("letter", ["á", "ê", "ç", "í", "ó", "õ", "Ã"])
def test_letters_that_halve_the_room(letter):
    assert count(letter).encoding == UCS2


def test_no_letter_is_cut_in_two():
    assert count("a" * 152 + "€" + "a" * 152).segments == 3  # the euro's two septets move on together
    assert count("ã" * 66 + "👋" + "ã" * 66).segments == 3
