"""Runs a flow one turn at a time. Decides; never acts."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from flows import answers
from flows.document import ANSWERED, ELSE, INVALID, NEXT, REFUSALS, TIMEOUT, Document, Node
from flows.render import TemplateError, is_plain, render_reporting
from flows.text import clean

STEPS_PER_TURN = 100
TEXTS_PER_TURN = 20
EQUAL_TEXTS = 3
# Turns in a row that began without a word from the person (reminders, refused hand-overs).
SILENT_TURNS = 10

EMPTY: Mapping[str, object] = MappingProxyType({})


# events --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """A run begins; `trigger` is the text that chose this flow."""

    trigger: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """One turn of the person: messages written quickly one after another, oldest first."""

    texts: tuple[str, ...] = ()
    choice_id: str = ""
    choice_title: str = ""
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TimedOut:
    node: str


@dataclass(frozen=True, slots=True)
class HandoffRefused:
    """Nobody could take the conversation: `closed`, `full` or `nobody`."""

    port: str


Event = Started | Heard | TimedOut | HandoffRefused


# effects -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Say:
    text: str
    options: tuple[tuple[str, str], ...] = ()
    node: str = ""


@dataclass(frozen=True, slots=True)
class HandOff:
    """`ports` are the refusals the flow has an answer to; for any other the conversation waits."""

    handoff_type: str
    target: str
    priority: str
    context: str
    notice: str
    ports: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Close:
    reason: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    node: str
    timeout_minutes: int | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The flow cannot go on; the shell hands the person to a human."""

    reason: str


Effect = Say | HandOff | Close | Wait | Failed


# state and result ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunState:
    """Where a run stands between two turns."""

    node: str = ""
    phase: str = ""  # "" | "waiting" | "handoff" | "ended"
    variables: Mapping[str, object] = field(default_factory=dict)
    tries: int = 0
    steps: int = 0
    silent_turns: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "v": 1,
            "node": self.node,
            "phase": self.phase,
            "variables": dict(self.variables),
            "tries": self.tries,
            "steps": self.steps,
            "silent_turns": self.silent_turns,
        }

    @classmethod
    def from_json(cls, raw: object) -> RunState:
        """Read what another release wrote: unknown keys are skipped, unusable values become defaults."""
        data = raw if isinstance(raw, Mapping) else {}
        phase = _known(data.get("phase"), str, "ended")
        return cls(
            node=_known(data.get("node"), str, ""),
            phase=phase if phase in ("", "waiting", "handoff", "ended") else "ended",
            variables=dict(_known(data.get("variables"), Mapping, EMPTY)),
            tries=_known(data.get("tries"), int, 0),
            steps=_known(data.get("steps"), int, 0),
            silent_turns=_known(data.get("silent_turns"), int, 0),
        )


