"""Templates and planned messages by the API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership
from channels_hub.models import MessageTemplate
from contacts.models import Contact
from conversations.models import Conversation, Delivery, Later, Message
from tests.api.caller import Calls


@pytest.fixture
def talk(ana: Membership, make_conversation: Callable[..., Conversation]) -> Conversation:
    conversation = make_conversation("human_handoff", agent=ana)
    Contact.objects.update(name="Mariana Souza", language="pt")
    return conversation


@pytest.fixture
def make_template(talk: Conversation) -> Callable[..., MessageTemplate]:
    def make(
        ref: str, body: str = "Olá {{1}}, seu pedido {{pedido}} saiu.", **fields: Any
    ) -> MessageTemplate:
        return MessageTemplate.objects.create(
            organization_id=talk.organization_id, account_id=talk.channel_id, ref=ref, body=body,
            **{"name": "saiu", "language": "pt_BR", "approval": "approved", **fields},
        )  # fmt: skip

    return make


def close_window() -> None:
    Conversation.objects.update(last_inbound_at=timezone.now() - timedelta(hours=25))


def test_a_closed_window_names_the_fitting_templates_first_the_contacts_language(
    ana: Membership, talk: Conversation, make_template: Callable[..., MessageTemplate], by: Calls
) -> None:
    make_template("HX-en", name="out", language="en")
    make_template("HX-pt")
    for approval in ("draft", "pending", "rejected", "paused"):
        make_template(f"HX-{approval}", approval=approval)
    make_template("HX-off", is_active=False)
    close_window()

    answer = by(ana).post(f"conversations/{talk.pk}/messages", {"text": "Olá"})

    assert (answer.status_code, answer.json()["code"]) == (422, "window_closed")
    assert [one["ref"] for one in answer.json()["templates"]] == ["HX-pt", "HX-en"]
    assert answer.json()["templates"][0] == {
        "ref": "HX-pt", "name": "saiu", "language": "pt_BR", "category": "",
        "text": "Olá {{1}}, seu pedido {{pedido}} saiu.", "body": {"1": "Mariana", "pedido": ""},
    }  # fmt: skip


@pytest.mark.parametrize(
    "by_what", [{"ref": "HX-pt"}, {"name": "saiu", "language": "pt_BR"}, {"name": "saiu"}]
)
def test_a_template_is_sent_with_its_variables_although_the_window_is_closed(
    ana: Membership,
    talk: Conversation,
    make_template: Callable[..., MessageTemplate],
    by: Calls,
    by_what: dict[str, str],
) -> None:
    make_template("HX-pt")
    make_template("HX-es", language="es")
    close_window()

    body = {"1": "Mariana {{pedido}}", "pedido": "31\n 7"}
    answer = by(ana).post(f"conversations/{talk.pk}/messages", {"template": {**by_what, "body": body}})

    assert answer.status_code == 201, answer.content
    assert answer.json()["text"] == "Olá Mariana {{pedido}}, seu pedido 31 7 saiu."
    assert Message.objects.get(direction="out").template == {
        "ref": "HX-pt", "language": "pt_BR", "name": "saiu",
        "body": {"1": "Mariana {{pedido}}", "pedido": "31 7"},
    }  # fmt: skip
    assert Delivery.objects.get().status == "pending"


@pytest.mark.parametrize(
    "given, field",
    [
        ({"ref": "HX-none"}, "template"),
        ({"name": "saiu", "language": "fr"}, "template"),
        ({"language": "pt_BR"}, "template"),
        ({"ref": "HX-new", "body": {"1": "a", "pedido": "b"}}, "template"),
        ({"ref": "HX-pt", "body": {"1": "Mariana"}}, "template.body.pedido"),
        ({"ref": "HX-pt", "body": {"1": " \n", "pedido": "1"}}, "template.body.1"),
        ({"ref": "HX-pt", "body": {"1": "a", "pedido": "1", "x": "y"}}, "template.body.x"),
        ({"ref": "HX-pt", "body": ["a"]}, "template.body"),
    ],
)
def test_a_template_that_does_not_fit_is_refused_with_its_field(
    ana: Membership,
    talk: Conversation,
    make_template: Callable[..., MessageTemplate],
    by: Calls,
    given: dict[str, Any],
    field: str,
) -> None:
    make_template("HX-pt")
    make_template("HX-new", approval="pending")

    answer = by(ana).post(f"conversations/{talk.pk}/messages", {"template": given})

    assert (answer.status_code, answer.json()["code"]) == (422, "template_invalid")
    assert list(answer.json()["errors"]) == [field]
    assert not Message.objects.exists()


# ---------------------------------------------------------------- later
def test_a_message_is_planned_listed_and_withdrawn(ana: Membership, talk: Conversation, by: Calls) -> None:
    address, when = f"conversations/{talk.pk}/later", timezone.now() + timedelta(days=1)
    given = {"text": "Até amanhã", "send_at": when.isoformat(), "client_id": "c1"}

    made = by(ana).post(address, given)
    assert (made.status_code, made.json()["state"]) == (201, "waiting")
    assert by(ana).post(address, given).status_code == 200
    listed = by(ana).get(address).json()["results"]
    assert [one["id"] for one in listed] == [made.json()["id"]]

    assert by(ana).delete(f"{address}/{made.json()['id']}").status_code == 204
    assert by(ana).get(address).json()["results"] == []
    again = by(ana).delete(f"{address}/{made.json()['id']}")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


def test_a_plan_is_moved_to_another_time_by_who_has_it(
    ana: Membership, sofia: Membership, talk: Conversation, by: Calls
) -> None:
    tomorrow, over = timezone.now() + timedelta(days=1), timezone.now() - timedelta(days=1)
    address = f"conversations/{talk.pk}/later"
    pk = by(ana).post(address, {"text": "Oi", "send_at": tomorrow.isoformat()}).json()["id"]
    sooner = {"send_at": (tomorrow - timedelta(hours=2)).isoformat()}

    assert by(ana).patch(f"{address}/{pk}", {"send_at": over.isoformat()}).json()["code"] == "conflict"
    assert by(ana).patch(f"{address}/{pk}", {}).status_code == 400
    assert by(sofia).patch(f"{address}/{pk}", sooner).json()["code"] == "not_yours"
    assert by(ana).patch(f"{address}/{pk}", sooner).status_code == 200
    assert Later.objects.get().send_at == tomorrow - timedelta(hours=2)


def test_what_waits_for_the_window_has_no_time(ana: Membership, talk: Conversation, by: Calls) -> None:
    address = f"conversations/{talk.pk}/later"
    assert by(ana).post(address, {"text": "x", "send_at": None}).status_code == 409
    close_window()
    assert by(ana).post(address, {"text": "x", "send_at": None}).json()["send_at"] is None


@pytest.mark.parametrize("body", [{"text": "x"}, {"send_at": None}, {"text": " ", "send_at": None}, {}])
def test_a_plan_needs_words_and_a_time(ana: Membership, talk: Conversation, by: Calls, body: Any) -> None:
    assert by(ana).post(f"conversations/{talk.pk}/later", body).status_code == 400
    assert not Later.objects.exists()


def test_only_who_has_it_plans_and_supervisors_withdraw(
    ana: Membership, sofia: Membership, talk: Conversation, by: Calls
) -> None:
    address = f"conversations/{talk.pk}/later"
    given = {"text": "x", "send_at": (timezone.now() + timedelta(hours=1)).isoformat()}

    assert by(sofia).post(address, given).json()["code"] == "not_yours"
    pk = by(ana).post(address, given).json()["id"]
    assert by(sofia).delete(f"{address}/{pk}").status_code == 204
