"""Public holidays: golden days, names, codes."""

from __future__ import annotations

from datetime import date

import pytest

from queues import public_holidays
from queues.public_holidays import UnknownHolidays


def test_the_days_off_of_brazil_in_2026() -> None:
    found = public_holidays.of("BR", 2026, "pt-br")

    assert {day.strftime("%d/%m"): name for day, name in found.items()} == {
        "01/01": "Confraternização Universal",
        "03/04": "Sexta-feira Santa",
        "21/04": "Tiradentes",
        "01/05": "Dia do Trabalhador",
        "07/09": "Independência do Brasil",
        "12/10": "Nossa Senhora Aparecida",
        "02/11": "Finados",
        "15/11": "Proclamação da República",
        "20/11": "Dia Nacional de Zumbi e da Consciência Negra",
        "25/12": "Natal",
    }


def test_carnival_is_a_custom_and_no_day_off() -> None:
    assert date(2026, 2, 17) not in public_holidays.of("BR", 2026)
    assert date(2026, 6, 4) not in public_holidays.of("BR", 2026)  # Corpus Christi


def test_a_state_has_days_of_its_own() -> None:
    ninth_of_july = date(2026, 7, 9)

    assert public_holidays.of("BR-SP", 2026, "pt-br")[ninth_of_july] == "Revolução Constitucionalista"
    assert ninth_of_july not in public_holidays.of("BR", 2026)
    assert public_holidays.of("BR", 2026).keys() < public_holidays.of("BR-SP", 2026).keys()


def test_easter_moves() -> None:
    good_fridays = [date(2026, 4, 3), date(2027, 3, 26), date(2028, 4, 14)]

    assert all(day in public_holidays.of("BR", day.year) for day in good_fridays)


@pytest.mark.parametrize(
    "code, language, name",
    [
        ("BR", "pt-br", "Natal"), ("BR", "pt", "Natal"), ("BR", "en", "Christmas Day"), ("BR", "es", "Natal"),
        ("BR", "xx", "Natal"), ("BR", "", "Natal"), ("AR", "es", "Navidad"), ("US", "pt-br", "Christmas Day"),
        ("PT", "pt-br", "Dia de Natal"),
    ],
)  # fmt: skip
def test_names_are_in_the_language_that_is_nearest(code: str, language: str, name: str) -> None:
    assert public_holidays.of(code, 2026, language)[date(2026, 12, 25)] == name


@pytest.mark.parametrize("code", ["XX", "br", "BR-", "BR-XX", "-SP", "BR-SP-X", "Brazil", " ", "BRA"])
def test_an_unknown_code_is_refused(code: str) -> None:
    with pytest.raises(UnknownHolidays, match="Write a country as BR"):
        public_holidays.check(code)


def test_no_code_is_no_holiday() -> None:
    public_holidays.check("")

    assert public_holidays.of("", 2026) == {}


def test_brazil_has_27_states() -> None:
    states = dict(public_holidays.states_of_brazil())

    assert len(states) == 27
    assert states["BR-SP"] == "São Paulo"
    assert all(public_holidays.of(code, 2026) for code in states)


def test_a_year_is_worked_out_once() -> None:
    assert public_holidays.of("BR-RJ", 2031, "en") is public_holidays.of("BR-RJ", 2031, "en")
