"""Pages: nothing inline, nothing unescaped, no text turned into markup outside the listed scripts."""

from __future__ import annotations

from tests.house.pages import html_sinks, not_in_a_template
from tests.house.tree import files, relative, said


def test_templates_hold_no_inline_script_style_or_unescaped_text() -> None:
    found = [
        f"{relative(path)}:{line}: {what}"
        for path in files(".html", ".txt")
        if "templates/" in relative(path) and not relative(path).startswith("templates/admin/")
        for what, line in not_in_a_template(path.read_text())
    ]
    assert not found, said(
        "Put script and style into static/ (the content security policy runs nothing inline), pass data by "
        "data-attributes or json_script, and let Django escape the rest.",
        found,
    )


def test_admin_templates_escape_too() -> None:
    found = [
        f"{relative(path)}:{line}: {what}"
        for path in files(".html")
        if relative(path).startswith("templates/admin/")
        for what, line in not_in_a_template(path.read_text())
        if what in {"unescaped output", "inline handler", "inline script", "script address"}
    ]
    assert not found, said("Inline styles are allowed here (Unfold needs them); the rest is not.", found)


# Scripts that swap in a fragment which the server rendered and escaped.
SWAPS = {
    "static/simulator/simulator.js": "the chat fragment of simulator/_chat.html",
    "static/inbox/morph.js": "fragments of inbox, board and wall from the socket or its fallback",
    "static/inbox/inbox.js": "rows of the list from /inbox/rows/",
    "static/inbox/composer.js": "the bubble that /reply/ answers with",
}


def test_scripts_make_no_markup_of_text() -> None:
    found = [
        f"{relative(path)}:{line}"
        for path in files(".js")
        if relative(path) not in SWAPS
        for line in html_sinks(path.read_text())
    ]
    assert not found, said("Use textContent, or swap in a fragment that the server rendered.", found)
