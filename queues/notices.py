"""What a queue tells a customer: sentences with a few known placeholders. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

KNOWN = ("position", "expected_wait", "next_open", "queue")
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# A sentence with what follows it up to the next one: the text is put together again as it was.
SENTENCE = re.compile(r".+?(?:[.!?…]+(?=\s|$)\s*|\n+|$)", re.DOTALL)


def wanted(text: str) -> frozenset[str]:
    """The known placeholders of a text."""
    return frozenset(PLACEHOLDER.findall(text)) & set(KNOWN)


def unknown(text: str) -> list[str]:
    """What stands in braces and is no placeholder."""
    return sorted(set(PLACEHOLDER.findall(text)) - set(KNOWN))


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with its placeholders filled in.

    A sentence that needs a value we do not have is left out: no promise is better than a guess. Values are
    put in once and never read again, so a queue named "{position}" stays that.
    """
    kept = [s for s in SENTENCE.findall(text) if all(values.get(name) for name in wanted(s))]
    return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), "".join(kept)).strip()