def _known(value: Any, kind: type, default: Any) -> Any:
    return value if isinstance(value, kind) and not isinstance(value, bool) else default


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One step taken: names only, never what somebody wrote."""

    node: str
    type: str
    port: str
    note: str = ""

    def to_json(self) -> dict[str, str]:
        return {"node": self.node, "type": self.type, "port": self.port, "note": self.note}


@dataclass(frozen=True, slots=True)
class Turn:
    state: RunState
    effects: tuple[Effect, ...] = ()
    trace: tuple[TraceStep, ...] = ()


# the turn ------------------------------------------------------------------------------------------


def step(
    document: Document,
    state: RunState | None,
    event: Event,
    *,
    context: Mapping[str, object] = EMPTY,
    now: datetime,
    rng: random.Random,
) -> Turn:
    """Carry a run from one event to its next rest. An event that does not concern it changes nothing."""
    match event:
        case Started(trigger):
            variables = document.defaults()
            if trigger:
                variables["trigger"] = clean(trigger)[: answers.MAX_ANSWER]
            turn = _Turning(document, RunState(variables=variables), context, now, rng)
            return turn.go(document.start)
        case Heard() if state and state.phase == "waiting":
            turn = _Turning(document, replace(state, silent_turns=0), context, now, rng)
            return turn.resume(lambda node: LISTEN[node.type](turn, node, event))
        case TimedOut(node) if state and state.phase == "waiting" and state.node == node:
            return _silently(document, state, context, now, rng, TIMEOUT)
        case HandoffRefused(port) if (
            state and state.phase == "handoff" and (state.node, port) in document.wires
        ):
            return _silently(document, state, context, now, rng, port)
    if state is None:
        raise ValueError("a run begins with Started")
    return Turn(state)


def _silently(
    document: Document,
    state: RunState,
    context: Mapping[str, object],
    now: datetime,
    rng: random.Random,
    port: str,
) -> Turn:
    """Go on without a word from the person, but not for ever."""
    turn = _Turning(document, replace(state, silent_turns=state.silent_turns + 1), context, now, rng)
    if turn.state.silent_turns > SILENT_TURNS:
        return turn.fail("silent_turns")
    return turn.resume(lambda node: port)


class _Turning:
    """One turn in the making: what was said, decided and passed so far."""

    def __init__(
        self,
        document: Document,
        state: RunState,
        context: Mapping[str, object],
        now: datetime,
        rng: random.Random,
    ) -> None:
        self.document = document
        self.state = state
        self.now = now
        self.rng = rng
        self.tries = state.tries
        self.variables = dict(state.variables)
        # What the system provides wins over a variable that a document managed to name alike.
        self.provided = {"now": now, "today": now.date(), **context}
        self.effects: list[Effect] = []
        self.trace: list[TraceStep] = []
        self.missing: tuple[str, ...] = ()
        self.phase = "ended"
        self.said, self.repeated = 0, 0

    def resume(self, answer: Callable[[Node], str | None]) -> Turn:
        """Leave the node where the run rests by the port that `answer` names; None stays there."""
        node = self.document.by_id.get(self.state.node)
        if node is None:
            return self.fail("node_missing")
        try:
            port = answer(node)
        except (_Stop, TemplateError) as stop:
            return self.fail(_failure(stop))
        self.note(node, port)
        return self.rest(node) if port is None else self.leave(node, port)

    def leave(self, node: Node, port: str) -> Turn:
        target = self.document.wires.get((node.id, port))
        if target is not None:
            return self.go(target)
        if port == INVALID:
            return self.fail("invalid_answer")
        return self.close(node.id, "expired" if port == TIMEOUT else "bot_done")

    def go(self, target: str) -> Turn:
        """Walk from node to node until one waits, hands over, closes or nothing follows."""
        wires, by_id = self.document.wires, self.document.by_id
        for _ in range(STEPS_PER_TURN):
            node = by_id.get(target)
            if node is None:
                return self.fail("node_missing")
            self.tries, self.missing = 0, ()
            try:
                port = ENTER[node.type](self, node)
            except (_Stop, TemplateError) as stop:
                return self.fail(_failure(stop), node.id)
            self.note(node, port)
            if port is None:
                return self.rest(node)
            following = wires.get((node.id, port))
            if following is None:
                return self.close(node.id, "bot_done")
            target = following
        return self.fail("step_budget", target)

    def note(self, node: Node, port: str | None) -> None:
        missing = f"missing: {', '.join(self.missing)}" if self.missing else ""
        self.trace.append(TraceStep(node.id, node.type, port or "", missing))

    def rest(self, node: Node) -> Turn:
        return self.done(node.id, self.phase)

    def close(self, node: str, reason: str) -> Turn:
        self.effects.append(Close(reason))
        return self.done(node, "ended")

    def fail(self, reason: str, node: str = "") -> Turn:
        self.effects.append(Failed(reason))
        self.trace.append(TraceStep(node or self.state.node, "", "", f"failed: {reason}"))
        return self.done(node or self.state.node, "ended")

    def done(self, node: str, phase: str) -> Turn:
        state = RunState(
            node=node,
            phase=phase,
            variables=self.variables,
            tries=self.tries,
            steps=self.state.steps + len(self.trace),
            silent_turns=self.state.silent_turns,
        )
        return Turn(state, tuple(self.effects), tuple(self.trace))

    # what nodes do with a turn

    def fill(self, template: str) -> str:
        if is_plain(template):
            return template
        text, missing = render_reporting(template, {**self.variables, **self.provided})
        self.missing += missing
        return text

    def lookup(self, path: str) -> object:
        root, *rest = path.split(".")
        value = self.provided[root] if root in self.provided else self.variables.get(root)
        for part in rest:
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def keep(self, name: str | None, value: str) -> None:
        if name:
            self.variables[name] = clean(value)[: answers.MAX_ANSWER]

    def say(self, node: Node, template: str) -> None:
        """Say a text with the node's options, when there is anything left to say."""
        text = self.fill(template).strip()
        if not text:
            return
        options = tuple((option.id, option.title) for option in getattr(node.data, "options", ()))
        previous = self.effects[-1] if self.effects else None
        self.repeated = self.repeated + 1 if isinstance(previous, Say) and previous.text == text else 1
        self.said += 1
        if self.repeated > EQUAL_TEXTS:
            raise _Stop("repeated_text")
        if self.said > TEXTS_PER_TURN:
            raise _Stop("text_budget")
        self.effects.append(Say(text, options, node.id))

    def wait(self, node: Node) -> None:
        self.effects.append(Wait(node.id, node.data.timeout_minutes))
        self.phase = "waiting"


