"""From the phone to the bot, to an agent and back, over real HTTP both ways."""

from __future__ import annotations

import json

import pytest

from channels_hub import http
from channels_hub.models import InboundEvent, MediaFile
from channels_hub.simulator import services, wire
from channels_hub.simulator.services import Written
from conversations import handoff, outbox
from conversations.models import Message
from tests.simulator.conftest import shown_on

pytestmark = pytest.mark.django_db
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360"
    "f8cfc0f01f0005000201a5f645400000000049454e44ae426082"
)


def post_signed(channel, body: bytes, *, sent: bytes | None = None) -> int:
    headers = wire.signed(channel, json.loads(body)["id"], body)
    client = http.Client()
    try:
        return client.request("POST", wire.url_of(channel), data=sent or body, headers=headers).status
    finally:
        client.close()


def event(channel, phone, text: str = "oi") -> bytes:
    message = services.write(channel, phone.pk, Written(text=text))[0]
    return json.dumps(wire.message_event(channel, phone, message)).encode()


def test_what_a_customer_writes_is_taken_by_the_desk(phones_channel, mariana, desk):
    message, status = services.write(phones_channel, mariana.pk, Written(text="Oi"))
    desk.listen()

    assert status == 200
    assert Message.objects.get().text == "Oi"
    assert desk.conversation().contact.name == "Mariana Souza"
    assert shown_on(mariana) == [message]
    assert shown_on(mariana)[0].state == "sent"


def test_a_changed_body_is_refused_and_leaves_no_row(phones_channel, mariana):
    body = event(phones_channel, mariana)
    InboundEvent.objects.all().delete()

    assert post_signed(phones_channel, body, sent=body.replace(b'"oi"', b'"ai"')) == 403
    assert not InboundEvent.objects.exists()
    assert post_signed(phones_channel, body) == 200
    assert InboundEvent.objects.count() == 1


def test_another_secret_is_refused(phones_channel, mariana):
    body = event(phones_channel, mariana)
    InboundEvent.objects.all().delete()
    phones_channel.secrets["signing_secret"] = "whsec_c29tZXRoaW5nLWVsc2UtZW50aXJlbHktMzItYnl0ZXM="

    assert post_signed(phones_channel, body) == 403
    assert not InboundEvent.objects.exists()


def test_the_whole_way_from_menu_to_agent_and_back(phones_channel, mariana, receiving, desk, ana):
    services.write(phones_channel, mariana.pk, Written(text="oi"))
    desk.answer()
    menu = shown_on(mariana)[-1]
    assert [option["id"] for option in menu.options] == ["pedido", "segunda_via", "humano"]

    option = services.option_of(mariana, menu.pk, "pedido")
    services.write(phones_channel, mariana.pk, Written(text=option["title"], choice=option))
    desk.answer()
    assert shown_on(mariana)[-1].text == "Qual é o número do pedido?"

    services.write(phones_channel, mariana.pk, Written(text="48213"))
    desk.answer()
    conversation = desk.conversation()
    assert conversation.state == "queued"
    assert conversation.extra_data["handoff_context"] == "Pedido 48213"

    handoff.claim(conversation.pk, agent_id=ana.pk)
    outbox.reply(conversation.pk, agent=ana, text="Oi, aqui é a Ana.")
    desk.send()
    assert shown_on(mariana)[-1].text == "Oi, aqui é a Ana."


def test_ticks_climb_as_the_phone_shows_and_its_owner_reads(phones_channel, mariana, receiving, desk):
    services.write(phones_channel, mariana.pk, Written(text="oi"))
    desk.answer()
    assert desk.last_delivery().status == "sent"

    services.confirm_all(phones_channel, None)
    desk.listen()
    assert desk.last_delivery().status == "delivered"

    services.confirm_all(phones_channel, mariana.pk)
    desk.listen()
    assert desk.last_delivery().status == "read"


def test_a_photo_travels_by_the_platforms_own_address(phones_channel, mariana, desk, tmp_path, settings):
    settings.MEDIA_ROOT = tmp_path
    services.write(phones_channel, mariana.pk, Written(photo=PNG, photo_type="image/png"))
    desk.listen()
    desk.fetch_media()

    photo = MediaFile.objects.get()
    assert (photo.state, photo.mime, photo.size) == ("ok", "image/png", len(PNG))


def test_a_place_arrives_with_its_label(phones_channel, mariana, desk):
    place = {"latitude": -23.5, "longitude": -46.6, "label": "Avenida Paulista"}
    services.write(phones_channel, mariana.pk, Written(location=place))
    desk.listen()

    message = Message.objects.get()
    assert (message.kind, message.location) == ("location", place)


def test_a_phone_keeps_its_latest_messages_only(phones_channel, mariana, monkeypatch):
    monkeypatch.setattr(services, "KEPT", 3)
    for number in range(5):
        services.write(phones_channel, mariana.pk, Written(text=str(number)))

    assert [message.text for message in shown_on(mariana)] == ["2", "3", "4"]


def test_an_empty_message_is_not_written(phones_channel, mariana):
    with pytest.raises(services.NothingToSay):
        services.write(phones_channel, mariana.pk, Written())
    assert shown_on(mariana) == []
