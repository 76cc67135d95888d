"""Steps of the flow engine per second in one process."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime

from bench.kit import Gate, Report, Size, median
from flows import demo
from flows.document import Document, parse
from flows.engine import Heard, RunState, Started, step

TALKS = 8000
WANTED = 20000
NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
TALK = (Started(trigger="oi"), Heard(texts=("hm",)), Heard(choice_id="pedido"), Heard(texts=("48213",)))
CONTEXT = {"contact": {"name": "Mariana"}, "organization": {"name": "Acme"}}
COLUMNS = ("flow", "steps", "steps/s", "turns/s")


def run(size: Size) -> Report:
    document = parse(demo.document())
    rates, turns, steps = [], [], 0
    for _ in range(size.rounds):
        started = time.perf_counter()
        steps = sum(_talk(document) for _ in range(size.of(TALKS, 50)))
        seconds = time.perf_counter() - started
        rates.append(steps / seconds)
        turns.append(size.of(TALKS, 50) * len(TALK) / seconds)
    report = Report("engine", COLUMNS, [["atendimento", steps, median(rates), median(turns)]])
    report.gates = [Gate("engine steps per second", median(rates), WANTED)]
    return report


def _talk(document: Document) -> int:
    """One talk from greeting to hand-over, its state written and read between turns as in the desk."""
    state = None
    for event in TALK:
        turn = step(document, state, event, context=CONTEXT, now=NOW, rng=random.Random(1))
        state = RunState.from_json(turn.state.to_json())
    if state is None or state.phase == "waiting":
        raise RuntimeError("the talk did not come to its hand-over")
    return state.steps
