"""Which flow a first message starts, and why the others did not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flows.text import fold

# Verdicts, in the order in which a candidate can fall.
OTHER_CHANNEL, NO_MATCH, OUTRANKED, WON = "other_channel", "no_match", "outranked", "won"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A keyword trigger; `account_id` None listens on every channel. Candidates come oldest first."""

    id: str
    flow_id: str
    phrases: tuple[str, ...]
    account_id: str | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    candidate_id: str
    flow_id: str
    verdict: str
    phrase: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    winner: Candidate | None
    reasons: tuple[Reason, ...] = ()


def choose(candidates: Iterable[Candidate], text: str, account_id: str) -> Decision:
    """A trigger of this channel beats one of any channel, a longer phrase a shorter, an older a younger."""
    written = fold(text)
    fitting: list[tuple[tuple[bool, int, int], Candidate, str]] = []
    reasons: list[Reason] = []
    for age, candidate in enumerate(candidates):
        if candidate.account_id not in (None, account_id):
            reasons.append(Reason(candidate.id, candidate.flow_id, OTHER_CHANNEL))
        elif not (phrase := _longest_match(candidate.phrases, written)):
            reasons.append(Reason(candidate.id, candidate.flow_id, NO_MATCH))
        else:
            fitting.append(((candidate.account_id is None, -len(phrase), age), candidate, phrase))
    if not fitting:
        return Decision(None, tuple(reasons))
    fitting.sort(key=lambda entry: entry[0])
    best, winner, phrase = fitting[0]
    reasons.extend(_outranked(key, best, loser, matched) for key, loser, matched in fitting[1:])
    return Decision(winner, (Reason(winner.id, winner.flow_id, WON, phrase), *reasons))


def _longest_match(phrases: Iterable[str], written: str) -> str:
    """The longest phrase that the message is, or that stands in it as whole words."""
    padded = f" {_words(written)} "
    matches = (plain for phrase in phrases if (plain := fold(phrase)) and _stands_in(plain, written, padded))
    return max(matches, key=len, default="")


def _stands_in(phrase: str, written: str, padded: str) -> bool:
    words = _words(phrase)
    return phrase == written or bool(words and f" {words} " in padded)


def _words(text: str) -> str:
    """Only letters and digits, single-spaced: 'oi,tudo-bem?' is 'oi tudo bem'."""
    return " ".join("".join(c if c.isalnum() else " " for c in text).split())


def _outranked(
    key: tuple[bool, int, int], best: tuple[bool, int, int], loser: Candidate, phrase: str
) -> Reason:
    details = ("the winner is for this channel", "the winner's phrase is longer", "the winner is older")
    decided = next(place for place in range(3) if key[place] != best[place])
    return Reason(loser.id, loser.flow_id, OUTRANKED, phrase, details[decided])
