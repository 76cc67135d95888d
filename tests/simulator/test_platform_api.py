"""The platform's own API: who may call it, and what it takes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django_scopes import scope

from channels_hub.simulated import SimMessage, SimPhone
from channels_hub.simulator import platform, services
from channels_hub.simulator.services import Written
from tests.conftest import new_channel
from tests.simulator.conftest import shown_on
from tests.simulator.test_round_trip import PNG

pytestmark = pytest.mark.django_db
URL = "/simulator/api/simulador/"


@pytest.fixture
def call(client, phone_channel):
    def post(path: str = "messages", *, token: str = "t" * 32, **body):
        return client.post(
            URL + path, body, content_type="application/json", headers={"Authorization": f"Bearer {token}"}
        )

    return post


@pytest.fixture
def open_window(mariana):
    SimPhone.objects.filter(pk=mariana.pk).update(wrote_at=platform.timezone.now())


def test_a_message_is_taken_with_an_id(call, mariana, open_window):
    answer = call(to=mariana.number, text="Olá", client_ref="r1")

    assert answer.status_code == 201
    assert answer.json() == {"message_id": str(shown_on(mariana)[0].pk), "state": "sent"}


def test_the_same_reference_is_one_message(call, mariana, open_window):
    answers = [call(to=mariana.number, text="Olá", client_ref="r1").json() for _again in range(2)]

    assert answers[0] == answers[1]
    assert len(shown_on(mariana)) == 1


@pytest.mark.parametrize("token", ["", "wrong", "é" * 32])
def test_a_wrong_token_is_refused(call, mariana, open_window, token):
    assert call(to=mariana.number, text="Olá", token=token).status_code == 401
    assert shown_on(mariana) == []


def test_the_token_of_another_organization_reaches_its_own_phones_only(call, mariana, open_window, rival):
    with scope(organization=rival):
        theirs = new_channel(rival, "phone")
        theirs.secrets["api_token"] = "r" * 32
        theirs.save(update_fields=["secrets"])

    assert call(to=mariana.number, text="Olá", token="r" * 32).status_code == 404
    assert shown_on(mariana) == []


def test_an_unknown_number_is_unreachable(call, mariana):
    answer = call(to="+5511900000000", text="Olá")
    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_phone")


def test_the_platform_itself_closes_the_window(call, mariana):
    assert call(to=mariana.number, text="Olá").json()["code"] == "window_closed"

    long_ago = platform.timezone.now() - timedelta(hours=24, seconds=1)
    SimPhone.objects.filter(pk=mariana.pk).update(wrote_at=long_ago)
    assert call(to=mariana.number, text="Olá").status_code == 422
    assert shown_on(mariana) == []


def test_what_is_not_json_is_refused(client, phone_channel):
    headers = {"Authorization": f"Bearer {'t' * 32}"}
    answer = client.post(URL + "messages", b"{", content_type="application/json", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "content")


def test_typing_shows_and_read_turns_the_ticks(call, phones_channel, mariana):
    services.write(phones_channel, mariana.pk, Written(text="oi"))
    assert call("signals", what="typing", to=mariana.number).status_code == 204
    assert call("signals", what="read", to=mariana.number).status_code == 204
    assert call("signals", what="dance", to=mariana.number).status_code == 404

    mariana.refresh_from_db()
    assert mariana.typing_until > platform.timezone.now()
    assert shown_on(mariana)[0].state == "read"


def test_a_photo_needs_the_token(client, phones_channel, mariana):
    message = services.write(phones_channel, mariana.pk, Written(photo=PNG, photo_type="image/png"))[0]
    url = f"{URL}media/{message.pk}"

    assert client.get(url).status_code == 401
    answer = client.get(url, headers={"Authorization": f"Bearer {'t' * 32}"})
    assert (answer.content, answer["Content-Type"]) == (PNG, "image/png")
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_photos_are_encrypted_at_rest(phones_channel, mariana):
    services.write(phones_channel, mariana.pk, Written(photo=PNG, photo_type="image/png"))
    with platform.transaction.get_connection().cursor() as cursor:
        cursor.execute(f"SELECT photo FROM {SimMessage._meta.db_table}")
        assert b"PNG" not in bytes(cursor.fetchone()[0])
