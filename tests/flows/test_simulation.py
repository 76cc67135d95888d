import json

import pytest

from flows import demo
from flows.document import parse
from flows.simulation import BadEvent, simulate
from tests.flows.builders import NOW

DEMO = parse(demo.document())
TALK = [{"type": "heard", "choice_id": "pedido"}, {"type": "heard", "texts": ["123"]}]


def test_a_conversation_is_played_to_its_handover():
    played = simulate(DEMO, TALK, now=NOW)
    assert [effect["type"] for turn in played["turns"] for effect in turn["effects"]] == [
        *("say", "say", "wait"),
        *("say", "wait"),
        *("say", "hand_off"),
    ]
    assert played["turns"][-1]["variables"]["order_id"] == "123"
    assert played["state"]["phase"] == "ended"


def test_the_result_is_plain_json_and_the_same_every_time():
    first = json.dumps(simulate(DEMO, TALK, now=NOW, seed=3))
    assert first == json.dumps(simulate(DEMO, TALK, now=NOW, seed=3))


def test_options_are_named():
    [turn] = simulate(DEMO, [], now=NOW)["turns"]
    assert turn["effects"][1]["options"][0] == {"id": "pedido", "title": "Acompanhar pedido"}


def test_the_silence_of_the_waiting_step_needs_no_name():
    played = simulate(DEMO, [{"type": "heard", "text": "1"}, {"type": "timed_out"}], now=NOW)
    assert played["turns"][-1]["effects"][0]["type"] == "hand_off"


@pytest.mark.parametrize(
    "event",
    [None, "oi", {}, {"type": "dance"}, {"type": "heard", "texts": "oi"}, {"type": "heard", "text": 3}],
)
def test_an_event_nobody_understands_is_refused(event):
    with pytest.raises(BadEvent):
        simulate(DEMO, [event], now=NOW)


def test_a_simulation_is_of_reasonable_length():
    with pytest.raises(BadEvent):
        simulate(DEMO, [{"type": "heard", "text": "x"}] * 201, now=NOW)
