"""The page with the phones: who may open it, what its forms do, what its poll tells."""

from __future__ import annotations

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django_scopes import scope

from channels_hub.simulated import SimPhone
from channels_hub.simulator import platform, services
from channels_hub.simulator.services import Written
from tests.conftest import new_channel
from tests.simulator.conftest import shown_on
from tests.simulator.test_round_trip import PNG

pytestmark = pytest.mark.django_db
# The same in every process of a run: parallel workers must collect the same tests.
NOBODYS_ID = "0190a5f2-0000-7000-8000-000000000000"
JSON = {"Accept": "application/json"}


@pytest.fixture
def ana_browses(log_in, ana):
    return log_in(ana)


def say(client, phone: SimPhone, **data):
    return client.post(f"/simulator/phones/{phone.pk}/messages", data, headers=JSON)


def poll(client, known: dict[str, str], focused: str | None = None):
    body = json.dumps({"phones": known, "focused": focused})
    return client.post("/simulator/poll", body, content_type="application/json", headers=JSON)


def test_an_agent_sees_the_phones(ana_browses, mariana):
    html = ana_browses.get("/simulator/").content.decode()
    assert "Mariana Souza" in html
    assert f'data-phone="{mariana.pk}"' in html


def test_a_viewer_may_not_use_the_simulator(log_in, vic, mariana):
    client = log_in(vic)
    assert client.get("/simulator/").status_code == 403
    assert say(client, mariana, text="oi").status_code == 403
    assert shown_on(mariana) == []


def test_a_stranger_is_sent_to_the_login(client, mariana):
    answer = client.get("/simulator/")
    assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/login/")


def test_without_a_phone_channel_the_page_says_so(ana_browses, twilio_channel):
    answer = ana_browses.get("/simulator/")
    assert answer.status_code == 200
    assert next(template.name for template in answer.templates) == "simulator/no_channel.html"


@pytest.mark.parametrize("what", ["messages", "switches", "remove"])
def test_another_organizations_phone_does_not_exist(ana_browses, mariana, rival, what):
    with scope(organization=rival):
        theirs = services.add_phone(new_channel(rival, "phone"), "Rita")

    answer = ana_browses.post(f"/simulator/phones/{theirs.pk}/{what}", {"text": "oi"}, headers=JSON)
    assert answer.status_code == 404
    with scope(organization=rival):
        assert theirs.messages.count() == 0
        assert SimPhone.objects.filter(pk=theirs.pk).exists()


def test_another_organizations_photo_does_not_exist(ana_browses, mariana, rival, server):
    with scope(organization=rival):
        channel = new_channel(rival, "phone")
        theirs = services.add_phone(channel, "Rita")
        message = services.write(channel, theirs.pk, Written(photo=PNG, photo_type="image/png"))[0]

    for phone in (theirs, mariana):
        assert ana_browses.get(f"/simulator/phones/{phone.pk}/photos/{message.pk}").status_code == 404


def test_the_poll_never_shows_another_organizations_phones(ana_browses, mariana, rival):
    with scope(organization=rival):
        theirs = services.add_phone(new_channel(rival, "phone"), "Rita")

    told = poll(ana_browses, {str(theirs.pk): "0"}, str(theirs.pk)).json()
    assert [phone["id"] for phone in told["phones"]] == [str(mariana.pk)]


def test_writing_answers_what_the_webhook_answered(ana_browses, phones_channel, mariana):
    answer = say(ana_browses, mariana, text="Oi")
    assert (answer.status_code, answer.json()["webhook_status"]) == (200, 200)
    assert [message.text for message in shown_on(mariana)] == ["Oi"]


def test_a_desk_that_cannot_be_reached_shows_on_the_phone(ana_browses, mariana, settings):
    settings.INTERNAL_URL = "http://127.0.0.1:9"
    assert say(ana_browses, mariana, text="Oi").status_code == 502
    assert (shown_on(mariana)[0].state, shown_on(mariana)[0].trouble) == ("failed", "no_answer")


def test_a_desk_that_refuses_shows_on_the_phone(ana_browses, phones_channel, mariana):
    phones_channel.secrets["signing_secret"] = ""
    phones_channel.save(update_fields=["secrets"])
    assert say(ana_browses, mariana, text="Oi").status_code == 403
    assert shown_on(mariana)[0].trouble == "http_403"


def test_tapping_a_button_sends_its_id(ana_browses, phones_channel, mariana, receiving, desk):
    say(ana_browses, mariana, text="oi")
    desk.answer()
    menu = shown_on(mariana)[-1]

    assert say(ana_browses, mariana, choice=f"{menu.pk}:humano").status_code == 200
    tapped = shown_on(mariana)[-1]
    assert (tapped.text, tapped.choice["id"], tapped.reply_to) == (
        "Falar com atendente",
        "humano",
        str(menu.pk),
    )
    desk.listen()
    assert desk.conversation().state == "queued"


@pytest.mark.parametrize("choice", [f"{NOBODYS_ID}:humano", "nonsense:humano", f"{NOBODYS_ID}:"])
def test_an_option_that_nobody_offered_is_refused(ana_browses, mariana, choice):
    assert say(ana_browses, mariana, choice=choice).status_code == 422
    assert shown_on(mariana) == []


