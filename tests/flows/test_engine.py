import random
import time

import pytest

from flows.engine import (
    STEPS_PER_TURN,
    Close,
    Failed,
    HandOff,
    HandoffRefused,
    Heard,
    RunState,
    Say,
    Started,
    TimedOut,
    Wait,
    step,
)
from tests.flows.builders import NOW, flow, node, play

HI = node("hi", "message", text="Oi {{ contact.name }}")
BYE = node("bye", "message", text="Tchau")
ASK = node(
    "ask", "question", text="Qual o pedido?", variable="order", input="number", retries=1, timeout_minutes=15
)
HUMAN = node(
    "human", "handoff", handoff_type="queue", queue="suporte", context="Pedido {{ order }}", notice="Já vai"
)
OPTIONS = [{"id": "pedido", "title": "Acompanhar pedido"}, {"id": "humano", "title": "Falar com atendente"}]
MENU = node("menu", "buttons", text="Como ajudo?", options=OPTIONS, variable="subject", retries=1)

ORDER = flow(
    HI,
    ASK,
    HUMAN,
    BYE,
    edges=(("hi", "next", "ask"), ("ask", "answered", "human"), ("ask", "timeout", "bye")),
)
CHOICE = flow(MENU, HUMAN, BYE, edges=(("menu", "humano", "human"), ("menu", "next", "bye")))


def kinds(turn):
    return [type(effect) for effect in turn.effects]


def test_a_flow_speaks_until_it_needs_an_answer():
    turn = play(ORDER, Started(), context={"contact": {"name": "Ana"}})
    assert turn.effects == (Say("Oi Ana", (), "hi"), Say("Qual o pedido?", (), "ask"), Wait("ask", 15))
    assert (turn.state.node, turn.state.phase, turn.state.steps) == ("ask", "waiting", 2)


def test_an_answer_is_kept_and_handed_over_with_its_context():
    turn = play(ORDER, Started(), Heard(("12345",)))
    assert turn.effects == (HandOff("queue", "suporte", "normal", "Pedido 12345", "Já vai", frozenset()),)
    assert turn.state.phase == "ended"
    assert turn.state.variables == {"order": "12345"}


def test_quick_messages_are_one_turn_and_the_newest_that_fits_counts():
    turn = play(ORDER, Started(), Heard(("oi", "é o", "777", "obrigado")))
    assert turn.state.variables == {"order": "777"}
    assert kinds(turn) == [HandOff]


def test_a_wrong_answer_is_asked_again_and_then_goes_to_a_person():
    again = play(ORDER, Started(), Heard(("banana",)))
    assert again.effects == (Say("Qual o pedido?", (), "ask"), Wait("ask", 15))
    given_up = play(ORDER, Started(), Heard(("banana",)), Heard(("uva",)))
    assert given_up.effects == (Failed("invalid_answer"),)
    assert given_up.state.phase == "ended"


def test_a_wired_invalid_port_is_taken_after_the_retries():
    document = flow(ASK, HUMAN, BYE, edges=(("ask", "answered", "human"), ("ask", "invalid", "bye")))
    turn = play(document, Started(), Heard(("x",)), Heard(("y",)))
    assert turn.effects == (Say("Tchau", (), "bye"), Close("bot_done"))


def test_tries_begin_anew_when_a_question_is_asked_again():
    document = flow(ASK, HUMAN, edges=(("ask", "answered", "human"), ("ask", "invalid", "ask")))
    turn = play(document, Started(), *[Heard(("x",))] * 3)
    assert (turn.state.phase, turn.state.tries) == ("waiting", 1)


def test_silence_leaves_by_the_timeout_port():
    turn = play(ORDER, Started(), TimedOut("ask"))
    assert turn.effects == (Say("Tchau", (), "bye"), Close("bot_done"))


def test_a_timeout_for_another_step_changes_nothing():
    waiting = play(ORDER, Started())
    turn = play(ORDER, Started(), TimedOut("hi"))
    assert turn.effects == ()
    assert turn.trace == ()
    assert turn.state == waiting.state


def test_an_unwired_timeout_closes_as_expired():
    document = flow(ASK, HUMAN, edges=(("ask", "answered", "human"),))
    assert play(document, Started(), TimedOut("ask")).effects == (Close("expired"),)


