"""Every text that people see exists in Portuguese and Spanish, and the compiled catalogues are up to date."""

from __future__ import annotations

import gettext
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.utils.translation import to_locale

from tests.house import wording
from tests.house.tree import ROOT, files, places, relative, said, shipped

# The texts themselves are English.
LOCALES = [to_locale(code) for code, _ in settings.LANGUAGES if code != "en"]
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*\}")


def texts() -> dict[wording.Key, str]:
    """Every marked text of the product and one place where it stands."""
    found: dict[wording.Key, str] = {}
    for source in shipped():
        found |= dict.fromkeys(wording.texts_of_python(source.tree), source.path)
    for path in files(".html", ".txt"):
        if "templates/" in relative(path):
            found |= dict.fromkeys(
                wording.texts_of_template(path.read_text(), relative(path)), relative(path)
            )
    return found


def po(locale: str) -> Path:
    path = ROOT / "locale" / locale / "LC_MESSAGES" / "django.po"
    if not path.exists():
        pytest.fail(f"There is no {relative(path)}: run `manage.py makemessages -l {locale}`.")
    return path


@pytest.mark.parametrize("locale", LOCALES)
def test_no_translation_is_missing(locale: str) -> None:
    known = wording.catalogue(po(locale).read_text())
    found = sorted(
        f"{where}: {key[1]!r}" for key, where in texts().items() if not known.get(key) or "" in known[key]
    )
    assert not found, said(
        f"Run `manage.py makemessages -l {locale}` and translate {len(found)} texts.", found
    )


@pytest.mark.parametrize("locale", LOCALES)
def test_a_translation_keeps_the_placeholders(locale: str) -> None:
    found = [
        f"{msgid!r} -> {form!r}"
        for (_, msgid), forms in wording.catalogue(po(locale).read_text()).items()
        for form in forms
        if msgid and form and not set(PLACEHOLDER.findall(form)) <= set(PLACEHOLDER.findall(msgid))
    ]
    assert not found, said("Use the placeholders of the original and no others.", found)


@pytest.mark.parametrize("locale", LOCALES)
def test_the_compiled_catalogue_is_up_to_date(locale: str) -> None:
    path = po(locale).with_suffix(".mo")
    assert path.exists(), "Run `manage.py compilemessages` and keep the .mo beside the .po."
    with path.open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    found = [
        repr(msgid)
        for (context, msgid), forms in wording.catalogue(po(locale).read_text()).items()
        if msgid and forms[0] and len(forms) == 1
        if (compiled.pgettext(context, msgid) if context else compiled.gettext(msgid)) != forms[0]
    ]
    assert not found, said("Run `manage.py compilemessages` and keep the .mo beside the .po.", found)


def test_texts_are_translated_whole() -> None:
    found = places(wording.concatenated, shipped())
    assert not found, said(
        'Write _("... %(name)s ...") % {"name": name}: a built text is in no catalogue.', found
    )
