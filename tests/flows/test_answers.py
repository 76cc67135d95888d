from datetime import UTC, datetime

import pytest

from flows.answers import read, rule_holds
from flows.document import Rule
from flows.text import clean, fold

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def answer(kind, *texts, kinds=()):
    return read(kind, texts, kinds, NOW)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("12345", "12345"),
        ("00123", "00123"),
        (" #12345 ", "12345"),
        ("nº 98", "98"),
        ("R$ 1.234,56", "1234.56"),
        ("1,234.56", "1234.56"),
        ("1.234", "1234"),
        ("1.5", "1.5"),
        ("1,5", "1.5"),
        ("-3", "-3"),
        ("１２３", "123"),
        ("42.", "42"),
        ("banana", None),
        ("12 34", None),
        ("12a", None),
        ("1e5", None),
        ("1.2.3", None),
        ("١٢٣", None),
        ("", None),
        ("9" * 40, None),
    ],
)
def test_numbers_are_read_as_brazilians_write_them(written, kept):
    assert answer("number", written) == kept


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("20/11/2026", "2026-11-20"),
        ("5/3/26", "2026-03-05"),
        ("5-3", "2026-03-05"),
        ("2026-12-24", "2026-12-24"),
        ("Amanhã", "2026-11-21"),
        ("ontem", "2026-11-19"),
        ("31/02/2026", None),
        ("32/01/2026", None),
        ("logo", None),
    ],
)
def test_dates_are_kept_as_iso(written, kept):
    assert answer("date", written) == kept


@pytest.mark.parametrize("written", ["ana@exemplo.com.br", " ana.b+c@x.io. "])
def test_an_email_is_recognised(written):
    assert answer("email", written) == written.strip(" .")


@pytest.mark.parametrize("written", ["ana", "ana@", "@x.io", "ana@x", "a b@x.io", "a@b@c.io"])
def test_what_is_no_email_is_refused(written):
    assert answer("email", written) is None


def test_a_phone_is_digits_with_an_optional_plus():
    assert answer("phone", "+55 (11) 99999-0000") == "+5511999990000"
    assert answer("phone", "123") is None
    assert answer("phone", "11999990000\n11888880000") is None


def test_several_messages_are_one_text_and_the_newest_number():
    assert answer("text", "o produto", "chegou quebrado") == "o produto\nchegou quebrado"
    assert answer("number", "1", "2") == "2"


def test_a_photo_answers_a_question_that_takes_anything():
    assert answer("any", kinds=("image",)) == "[image]"
    assert answer("text", kinds=("image",)) is None


@pytest.mark.parametrize(
    ("op", "value", "actual", "holds"),
    [
        ("equals", "não", "NAO ", True),
        ("equals", 10, "10.0", True),
        ("equals", "10", "010", True),
        ("equals", "", None, True),
        ("not_equals", "a", "b", True),
        ("contains", "BOLETO", "quero o boleto", True),
        ("starts_with", "quero", "Quero o boleto", True),
        ("greater", 9, "10", True),
        ("greater", "9", "abc", True),
        ("greater", 9, None, False),
        ("less", "2026-12-01", "2026-11-20", True),
        ("is_empty", None, "  ", True),
        ("is_not_empty", None, 0, True),
        ("matches_any", ("sim", "ok"), "OK!", True),
        ("matches_any", ("sim", "ok"), "talvez", False),
    ],
)
def test_rules_compare_as_people_would(op, value, actual, holds):
    rule = Rule(variable="x", op=op, value=value)
    assert rule_holds(rule, actual, lambda text: text) is holds


def test_folding_keeps_what_matters():
    assert fold("  Segunda   VIA! ") == "segunda via"
    assert fold("Ação") == "acao"
    assert fold("3️⃣") == "3"
    assert fold("?!") == "?!"


def test_cleaning_removes_what_postgresql_refuses():
    assert clean("a\x00b") == "ab"
    assert clean("é\ud83d") == "é"
    assert clean("👍") == "👍"
