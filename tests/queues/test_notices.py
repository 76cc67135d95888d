"""The placeholders of notices: filled once, left out with their sentence when nobody knows the value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queues import notices


@pytest.mark.parametrize(
    "text, values, read",
    [
        ("Olá!", {}, "Olá!"),
        ("Você é o nº {position}.", {"position": "3"}, "Você é o nº 3."),
        ("Um momento. Cerca de {expected_wait}.", {"expected_wait": ""}, "Um momento."),
        ("Cerca de {expected_wait}. Obrigado!", {}, "Obrigado!"),
        ("Fila {queue}: nº {position}.\nAté já.", {"queue": "VIP"}, "Até já."),
        ("{queue}", {"queue": "{position}"}, "{position}"),
        ("v. 2.5 {position}.", {"position": "1"}, "v. 2.5 1."),
    ],
)
def test_a_notice_is_filled(text: str, values: dict[str, str], read: str) -> None:
    assert notices.fill(text, values) == read


def test_what_is_no_placeholder_is_found() -> None:
    assert notices.unknown("{position} {name} {{queue}} {}") == ["", "name"]
    assert notices.wanted("{position} {name}") == {"position"}


@given(st.text())
def test_a_text_without_placeholders_stays_as_it_is(text: str) -> None:
    bare = text.replace("{", "(")
    assert notices.fill(bare, {}) == bare.strip()


@given(st.text(alphabet="ab.! \n{}_positn", max_size=60))
def test_no_placeholder_without_a_value_is_ever_said(text: str) -> None:
    assert "{position}" not in notices.fill(text, {})
