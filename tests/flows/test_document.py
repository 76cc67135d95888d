import pytest

from flows.document import InvalidDocument, parse
from tests.flows.builders import node, raw

HELLO = node("a", "message", text="Oi")


def problems_of(document):
    with pytest.raises(InvalidDocument) as refused:
        parse(document)
    return refused.value.problems


def test_the_example_of_the_contract_is_read():
    document = parse(
        {
            "schema": 1,
            "start": "n1",
            "variables": [{"name": "order_id", "type": "text"}],
            "nodes": [
                {
                    "id": "n1",
                    "type": "message",
                    "title": "Olá",
                    "data": {"text": "Oi {{contact.name}}!"},
                    "position": {"x": 0, "y": 0},
                },
                {
                    "id": "n3",
                    "type": "handoff",
                    "data": {
                        "handoff_type": "queue",
                        "queue": "suporte",
                        "priority": "high",
                        "context": "Pedido {{order_id}}",
                        "notice": "Transferindo para agente...",
                    },
                },
            ],
            "edges": [{"from": "n1", "port": "next", "to": "n3"}],
        }
    )
    assert document.wires == {("n1", "next"): "n3"}
    assert document.by_id["n3"].data.target == "suporte"


def test_an_unknown_type_is_answered_with_the_supported_ones():
    [problem] = problems_of(raw(node("a", "teleport", text="x")))
    assert (problem.path, problem.code) == ("nodes[0].type", "unknown_type")
    assert "teleport" in problem.message
    assert "message, buttons, question, condition, set, handoff, close" in problem.message


def test_every_broken_node_is_reported_with_its_place():
    found = problems_of(raw(node("a", "message"), HELLO, node("b", "question", text="?", variable="1x")))
    assert [problem.path for problem in found] == ["nodes[0].data.text", "nodes[2].data.variable"]


def test_a_mistyped_key_is_not_silently_ignored():
    [problem] = problems_of(raw(node("a", "message", text="Oi", tetx="typo")))
    assert problem.path == "nodes[0].data.tetx"


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_another_schema_is_refused(schema):
    assert problems_of({**raw(HELLO), "schema": schema})[0].path == "schema"


@pytest.mark.parametrize(
    "broken", [None, [], "x", {}, {"schema": 1, "nodes": [3]}, {"schema": 1, "edges": [{}]}]
)
def test_what_is_no_document_is_refused_without_a_crash(broken):
    assert problems_of(broken)


def test_buttons_have_one_to_ten_options():
    options = [{"id": f"o{i}", "title": f"Opção {i}"} for i in range(11)]
    assert problems_of(raw(node("a", "buttons", text="?", options=options)))
    assert problems_of(raw(node("a", "buttons", text="?", options=[])))
    assert parse(raw(node("a", "buttons", text="?", options=options[:10])))


def test_a_handover_names_its_target():
    [problem] = problems_of(raw(node("a", "handoff", handoff_type="agent", queue="suporte")))
    assert "agent" in problem.message


def test_a_branch_has_either_all_or_any():
    rule = {"variable": "x", "op": "equals", "value": "1"}
    both = node("a", "condition", branches=[{"port": "p", "all": [rule], "any": [rule]}])
    assert problems_of(raw(both))
    assert problems_of(raw(node("a", "condition", branches=[{"port": "p"}])))


@pytest.mark.parametrize(("op", "value"), [("matches_any", "sim"), ("equals", ["sim"]), ("matches", "sim")])
def test_an_operator_takes_the_values_it_can_compare(op, value):
    rule = {"variable": "x", "op": op, "value": value}
    assert problems_of(raw(node("a", "condition", branches=[{"port": "p", "all": [rule]}])))


def test_a_condition_may_look_into_the_contact():
    rule = {"variable": "contact.language", "op": "equals", "value": "pt-br"}
    assert parse(raw(node("a", "condition", branches=[{"port": "p", "all": [rule]}])))
