"""Texts that people see, and the catalogues that hold their translations."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from django.utils.translation.template import templatize

Key = tuple[str, str]  # context, msgid
# How many leading arguments name the text, and whether the first one is a context.
FUNCTIONS = {
    "gettext": False, "gettext_lazy": False, "gettext_noop": False, "ngettext": False, "ngettext_lazy": False,
    "pgettext": True, "pgettext_lazy": True, "npgettext": True, "npgettext_lazy": True,
}  # fmt: skip


def texts_of_python(tree: ast.AST, *, names: dict[str, bool] | None = None) -> set[Key]:
    """The msgids of a module: calls of gettext and its kin by whatever name they were imported."""
    known = _aliases(tree) if names is None else names
    found: set[Key] = set()
    for call, has_context in _marked(tree, known):
        texts = [
            arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
        ]
        if has_context and len(texts) > 1:
            found.add((texts[0], texts[1]))
        elif texts and not has_context:
            found.add(("", texts[0]))
    return found


def concatenated(tree: ast.Module) -> set[int]:
    """Lines where a text is built before it is translated: no catalogue can hold it."""
    known = _aliases(tree) or {"_": False}
    return {
        call.lineno
        for call, _ in _marked(tree, known)
        if call.args and isinstance(call.args[0], ast.JoinedStr | ast.BinOp)
    }


def _aliases(tree: ast.AST) -> dict[str, bool]:
    """Local name -> takes a context first."""
    return {
        alias.asname or alias.name: FUNCTIONS[alias.name]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in FUNCTIONS
    }


def _marked(tree: ast.AST, known: dict[str, bool]) -> Iterator[tuple[ast.Call, bool]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in known:
            yield node, known[node.func.id]


CALL = re.compile(r"\b(n?p?gettext|_)\(")
TEMPLATE_NAMES = {"gettext": False, "_": False, "ngettext": False, "pgettext": True, "npgettext": True}


def texts_of_template(text: str, path: str) -> set[Key]:
    """The msgids of a template, by Django's own reading of its tags."""
    code = templatize(text, origin=path)
    found: set[Key] = set()
    for match in CALL.finditer(code):
        found |= texts_of_python(_call_at(code, match.start()), names=TEMPLATE_NAMES)
    return found


def _call_at(code: str, start: int) -> ast.AST:
    """The shortest piece from here that reads as a call; the rest of the line is noise made of X."""
    end = start
    while (end := code.find(")", end) + 1) > 0:
        try:
            return ast.parse(code[start:end].replace("\n", "\\n"))
        except SyntaxError:
            continue
    return ast.Module([], [])


def catalogue(text: str) -> dict[Key, tuple[str, ...]]:
    """A .po file: translations by context and msgid. A fuzzy one counts as empty."""
    found: dict[Key, tuple[str, ...]] = {}
    for block in re.split(r"\n\s*\n", text):
        entry = _entry(block)
        if "msgid" in entry:
            key = (entry.get("msgctxt", ""), entry["msgid"])
            forms = tuple(value for name, value in entry.items() if name.startswith("msgstr"))
            found[key] = tuple("" for _ in forms) if entry.get("fuzzy") else forms
    return found


def _entry(block: str) -> dict[str, str]:
    entry: dict[str, str] = {}
    name = ""
    for line in block.splitlines():
        if line.startswith("#"):
            if line.startswith("#,") and "fuzzy" in line:
                entry["fuzzy"] = "yes"
            continue
        if match := re.match(r"(msgctxt|msgid_plural|msgid|msgstr(?:\[\d+\])?)\s+(\".*\")", line):
            name, quoted = match.groups()
            entry[name] = ""
        else:
            quoted = line.strip()
        if name and quoted:
            entry[name] += ast.literal_eval(quoted)
    return entry
