"""The agent's side of sending: the foot, templates, planned messages, what became of a message."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone, translation

from accounts.models import Membership
from channels_hub.contract import State as Status
from channels_hub.models import ChannelAccount, MessageTemplate
from contacts.models import Contact, Identity
from conversations import actions_sending, frames, laters, outbox
from conversations.models import Attempt, Conversation, Delivery, Later, Message
from conversations.pages import View

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def mine(ana, make_conversation) -> Conversation:
    return make_conversation("human_handoff", agent=ana)


@pytest.fixture
def template(mine) -> MessageTemplate:
    Contact.objects.update(name="Mariana Souza")
    return MessageTemplate.objects.create(
        organization_id=mine.organization_id, account_id=mine.channel_id, ref="HX1", name="saiu",
        language="pt_BR", body="Olá {{1}}, saiu o {{pedido}}.", approval="approved",
        variables={"pedido": "31"},
    )  # fmt: skip


def last_heard(**ago: float) -> None:
    Conversation.objects.update(last_inbound_at=timezone.now() - timedelta(**ago))


def page(client, conversation) -> str:
    return client.get(f"/inbox/{conversation.pk}/").content.decode()


# ---------------------------------------------------------------- the foot
@pytest.mark.parametrize(
    "hours, mode, is_warned",
    [(1, "reply", False), (22.9, "reply", False), (23.5, "reply", True), (25, "template", False)],
)
def test_the_foot_warns_in_the_last_hour_and_then_offers_templates(log_in, ana, mine, hours, mode, is_warned):
    last_heard(hours=hours)
    foot = log_in(ana).get(f"/inbox/{mine.pk}/foot/").content.decode()

    assert f'data-mode="{mode}"' in foot
    assert ("data-closing>" in foot) is is_warned
    assert ('data-until=""' in foot) is (mode == "template")


@pytest.mark.parametrize(
    "model, fields, mode, said",
    [
        (Contact, {"opted_out_at": timezone.now()}, "unable", "Since "),
        (ChannelAccount, {"health": "attention"}, "reply", "messages wait for an admin"),
        (Identity, {"unreachable_at": timezone.now() + timedelta(hours=1)}, "reply", "did not reach"),
    ],
)
def test_the_foot_says_what_stands_against_it(log_in, ana, mine, model, fields, mode, said):
    model.objects.update(**fields)
    foot = log_in(ana).get(f"/inbox/{mine.pk}/foot/").content.decode()
    assert f'data-mode="{mode}"' in foot
    assert said in foot


def test_the_customers_message_turns_the_picker_back_into_the_field(ana, mine, write_in):
    last_heard(hours=25)
    assert 'data-mode="template"' in frames_of(ana, mine)["composer"]
    write_in(mine)
    assert 'data-mode="reply"' in frames_of(ana, mine)["composer"]


def frames_of(member: Membership, conversation: Conversation) -> dict[str, str]:
    """The changes of the open conversation, as if every line so far were settled."""
    told = [
        frames.Told(0, event.pk, conversation.pk, event.seq, event.type, event.data.get("message"))
        for event in conversation.events.order_by("seq")
    ]
    ops = frames._ops(member, View.of("mine"), conversation.pk, told)
    return {op["target"]: op["html"] for op in ops}


# ---------------------------------------------------------------- templates
def test_the_picker_fills_in_what_is_known_and_shows_how_it_reads(log_in, ana, mine, template):
    shown = log_in(ana).get(f"/inbox/{mine.pk}/template/", headers=HTMX).content.decode()
    assert 'name="v-1" value="Mariana"' in shown
    assert "Olá Mariana, saiu o {{pedido}}." in shown
    assert "for example 31" in shown


def test_the_picker_is_searched(log_in, ana, mine, template):
    client = log_in(ana)
    assert "HX1" in client.get(f"/inbox/{mine.pk}/template/?q=SAIU", headers=HTMX).content.decode()
    assert "HX1" not in client.get(f"/inbox/{mine.pk}/template/?q=boleto", headers=HTMX).content.decode()


def test_a_template_goes_out_although_the_window_is_closed_and_once(log_in, ana, mine, template):
    last_heard(hours=25)
    given = {"ref": "HX1", "v-1": "Mariana", "v-pedido": "31", "client_id": "c1"}
    for _n in range(2):
        assert log_in(ana).post(f"/inbox/{mine.pk}/template/", given, headers=HTMX).status_code == 200
    assert Message.objects.get(direction="out").text == "Olá Mariana, saiu o 31."


def test_a_missing_variable_is_told(log_in, ana, mine, template):
    answer = log_in(ana).post(f"/inbox/{mine.pk}/template/", {"ref": "HX1", "v-1": "a"}, headers=HTMX)
    assert (answer.status_code, "A value is missing." in answer.content.decode()) == (409, True)
    assert not Message.objects.filter(direction="out").exists()


# ---------------------------------------------------------------- later
def test_a_planned_message_stands_in_the_thread_until_it_is_taken_back(log_in, ana, mine):
    client = log_in(ana)
    form = client.get(f"/inbox/{mine.pk}/later/", headers=HTMX).content.decode()
    assert 'value="tomorrow"' in form
    given = {"text": "Bom dia", "until": "tomorrow"}
    shown = client.post(f"/inbox/{mine.pk}/later/", given, headers=HTMX).content.decode()
    assert "Bom dia" in shown.split('id="planned"')[1].split("</section>")[0]

    later = Later.objects.get()
    assert "Bom dia" in frames_of(ana, mine)["planned"]
    client.post(f"/inbox/{mine.pk}/later/{later.pk}/", {"until": "hour"}, headers=HTMX)
    assert Later.objects.get().send_at < later.send_at
    client.post(f"/inbox/{mine.pk}/later/{later.pk}/cancel/", headers=HTMX)
    assert 'id="planned" class="planned" hidden' in page(client, mine)


def test_a_refused_one_says_why_until_it_is_taken_away(log_in, ana, mine):
    laters.plan(mine.pk, agent=ana, text="Bom dia", send_at=timezone.now() + timedelta(hours=1))
    Later.objects.update(send_at=timezone.now() - timedelta(seconds=1))
    last_heard(hours=25)
    laters.release_due()

    shown = page(log_in(ana), mine).split('id="planned"')[1].split("</section>")[0]
    assert "The 24-hour window of this channel is closed." in shown
    assert "Take away" in shown


def test_a_supervisor_sees_the_plan_without_its_buttons(log_in, ana, sofia, mine):
    laters.plan(mine.pk, agent=ana, text="Bom dia", send_at=timezone.now() + timedelta(hours=1))
    shown = page(log_in(sofia), mine).split('id="planned"')[1].split("</section>")[0]
    assert "Bom dia" in shown
    assert "<form" not in shown


# ---------------------------------------------------------------- what became of it
@pytest.fixture
def said(ana, mine) -> Message:
    return outbox.reply(mine.pk, agent=ana, text="Oi")[0]


def ended(message: Message, status: str, code: str = "", outcome: str = "") -> None:
    Delivery.objects.update(status=status, error_code=code)
    Message.objects.filter(pk=message.pk).update(status=status, error_code=code)
    if outcome:
        delivery = Delivery.objects.get()
        now = timezone.now()
        Attempt.objects.create(
            organization_id=delivery.organization_id, delivery=delivery, channel_id=delivery.channel_id,
            number=1, started_at=now, ended_at=now, outcome=outcome,
        )  # fmt: skip


@pytest.mark.parametrize(
    "status, sign",
    [
        ("pending", "being sent"), ("processing", "being sent"), ("retrying", "trying again"),
        ("queued", "sent"), ("sent", "sent"), ("delivered", "delivered"), ("read", "read"),
        ("failed", "Not sent"), ("expired", "Not sent"), ("cancelled", "Withdrawn"),
        ("unknown", "Unconfirmed"),
    ],
)  # fmt: skip
def test_every_state_reaches_an_open_page(ana, mine, said, status, sign):
    assert status in set(Status)
    ended(said, status)
    with translation.override("en"):
        bubble = frames_of(ana, mine)[f"m-{said.pk}"]
    assert sign in bubble.split("<footer>")[1]


@pytest.mark.parametrize(
    "outcome, reason",
    [
        ("unreachable", "This address cannot be reached."),
        ("content", "The platform did not accept the content."),
        ("permanent", "The platform refused the message."),
        ("retryable", "The platform could not take it, several times in a row."),
        ("window_closed", "The 24-hour window of this channel is closed."),
    ],
)
def test_a_code_only_the_platform_knows_is_told_by_its_class(log_in, ana, mine, said, outcome, reason):
    ended(said, "failed", "99999", outcome)
    shown = page(log_in(ana), mine).split(f'id="m-{said.pk}"')[1].split("</article>")[0]
    assert (reason in shown, "99999" in shown) == (True, True)
    assert ("Send a template" in shown, "Send again" in shown) == (
        outcome == "window_closed", outcome != "window_closed",
    )  # fmt: skip


def test_an_unconfirmed_message_asks_before_it_goes_a_second_time(log_in, ana, mine, said):
    ended(said, "unknown", "no_answer")
    client = log_in(ana)
    shown = page(client, mine)
    assert "Check again" in shown
    assert f"/inbox/{mine.pk}/messages/{said.pk}/retry/" not in shown

    risk = client.get(f"/inbox/{mine.pk}/messages/{said.pk}/anyway/", headers=HTMX).content.decode()
    assert "the customer gets it twice" in risk
    assert f"/inbox/{mine.pk}/messages/{said.pk}/retry/" in risk


@pytest.mark.parametrize("known", [True, False])
def test_check_again_asks_the_platform_and_sends_nothing(log_in, ana, mine, said, monkeypatch, known):
    ended(said, "unknown", "no_answer")

    def look_up(delivery: Delivery) -> bool:
        if known:
            ended(said, "delivered")
        return known

    monkeypatch.setattr(actions_sending.reconcile, "look_up", look_up)
    answer = log_in(ana).post(f"/inbox/{mine.pk}/messages/{said.pk}/check/", headers=HTMX).content.decode()
    assert ("delivered" if known else "still does not know") in answer
    assert Delivery.objects.get().attempts == 0


def test_only_who_has_it_or_leads_checks_again(log_in, bia, mine, said):
    ended(said, "unknown")
    answer = log_in(bia).post(f"/inbox/{mine.pk}/messages/{said.pk}/check/", headers=HTMX)
    assert answer.status_code == 404
