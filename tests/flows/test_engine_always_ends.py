"""Guarantee I-28: whatever is drawn and whatever people write, a turn ends, and its replay is the same."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.document import NODE_TYPES, Document, Edge, Node
from flows.engine import (
    STEPS_PER_TURN,
    Close,
    Failed,
    HandOff,
    HandoffRefused,
    Heard,
    RunState,
    Started,
    TimedOut,
    Wait,
    step,
)
from tests.flows.builders import NOW

NAMES = [f"n{i}" for i in range(6)]
PORTS = [
    "next",
    "answered",
    "invalid",
    "timeout",
    "else",
    "yes",
    "a",
    "b",
    "closed",
    "full",
    "nobody",
    "accepted",
]
TEXTS = ["Oi", "{{ x }}", "{{ contact.name }}", "{{ x | times: x }}", "{% if x %}{{ x }}{% endif %}", ""]

text = st.sampled_from(TEXTS)
data = {
    "message": st.fixed_dictionaries({"text": text}),
    "buttons": st.fixed_dictionaries(
        {
            "text": text,
            "options": st.just([{"id": "a", "title": "Sim"}, {"id": "b", "title": "Não"}]),
            "retries": st.integers(0, 2),
            "variable": st.sampled_from([None, "x"]),
        }
    ),
    "question": st.fixed_dictionaries(
        {
            "text": text,
            "variable": st.just("x"),
            "input": st.sampled_from(["text", "number", "email", "phone", "date", "any"]),
            "retries": st.integers(0, 2),
        }
    ),
    "condition": st.builds(
        lambda op, value: {
            "branches": [{"port": "yes", "all": [{"variable": "x", "op": op, "value": value}]}]
        },
        st.sampled_from(["equals", "contains", "greater", "less", "is_empty", "starts_with"]),
        st.sampled_from(["1", "{{ x }}", 3, None]),
    ),
    "set": st.fixed_dictionaries({"variable": st.just("x"), "value": text}),
    "handoff": st.just({"handoff_type": "queue", "queue": "suporte", "context": "{{ x }}"}),
    "close": st.fixed_dictionaries({"text": text}),
}


def _node(name):
    return st.one_of(
        values.map(lambda v, k=kind: Node(name, k, NODE_TYPES[k].model_validate(v)))
        for kind, values in data.items()
    )


nodes = st.tuples(*(_node(name) for name in NAMES))
edges = st.lists(
    st.builds(
        lambda a, p, b: Edge(source=a, port=p, target=b),
        st.sampled_from(NAMES),
        st.sampled_from(PORTS),
        st.sampled_from([*NAMES, "gone"]),
    ),
    max_size=40,
)
documents = st.builds(lambda n, e: Document(start="n0", nodes=n, edges=tuple(e)), nodes, edges)
heard = st.builds(
    Heard,
    st.lists(
        st.one_of(st.sampled_from(["1", "Sim", "a@b.co", "hoje", "+5511999999999"]), st.text()), max_size=3
    ).map(tuple),
    st.sampled_from(["", "a", "gone"]),
)
events = st.lists(
    st.one_of(
        heard,
        st.sampled_from(NAMES).map(TimedOut),
        st.sampled_from(["closed", "full", "nobody", "x"]).map(HandoffRefused),
    ),
    max_size=12,
)


def _run(document, happened, seed):
    rng, state, turns = random.Random(seed), None, []
    for event in (Started("oi"), *happened):
        turn = step(document, state, event, context={"contact": {"name": "Ana"}}, now=NOW, rng=rng)
        turns.append(turn)
        state = RunState.from_json(turn.state.to_json())
    return turns


@settings(max_examples=300, deadline=None)
@given(documents, events, st.integers())
def test_every_turn_of_every_graph_ends_within_its_budget(document, happened, seed):
    for turn in _run(document, happened, seed):
        assert len(turn.trace) <= STEPS_PER_TURN + 2
        assert turn.state.phase in ("waiting", "handoff", "ended")
        if turn.effects:
            closing = {"waiting": (Wait,), "handoff": (HandOff,), "ended": (Close, Failed, HandOff)}
            assert isinstance(turn.effects[-1], closing[turn.state.phase])


@settings(max_examples=150, deadline=None)
@given(documents, events, st.integers())
def test_the_same_inputs_take_the_same_path(document, happened, seed):
    assert _run(document, happened, seed) == _run(document, happened, seed)