def test_a_photo_is_shown_and_kept_as_what_its_bytes_say(ana_browses, phones_channel, mariana):
    file = SimpleUploadedFile("holiday.txt", PNG, content_type="text/plain")
    assert say(ana_browses, mariana, photo=file).status_code == 200

    answer = ana_browses.get(f"/simulator/phones/{mariana.pk}/photos/{shown_on(mariana)[0].pk}")
    assert (answer["Content-Type"], answer.content) == ("image/png", PNG)


@pytest.mark.parametrize("content", [b"<svg onload='x()'/>", PNG + b"\0" * 1024 * 1024])
def test_what_is_no_small_picture_is_refused(ana_browses, mariana, content):
    file = SimpleUploadedFile("photo.png", content, content_type="image/png")
    assert say(ana_browses, mariana, photo=file).status_code == 422
    assert shown_on(mariana) == []


def test_an_empty_message_is_refused_in_words(ana_browses, mariana):
    answer = say(ana_browses, mariana, text="   ")
    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_the_poll_tells_what_changed_and_only_that(ana_browses, phones_channel, mariana):
    joao = services.add_phone(phones_channel, "João Pereira")
    first = poll(ana_browses, {str(mariana.pk): "0", str(joao.pk): "0"}).json()
    known = {phone["id"]: phone["revision"] for phone in first["phones"]}
    assert set(known) == {str(mariana.pk), str(joao.pk)}
    assert first["reload"] is False

    say(ana_browses, mariana, text="novidade")
    told = poll(ana_browses, known).json()
    assert [phone["id"] for phone in told["phones"]] == [str(mariana.pk)]
    assert "novidade" in told["phones"][0]["html"]


def test_the_poll_says_when_phones_came_or_went(ana_browses, mariana):
    assert poll(ana_browses, {}).json()["reload"] is True


@pytest.mark.parametrize("body", ["", "[]", '{"phones": 1}', '{"phones": {}, "focused": "x"}'])
def test_a_poll_that_makes_no_sense_is_refused(ana_browses, mariana, body):
    answer = ana_browses.post("/simulator/poll", body, content_type="application/json")
    assert answer.status_code == 400


def test_a_poll_without_news_stays_cheap(ana_browses, phone_channel, mariana, django_assert_max_num_queries):
    known = {phone["id"]: phone["revision"] for phone in poll(ana_browses, {}).json()["phones"]}
    with django_assert_max_num_queries(6):
        assert poll(ana_browses, known).json()["phones"] == []


def test_customers_text_is_never_html(ana_browses, phones_channel, mariana):
    say(ana_browses, mariana, text="<script>alert(1)</script>")
    html = poll(ana_browses, {}).json()["phones"][0]["html"]
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_phones_are_added_up_to_a_limit_and_removed(ana_browses, phone_channel, monkeypatch):
    monkeypatch.setattr(services, "MAX_PHONES", 2)
    answers = [ana_browses.post("/simulator/phones", {"name": ""}, headers=JSON) for _one in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 422]

    phones = list(phone_channel.phones.all())
    assert [phone.name for phone in phones] == ["Mariana Souza", "João Pereira"]
    ana_browses.post(f"/simulator/phones/{phones[0].pk}/remove", headers=JSON)
    assert list(phone_channel.phones.all()) == phones[1:]


def test_without_javascript_the_forms_come_back_to_the_page(ana_browses, phones_channel, mariana):
    answer = ana_browses.post(f"/simulator/phones/{mariana.pk}/messages", {"text": "oi"})
    assert (answer.status_code, answer["Location"]) == (302, f"/simulator/#phone-{mariana.pk}")


def test_platform_and_phone_switches_are_kept(ana_browses, phone_channel, mariana):
    ana_browses.post("/simulator/platform", {"latency_ms": "250", "failure": "500", "failures_left": "3"})
    ana_browses.post(f"/simulator/phones/{mariana.pk}/switches", {"receives": "on"})
    ana_browses.post("/simulator/clock", {"to": "later"})

    phone_channel.refresh_from_db()
    mariana.refresh_from_db()
    assert platform.switches_of(phone_channel) == platform.Switches(250, "500", 3)
    assert platform.offset(phone_channel) == platform.DAY
    assert (mariana.receives, mariana.reads, mariana.always_on) == (True, False, False)


@pytest.mark.parametrize("data", [{"latency_ms": "-1", "failure": "ok"}, {"latency_ms": "0", "failure": "?"}])
def test_switches_that_make_no_sense_are_refused(ana_browses, phone_channel, data):
    assert ana_browses.post("/simulator/platform", data, headers=JSON).status_code == 422


def test_enter_in_the_text_field_sends_the_text_and_taps_no_option(
    ana_browses, phones_channel, mariana, receiving, desk
):
    say(ana_browses, mariana, text="oi")
    desk.answer()
    html = ana_browses.get("/simulator/").content.decode()
    buttons = [
        tag for tag in html.split("<button")[1:] if f'form="say-{mariana.pk}"' in tag.partition(">")[0]
    ]
    # Browsers press the first button of a form on Enter.
    assert "name=" not in buttons[0].partition(">")[0]
    assert [tag for tag in buttons if 'name="choice"' in tag.partition(">")[0]]


def test_the_page_carries_no_inline_script_or_style(ana_browses, phones_channel, mariana):
    services.write(phones_channel, mariana.pk, Written(text="oi"))
    html = ana_browses.get("/simulator/").content.decode()
    assert " style=" not in html
    assert "<style" not in html
    assert not [tag for tag in html.split("<script")[1:] if "src=" not in tag.partition(">")[0]]
