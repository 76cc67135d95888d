import pytest

from flows import demo
from flows.checks import review, validate
from flows.document import parse
from tests.flows.builders import node, raw

HI = node("hi", "message", text="Oi")
ASK = node("ask", "question", text="Qual?", variable="answer")
HUMAN = node("human", "handoff", handoff_type="queue", queue="suporte")
MENU = node("menu", "buttons", text="?", options=[{"id": "a", "title": "A"}, {"id": "b", "title": "B"}])
SOUND = raw(
    HI, ASK, HUMAN, edges=(("hi", "next", "ask"), ("ask", "answered", "human"), ("ask", "invalid", "human"))
)


def errors(document):
    return {problem.code for problem in review(document).errors}


def warnings(document):
    return {problem.code for problem in review(document).warnings}


def test_a_sound_flow_has_nothing_to_mend():
    assert review(SOUND).errors == ()
    assert review(SOUND).warnings == ()


def test_the_demo_has_no_errors_and_no_warnings():
    report = review(demo.document())
    assert report.ok
    assert report.warnings == ()


def test_two_steps_may_not_share_an_id():
    assert "duplicate" in errors({**SOUND, "nodes": [*SOUND["nodes"], HI]})


def test_an_exit_leads_to_one_place():
    assert "duplicate" in errors({**SOUND, "edges": [*SOUND["edges"], SOUND["edges"][0]]})


def test_a_flow_begins_somewhere():
    assert "missing_start" in errors({**SOUND, "start": "nowhere"})
    assert "missing_start" in errors(raw())


def test_a_connection_joins_steps_that_exist():
    assert "dangling_edge" in errors(raw(HI, edges=(("hi", "next", "gone"),)))
    assert "dangling_edge" in errors(raw(HI, edges=(("gone", "next", "hi"),)))


def test_a_connection_leaves_by_an_exit_that_exists():
    assert "unknown_port" in errors(raw(HI, HUMAN, edges=(("hi", "answered", "human"),)))


def test_an_answer_leads_somewhere():
    assert "dead_end" in errors(raw(ASK))
    assert "dead_end" in errors(raw(MENU, HUMAN, edges=(("menu", "a", "human"),)))
    assert "dead_end" not in errors(
        raw(MENU, HUMAN, edges=(("menu", "a", "human"), ("menu", "next", "human")))
    )


def test_every_branch_of_a_condition_leads_somewhere():
    rule = {"variable": "contact.name", "op": "is_empty"}
    split = node("c", "condition", branches=[{"port": "yes", "all": [rule]}])
    assert "dead_end" in errors(raw(split, HUMAN, edges=(("c", "yes", "human"),)))
    assert errors(raw(split, HUMAN, edges=(("c", "yes", "human"), ("c", "else", "human")))) == set()


def test_a_message_that_ends_the_flow_is_only_a_warning():
    assert errors(raw(HI)) == set()
    assert {"implicit_end", "no_human"} <= warnings(raw(HI))


def test_a_step_nobody_reaches_is_a_warning():
    lonely = node("lonely", "message", text="Oi")
    assert "unreachable" in warnings({**SOUND, "nodes": [*SOUND["nodes"], lonely]})


def test_what_follows_an_accepted_handover_never_runs():
    document = raw(HUMAN, HI, edges=(("human", "accepted", "hi"),))
    assert {"after_handoff", "unreachable"} <= warnings(document)


@pytest.mark.parametrize(
    "edges",
    [
        (("hi", "next", "hi"),),
        (("hi", "next", "human"), ("human", "full", "hi")),
        (("hi", "next", "ask"), ("ask", "answered", "human"), ("ask", "timeout", "hi")),
    ],
)
def test_a_circle_without_an_answer_is_an_error(edges):
    assert "endless_loop" in errors(raw(HI, ASK, HUMAN, edges=edges))


def test_a_circle_in_which_the_person_answers_is_fine():
    again = (("hi", "next", "ask"), ("ask", "answered", "hi"), ("ask", "invalid", "human"))
    assert "endless_loop" not in errors(raw(HI, ASK, HUMAN, edges=again))


def test_what_never_runs_is_no_circle():
    wires = (("hi", "next", "human"), ("human", "accepted", "hi"))
    assert "endless_loop" not in errors(raw(HI, HUMAN, edges=wires))


def test_only_the_steps_of_the_circle_are_blamed():
    before, after = node("before", "message", text="x"), node("after", "message", text="y")
    question = node(
        "hi", "condition", branches=[{"port": "out", "all": [{"variable": "now", "op": "is_empty"}]}]
    )
    wires = (("before", "next", "hi"), ("hi", "else", "hi"), ("hi", "out", "after"))
    found = [
        p.path for p in review(raw(before, question, after, edges=wires)).errors if p.code == "endless_loop"
    ]
    assert found == ["nodes.hi"]


def test_a_variable_is_set_before_it_is_used():
    text = node("hi", "message", text="Pedido {{ order_id }} de {{ contact.name }}")
    assert "undefined_variable" in errors(raw(text))
    assert errors(raw(text, variables=("order_id",))) == set()


def test_a_condition_looks_at_a_variable_that_exists():
    rule = {"variable": "nothing", "op": "is_empty"}
    assert "undefined_variable" in errors(
        raw(node("c", "condition", branches=[{"port": "p", "all": [rule]}]))
    )


def test_a_variable_may_not_hide_the_contact():
    assert "reserved_name" in errors(raw(HI, variables=("contact",)))


@pytest.mark.parametrize("text", ["{{ x", "{% if %}", "{{ x | nope }}", "{% include 'x' %}"])
def test_a_template_that_cannot_be_read_is_an_error(text):
    assert "template" in errors(raw(node("hi", "message", text=text), variables=("x",)))


def test_an_empty_text_is_an_error():
    assert "empty_text" in errors(raw(node("hi", "message", text="  ")))


def test_options_can_be_told_apart():
    same_id = [{"id": "a", "title": "A"}, {"id": "a", "title": "B"}]
    same_title = [{"id": "a", "title": "Não"}, {"id": "b", "title": "nao!"}]
    reserved = [{"id": "timeout", "title": "A"}]
    assert "duplicate_option" in errors(raw(node("m", "buttons", text="?", options=same_id)))
    assert "duplicate_title" in errors(raw(node("m", "buttons", text="?", options=same_title)))
    assert "reserved_option" in errors(raw(node("m", "buttons", text="?", options=reserved)))


@pytest.mark.parametrize(
    ("count", "length", "warned"), [(3, 20, False), (3, 21, True), (4, 24, False), (4, 25, True)]
)
def test_titles_too_long_for_whatsapp_are_warned_about(count, length, warned):
    options = [{"id": f"o{i}", "title": str(i) + "x" * (length - 1)} for i in range(count)]
    assert ("whatsapp_title" in warnings(raw(node("m", "buttons", text="?", options=options)))) is warned


def test_a_long_text_with_options_is_warned_about():
    long = node("m", "buttons", text="x" * 1025, options=[{"id": "a", "title": "A"}])
    assert "whatsapp_text" in warnings(raw(long))


def test_a_chain_of_two_thousand_steps_is_judged_without_recursion():
    chain = [node(f"n{i}", "message", text="x") for i in range(2000)]
    wires = tuple((f"n{i}", "next", f"n{i + 1}") for i in range(1999))
    assert validate(parse(raw(*chain, edges=wires))).ok