class _Stop(Exception):
    """The turn cannot go on; its text is the reason."""


def _failure(stop: Exception) -> str:
    return str(stop) if isinstance(stop, _Stop) else "template"


# nodes: what happens on entering one; the port to leave by, None to rest ---------------------------


def _message(turn: _Turning, node: Node) -> str:
    turn.say(node, node.data.text)
    return NEXT


def _ask(turn: _Turning, node: Node) -> None:
    turn.say(node, node.data.text)
    turn.wait(node)


def _condition(turn: _Turning, node: Node) -> str:
    for branch in node.data.branches:
        if answers.holds(branch, turn.lookup, turn.fill):
            return branch.port
    return ELSE


def _set(turn: _Turning, node: Node) -> str:
    turn.keep(node.data.variable, turn.fill(node.data.value))
    return NEXT


def _handoff(turn: _Turning, node: Node) -> None:
    data = node.data
    ports = frozenset(port for port in REFUSALS if (node.id, port) in turn.document.wires)
    turn.phase = "handoff" if ports else "ended"
    context, notice = turn.fill(data.context), turn.fill(data.notice)
    turn.effects.append(HandOff(data.handoff_type, data.target, data.priority, context, notice, ports))


def _close(turn: _Turning, node: Node) -> None:
    turn.phase = "ended"
    turn.effects.append(Close(node.data.reason, turn.fill(node.data.text).strip()))


ENTER: dict[str, Callable[[_Turning, Node], str | None]] = {
    "message": _message,
    "buttons": _ask,
    "question": _ask,
    "condition": _condition,
    "set": _set,
    "handoff": _handoff,
    "close": _close,
}


# nodes: what an answer means -----------------------------------------------------------------------


def _hear_choice(turn: _Turning, node: Node, event: Heard) -> str | None:
    option = answers.choose(node.data.options, event.choice_id, event.choice_title, event.texts)
    if option is None:
        return _ask_again(turn, node)
    turn.keep(node.data.variable, option.title)
    turn.tries = 0
    return option.id if (node.id, option.id) in turn.document.wires else NEXT


def _hear_answer(turn: _Turning, node: Node, event: Heard) -> str | None:
    texts = event.texts or ((event.choice_title,) if event.choice_title else ())
    value = answers.read(node.data.input, texts, event.kinds, turn.now)
    if value is None:
        return _ask_again(turn, node)
    turn.keep(node.data.variable, value)
    turn.tries = 0
    return ANSWERED


def _ask_again(turn: _Turning, node: Node) -> str | None:
    turn.tries += 1
    if turn.tries > node.data.retries:
        return INVALID
    turn.say(node, node.data.invalid_text or node.data.text)
    turn.wait(node)
    return None


LISTEN: dict[str, Callable[[_Turning, Node, Heard], str | None]] = {
    "buttons": _hear_choice,
    "question": _hear_answer,
}