@pytest.mark.parametrize(
    "heard",
    [
        Heard(choice_id="humano"),
        Heard(("qualquer coisa",), choice_id="humano", choice_title="Falar com atendente"),
        Heard(choice_id="old-menu", choice_title="Falar com atendente"),
        Heard(("  FALAR com aténdente!",)),
        Heard(("humano",)),
        Heard(("2",)),
        Heard(("2️⃣",)),
        Heard(("2)",)),
        Heard(("oi", "2")),
        Heard(("2", "obrigado")),
        Heard(("falar com", "atendente")),
    ],
)
def test_an_option_is_understood_however_it_is_said(heard):
    turn = play(CHOICE, Started(), heard)
    assert kinds(turn) == [HandOff]
    assert turn.state.variables == {"subject": "Falar com atendente"}


def test_of_two_options_the_newest_counts():
    assert kinds(play(CHOICE, Started(), Heard(("1", "2")))) == [HandOff]
    assert kinds(play(CHOICE, Started(), Heard(("2", "1")))) == [Say, Close]


def test_an_option_without_its_own_path_takes_the_common_one():
    assert play(CHOICE, Started(), Heard(("1",))).effects[0] == Say("Tchau", (), "bye")


def test_an_unknown_option_shows_the_options_again():
    turn = play(CHOICE, Started(), Heard(("3",)))
    assert turn.effects == (
        Say("Como ajudo?", tuple((o["id"], o["title"]) for o in OPTIONS), "menu"),
        Wait("menu"),
    )
    assert turn.state.tries == 1


def test_a_refused_handover_goes_on_where_the_flow_says():
    document = flow(HUMAN, BYE, edges=(("human", "full", "bye"),))
    handed = play(document, Started())
    assert handed.effects[0].ports == {"full"}
    assert handed.state.phase == "handoff"
    assert play(document, Started(), HandoffRefused("full")).effects[0] == Say("Tchau", (), "bye")


def test_a_refusal_the_flow_has_no_answer_to_changes_nothing():
    document = flow(HUMAN, BYE, edges=(("human", "full", "bye"),))
    assert play(document, Started(), HandoffRefused("closed")).effects == ()
    assert play(document, Started(), HandoffRefused("closed")).state.phase == "handoff"


@pytest.mark.parametrize("event", [Heard(("oi",)), TimedOut("human"), HandoffRefused("full")])
def test_an_ended_run_stays_silent(event):
    ended = play(ORDER, Started(), Heard(("1",)))
    turn = play(ORDER, Started(), Heard(("1",)), event)
    assert turn.effects == ()
    assert turn.state == ended.state


def test_a_run_begins_with_its_start():
    with pytest.raises(ValueError, match="Started"):
        play(ORDER, Heard(("oi",)))


def test_a_condition_takes_the_first_branch_that_holds():
    branches = [
        {"port": "vip", "all": [{"variable": "contact.tag", "op": "equals", "value": "VIP"}]},
        {"port": "rich", "any": [{"variable": "sum", "op": "greater", "value": 100}]},
    ]
    split = node("c", "condition", branches=branches)
    document = flow(
        node("s", "set", variable="sum", value="{{ contact.sum }}"),
        split,
        *(node(port, "close", text=port) for port in ("vip", "rich", "else")),
        edges=(("s", "next", "c"), *(("c", port, port) for port in ("vip", "rich", "else"))),
    )
    assert play(document, Started(), context={"contact": {"tag": "víp", "sum": 500}}).effects[0].text == "vip"
    assert play(document, Started(), context={"contact": {"sum": 500}}).effects[0].text == "rich"
    assert play(document, Started(), context={"contact": {"sum": 100}}).effects[0].text == "else"


def test_a_variable_cannot_pose_as_the_contact():
    document = flow(node("s", "set", variable="contact", value="x"), HI, edges=(("s", "next", "hi"),))
    turn = play(document, Started(), context={"contact": {"name": "Ana"}})
    assert turn.effects[0] == Say("Oi Ana", (), "hi")


def test_what_people_write_is_never_a_template():
    document = flow(
        node("ask", "question", text="Nome?", variable="who"),
        node("hi", "message", text="Oi {{ who }}"),
        edges=(("ask", "answered", "hi"),),
    )
    turn = play(
        document, Started(), Heard(("{{ contact.secret }}",)), context={"contact": {"secret": "LEAK"}}
    )
    assert turn.effects[0].text == "Oi {{ contact.secret }}"


def test_what_the_database_refuses_is_not_kept():
    document = flow(
        node("ask", "question", text="Nome?", variable="who"), BYE, edges=(("ask", "answered", "bye"),)
    )
    turn = play(document, Started("a\x00b"), Heard(("An\x00a \ud83d", "x" * 5000)))
    assert turn.state.variables["trigger"] == "ab"
    assert turn.state.variables["who"].startswith("Ana \nxxx")
    assert len(turn.state.variables["who"]) <= 2000


