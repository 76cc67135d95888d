"""The demo conversation, as the tour in the README tells it."""

import pytest

from flows import demo
from flows.document import parse
from flows.engine import Close, HandOff, Heard, Say, Started, TimedOut
from tests.flows.builders import play

DEMO = parse(demo.document())
ANA = {"contact": {"name": "Ana"}, "organization": {"name": "Demo"}}


def talk(*events):
    return play(DEMO, Started(), *events, context=ANA)


def test_it_greets_by_name_and_shows_the_menu():
    hello, menu, _ = talk().effects
    assert hello.text == "Olá, Ana! Aqui é o atendimento da Demo."
    assert [option[0] for option in menu.options] == ["pedido", "segunda_via", "humano"]


def test_it_greets_somebody_whose_name_it_does_not_know():
    hello = play(DEMO, Started(), context={"contact": {"name": ""}}).effects[0]
    assert hello.text.startswith("Olá! ")


def test_an_order_number_reaches_support_with_its_context():
    said, handed = talk(Heard(choice_id="pedido"), Heard(("oi", "98765"))).effects
    assert said == Say("Recebi: pedido 98765.", (), "recebido")
    assert (handed.target, handed.priority, handed.context) == ("suporte", "high", "Pedido 98765")
    assert handed.notice == "Transferindo para um atendente..."


def test_a_second_copy_is_answered_and_closed():
    [closed] = talk(Heard(("Segunda via",))).effects
    assert isinstance(closed, Close)
    assert closed.text


@pytest.mark.parametrize("written", ["3", "humano", "falar com atendente"])
def test_a_person_is_one_word_away(written):
    [handed] = talk(Heard((written,))).effects
    assert isinstance(handed, HandOff)
    assert (handed.target, handed.priority) == ("suporte", "normal")


def test_three_wrong_answers_lead_to_a_person():
    assert isinstance(talk(*[Heard(("??",))] * 3).effects[-1], HandOff)


def test_an_order_number_that_never_comes_leads_to_a_person():
    waiting = talk(Heard(("1",))).effects[-1]
    assert waiting.timeout_minutes == 15
    assert isinstance(talk(Heard(("1",)), TimedOut("numero")).effects[-1], HandOff)


def test_nobody_can_edit_the_demo_for_everybody():
    demo.document()["nodes"][0]["data"]["text"] = "changed"
    assert "changed" not in demo.document()["nodes"][0]["data"]["text"]
