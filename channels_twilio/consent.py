"""Who wants to hear no more: Twilio's own verdict, else the whole text is one of the words for it.

https://help.twilio.com/articles/223134027 (words that carriers require); in Brazil the words are ours.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from channels_hub.contract import InboundEvent, Kind

STOP = frozenset({"sair", "parar", "cancelar", "stop"})
STOP_OF_CARRIERS = frozenset(
    {"stopall", "unsubscribe", "cancel", "end", "quit", "optout", "opt out", "revoke"}
)
START = frozenset({"start", "unstop", "iniciar"})
VERDICTS: Mapping[str, Kind] = {"STOP": Kind.OPT_OUT, "START": Kind.OPT_IN}


def wish_of(
    form: Mapping[str, str], message: InboundEvent, *, stop: frozenset[str], start: frozenset[str]
) -> Kind | None:
    """OPT_OUT, OPT_IN or neither. A tapped button is an answer to our question, whatever its title says."""
    if verdict := form.get("OptOutType"):
        return VERDICTS.get(verdict.upper())
    if message.choice or message.media:
        return None
    words = _plain(message.text)
    if words in stop:
        return Kind.OPT_OUT
    return Kind.OPT_IN if words in start else None


def _plain(text: str) -> str:
    """Small letters without accents, end marks and surplus spaces."""
    if len(text) > 40:
        return ""
    letters = unicodedata.normalize("NFKD", text.casefold())
    kept = "".join(char for char in letters if not unicodedata.combining(char))
    return " ".join(kept.strip(" \t\r\n.!\"'").split())