def test_missing_variables_are_named_in_the_trace():
    assert play(ORDER, Started(), context={"contact": {}}).trace[0].note == "missing: contact.name"


def test_a_text_with_nothing_to_say_is_not_sent():
    document = flow(node("a", "message", text="{{ contact.name }}"), BYE, edges=(("a", "next", "bye"),))
    assert play(document, Started()).effects == (Say("Tchau", (), "bye"), Close("bot_done"))


def test_a_circle_ends_within_the_budget():
    spin = flow(node("s", "set", variable="x", value="1"), edges=(("s", "next", "s"),))
    turn = play(spin, Started())
    assert turn.effects == (Failed("step_budget"),)
    assert turn.state.steps == STEPS_PER_TURN + 1


def test_the_same_text_is_said_three_times_at_most():
    turn = play(flow(BYE, edges=(("bye", "next", "bye"),)), Started())
    assert kinds(turn) == [Say, Say, Say, Failed]
    assert turn.effects[-1] == Failed("repeated_text")


def test_one_turn_says_twenty_texts_at_most():
    ping, pong = node("ping", "message", text="ping"), node("pong", "message", text="pong")
    turn = play(flow(ping, pong, edges=(("ping", "next", "pong"), ("pong", "next", "ping"))), Started())
    assert kinds(turn) == [*[Say] * 20, Failed]
    assert turn.effects[-1] == Failed("text_budget")


def test_a_variable_keeps_two_thousand_characters():
    document = flow(node("s", "set", variable="x", value="y" * 3000), BYE, edges=(("s", "next", "bye"),))
    assert len(play(document, Started()).state.variables["x"]) == 2000


def test_an_option_that_reads_like_a_number_is_that_option():
    options = [{"id": "a", "title": "2"}, {"id": "b", "title": "1"}]
    document = flow(
        node("m", "buttons", text="?", options=options, variable="x"), BYE, edges=(("m", "next", "bye"),)
    )
    assert play(document, Started(), Heard(("2",))).state.variables["x"] == "2"


def test_reminders_do_not_go_on_for_ever():
    document = flow(ASK, HUMAN, edges=(("ask", "answered", "human"), ("ask", "timeout", "ask")))
    turn = play(document, Started(), *[TimedOut("ask")] * 11)
    assert turn.effects == (Failed("silent_turns"),)
    assert (
        play(document, Started(), *[TimedOut("ask")] * 10, Heard(("x",)), TimedOut("ask")).state.phase
        == "waiting"
    )


def test_a_template_that_asks_too_much_goes_to_a_person():
    assert play(flow(node("a", "message", text="{{ 1 | divided_by: 0 }}")), Started()).effects == (
        Failed("template"),
    )


def test_a_run_whose_step_is_gone_goes_to_a_person():
    lost = RunState(node="gone", phase="waiting")
    turn = step(ORDER, lost, Heard(("1",)), context={}, now=NOW, rng=random.Random(1))
    assert turn.effects == (Failed("node_missing"),)


def test_a_hundred_thousand_steps_in_a_row_end_within_the_budget():
    from_parse = flow(BYE)
    long = type(from_parse)(
        start="n0",
        nodes=tuple(type(from_parse.nodes[0])(f"n{i}", "set", SET) for i in range(100_000)),
        edges=tuple(type(EDGE)(source=f"n{i}", port="next", target=f"n{i + 1}") for i in range(99_999)),
    )
    assert play(long, Started()).effects == (Failed("step_budget"),)


SET = flow(node("s", "set", variable="x", value="1")).nodes[0].data
EDGE = flow(BYE, HI, edges=(("bye", "next", "hi"),)).edges[0]


@pytest.mark.parametrize("stored", [None, [], {}, {"phase": 3}, {"phase": "dancing", "tries": True}])
def test_a_state_nobody_can_read_is_an_ended_run(stored):
    assert RunState.from_json(stored) == RunState(phase="ended")


def test_a_state_of_a_newer_release_is_read_as_far_as_it_goes():
    state = play(ORDER, Started()).state
    assert RunState.from_json({**state.to_json(), "v": 2, "new": [1]}) == state


def test_an_ordinary_turn_takes_a_fraction_of_a_millisecond():
    state, rng = play(CHOICE, Started()).state, random.Random(1)
    begun = time.perf_counter()
    for _ in range(1000):
        step(CHOICE, state, Heard(("2",)), context={}, now=NOW, rng=rng)
    assert time.perf_counter() - begun < 1
