"""Small flow documents for the tests."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flows.document import Document, parse
from flows.engine import Event, RunState, Turn, step

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def node(name: str, kind: str, **data: Any) -> dict[str, Any]:
    return {"id": name, "type": kind, "data": data}


def edge(source: str, port: str, target: str) -> dict[str, str]:
    return {"from": source, "port": port, "to": target}


def raw(
    *nodes: dict[str, Any], edges: tuple[Any, ...] = (), variables: tuple[str, ...] = ()
) -> dict[str, Any]:
    return {
        "schema": 1,
        "start": nodes[0]["id"] if nodes else "",
        "variables": [{"name": name} for name in variables],
        "nodes": list(nodes),
        "edges": [edge(*each) for each in edges],
    }


def flow(*nodes: dict[str, Any], edges: tuple[Any, ...] = (), variables: tuple[str, ...] = ()) -> Document:
    return parse(raw(*nodes, edges=edges, variables=variables))


def play(
    document: Document, *events: Event, context: Mapping[str, object] | None = None, seed: int = 1
) -> Turn:
    """The last of several turns; the state travels through JSON between them, as in the database."""
    rng, state, turn = random.Random(seed), None, None
    for event in events:
        turn = step(document, state, event, context=context or {}, now=NOW, rng=rng)
        state = RunState.from_json(turn.state.to_json())
    assert turn is not None
    return turn
