"""Canonical forms of addresses: when are two spellings the same person?"""

from __future__ import annotations

import re

import phonenumbers

_BRAZIL_MOBILE = re.compile(r"55([1-9]\d)9?([6-9]\d{7})")


class InvalidAddress(ValueError):
    """The text is no address of this scheme."""


def phone_digits(text: str, region: str = "BR") -> str:
    """A phone number as E.164 digits without the plus: 5511999999999.

    Raises InvalidAddress when it can't be a number. Numbers without a country code are read as `region`.
    """
    text = text.strip()
    digits = re.sub(r"\D", "", text)
    guess = text if text.startswith("+") or len(digits) < 12 else f"+{digits}"
    try:
        number = phonenumbers.parse(guess, None if guess.startswith("+") else region)
    except phonenumbers.NumberParseException as error:
        raise InvalidAddress(f"not a phone number ({error.error_type})") from error
    if not phonenumbers.is_possible_number(number):
        raise InvalidAddress("not a possible phone number")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")


def canonical(scheme: str, value: str) -> str:
    """The stored form: `+digits` for phones, lower case for e-mail, the exact text otherwise."""
    match scheme:
        case "phone":
            return f"+{phone_digits(value)}"
        case "email":
            return value.strip().lower()
        case _:
            return value.strip()


def equivalence(scheme: str, value: str) -> str:
    """The key that all spellings of one address share.

    WhatsApp ids of Brazilian mobiles made before 2016 may lack the ninth digit; both spellings are one
    person. Landlines (local numbers starting with 2-5) stay as they are. Mexico's 521 and Argentina's
    549 are folded the same way.
    """
    stored = canonical(scheme, value)
    if scheme != "phone":
        return stored
    digits = stored.removeprefix("+")
    if match := _BRAZIL_MOBILE.fullmatch(digits):
        return f"+55{match[1]}9{match[2]}"
    if digits.startswith("521") and len(digits) == 13:
        return f"+52{digits[3:]}"
    if digits.startswith("549") and len(digits) == 13:
        return f"+54{digits[3:]}"
    return stored
