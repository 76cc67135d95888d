"""Plays a conversation against a flow without anybody being written to."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from flows.document import Document
from flows.engine import EMPTY, Event, HandoffRefused, Heard, RunState, Started, TimedOut, Turn, step
from flows.text import clean

MAX_EVENTS = 200


class BadEvent(ValueError):
    """An event that the simulation does not understand."""


def simulate(
    document: Document,
    events: Iterable[Mapping[str, Any]],
    *,
    now: datetime,
    seed: int = 0,
    context: Mapping[str, object] = EMPTY,
) -> dict[str, Any]:
    """What the flow would say and do; the same arguments give the same answer.

    An event is {"type": "started"|"heard"|"timed_out"|"handoff_refused"} with the fields of its class in
    flows.engine; `heard` also takes one "text", `timed_out` without "node" means the node that waits.
    A run that nobody started is started first. Raises BadEvent.
    """
    rng, state, turns = random.Random(seed), None, []
    given = list(events)
    if len(given) > MAX_EVENTS:
        raise BadEvent(f"at most {MAX_EVENTS} events")
    if not given or not (isinstance(given[0], Mapping) and given[0].get("type") == "started"):
        given.insert(0, {"type": "started"})
    for raw in given:
        turn = step(document, state, read_event(raw, state), context=context, now=now, rng=rng)
        state = turn.state
        turns.append({"event": dict(raw), **describe(turn)})
    return {"seed": seed, "now": now.isoformat(), "turns": turns, "state": state.to_json() if state else None}


def read_event(raw: object, state: RunState | None) -> Event:
    if not isinstance(raw, Mapping):
        raise BadEvent("an event is an object with a type")
    match raw.get("type"):
        case "started":
            return Started(_text(raw, "trigger"))
        case "heard":
            texts = _texts(raw, "texts") or ((_text(raw, "text"),) if raw.get("text") else ())
            return Heard(texts, _text(raw, "choice_id"), _text(raw, "choice_title"), _texts(raw, "kinds"))
        case "timed_out":
            return TimedOut(_text(raw, "node") or (state.node if state else ""))
        case "handoff_refused":
            return HandoffRefused(_text(raw, "port"))
    raise BadEvent("the type of an event is started, heard, timed_out or handoff_refused")


def _text(raw: Mapping[str, Any], name: str) -> str:
    value = raw.get(name, "")
    if not isinstance(value, str):
        raise BadEvent(f"'{name}' is a text")
    return clean(value)


def _texts(raw: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = raw.get(name, ())
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise BadEvent(f"'{name}' is a list of texts")
    return tuple(clean(item) for item in value)


def describe(turn: Turn) -> dict[str, Any]:
    """A turn as JSON: effects carry their kind in `type`."""
    return {
        "effects": [{"type": _kind(effect), **_plain(asdict(effect))} for effect in turn.effects],
        "trace": [passed.to_json() for passed in turn.trace],
        "phase": turn.state.phase,
        "node": turn.state.node,
        "variables": dict(turn.state.variables),
    }


def _kind(effect: object) -> str:
    names = {"Say": "say", "HandOff": "hand_off", "Close": "close", "Wait": "wait", "Failed": "failed"}
    return names[type(effect).__name__]


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Tuples and sets as lists; options by name."""
    if "options" in fields:
        fields["options"] = [{"id": key, "title": title} for key, title in fields["options"]]
    if "ports" in fields:
        fields["ports"] = sorted(fields["ports"])
    return fields
