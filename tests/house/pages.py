"""What templates and scripts must not hold."""

from __future__ import annotations

import re
from collections.abc import Iterator

COMMENT = re.compile(r"{#.*?#}|{%\s*comment\b.*?{%\s*endcomment\s*%}", re.S)
FORBIDDEN = {
    "inline script": re.compile(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>", re.I),
    "inline style block": re.compile(r"<style\b", re.I),
    "inline style": re.compile(r"<[^>]*\sstyle\s*=", re.I),
    "inline handler": re.compile(r"<[^>]*\son[a-z]+\s*=\s*[\"'{]", re.I),
    "script address": re.compile(r"javascript:", re.I),
    "unescaped output": re.compile(r"\|\s*safe(?![\w])|\|\s*safeseq(?![\w])|{%\s*autoescape\s+off"),
}
HTML_SINKS = re.compile(
    r"\.(innerHTML|outerHTML)\s*\+?=(?!=)|insertAdjacentHTML|document\.write\(|\beval\(|new Function\("
)
JS_COMMENT = re.compile(r"/\*.*?\*/|(?<!:)//[^\n]*", re.S)


def not_in_a_template(text: str) -> Iterator[tuple[str, int]]:
    """(what, line) of everything that the content security policy or escaping would have to save us from."""
    text = COMMENT.sub(_blank, text)
    for what, pattern in FORBIDDEN.items():
        for match in pattern.finditer(text):
            yield what, text.count("\n", 0, match.start()) + 1


def html_sinks(text: str) -> Iterator[int]:
    """Lines of a script where text becomes markup."""
    text = JS_COMMENT.sub(_blank, text)
    for match in HTML_SINKS.finditer(text):
        yield text.count("\n", 0, match.start()) + 1


def _blank(match: re.Match[str]) -> str:
    """Comments go, their lines stay: the numbers still fit."""
    return "\n" * match[0].count("\n")
