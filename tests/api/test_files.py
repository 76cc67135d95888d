"""Files by API: uploaded into a conversation one has, then named by a message."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from accounts.models import Membership, Organization
from channels_hub import media
from channels_hub.models import MediaFile
from conversations import handoff, housekeeping, laters
from conversations.models import Conversation, Delivery, Later, Message
from tests.api.caller import ROOT, Caller, outside
from tests.channels_hub.files import photo, picture
from tests.conftest import new_channel
from tests.isolation import build


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Any) -> None:
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture
def talk(make_conversation: Any, ana: Membership) -> Conversation:
    return make_conversation("human_handoff", agent=ana)


def send_file(member: Membership, pk: Any, data: bytes, name: str = "foto.png", **fields: Any) -> Any:
    caller = Caller.of(member)
    form = {"conversation_id": str(pk), "file": SimpleUploadedFile(name, data), **fields}
    with outside():
        return caller.client.post(f"{ROOT}media", form, headers=caller.headers)


def test_a_file_goes_out_with_a_message(talk: Conversation, ana: Membership) -> None:
    found = send_file(ana, talk.pk, photo((900, 600)), "recibo.jpg")
    shown = {name: found.json()[name] for name in ("kind", "mime", "filename", "state")}
    assert (found.status_code, shown["kind"], shown["state"]) == (201, "image", "ok")

    body = {"text": "Segue", "media": [found.json()["id"]], "client_id": "1"}
    said = Caller.of(ana).post(f"conversations/{talk.pk}/messages", body)

    assert said.status_code == 201
    assert [one["filename"] for one in said.json()["media"]] == ["recibo.jpg"]
    assert (said.json()["kind"], said.json()["text"]) == ("image", "Segue")
    assert Delivery.objects.count() == 1, "the text is its caption"
    again = Caller.of(ana).post(f"conversations/{talk.pk}/messages", body)
    assert (again.status_code, again.json()["id"]) == (200, said.json()["id"])


def test_several_files_are_one_message_with_a_part_each_and_need_no_text(
    talk: Conversation, ana: Membership
) -> None:
    ids = [{"id": send_file(ana, talk.pk, picture((n, n))).json()["id"]} for n in (3, 4, 5)]
    said = Caller.of(ana).post(f"conversations/{talk.pk}/messages", {"media": ids})

    assert said.status_code == 201
    assert [one["id"] for one in said.json()["media"]] == [one["id"] for one in ids]
    assert Delivery.objects.count() == 3
    assert Conversation.objects.get().preview == "[image]"


@pytest.mark.parametrize("data", [b"", b"x" * 400], ids=["empty", "too big"])
def test_a_file_that_cannot_go_out_is_refused_in_words(
    talk: Conversation, ana: Membership, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "MAX_BYTES", 300)
    answer = send_file(ana, talk.pk, data)
    assert (answer.status_code, answer.json()["code"]) == (422, "too_big" if data else "empty_file")
    assert not MediaFile.objects.exists()


def test_only_who_has_the_conversation_attaches(
    talk: Conversation, ana: Membership, bia: Membership, sofia: Membership, vic: Membership
) -> None:
    assert send_file(bia, talk.pk, picture()).status_code == 404
    assert send_file(sofia, talk.pk, picture()).json()["code"] == "not_yours"
    assert send_file(vic, talk.pk, picture()).status_code == 403
    assert not MediaFile.objects.exists()


def test_foreign_files_and_conversations_are_unknown(
    talk: Conversation, ana: Membership, bia: Membership, rival: Organization, rival_agent: Membership,
    make_conversation: Any,
) -> None:  # fmt: skip
    foreign = build(rival, rival_agent).ids
    other = make_conversation("human_handoff", agent=bia)
    hers = send_file(bia, other.pk, picture()).json()["id"]

    assert send_file(ana, foreign["conversation"], picture()).status_code == 404
    for pk in (foreign["media"], hers, str(uuid4())):
        answer = Caller.of(ana).post(f"conversations/{talk.pk}/messages", {"text": "x", "media": [pk]})
        assert answer.status_code == 404
        assert Caller.of(ana).get(f"media/{pk}").status_code == 404
    assert not Message.objects.filter(conversation=talk).exists()


def test_a_file_of_another_channel_does_not_go_out_here(
    talk: Conversation, ana: Membership, acme: Organization, make_conversation: Any
) -> None:
    elsewhere = make_conversation("human_handoff", agent=ana, channel=new_channel(acme, "phone"))
    pk = send_file(ana, elsewhere.pk, picture()).json()["id"]
    answer = Caller.of(ana).post(f"conversations/{talk.pk}/messages", {"media": [pk]})
    assert answer.status_code == 404


def test_a_voice_note_goes_out_when_it_is_ready(talk: Conversation, ana: Membership) -> None:
    pk = send_file(ana, talk.pk, b"no sound", "nota.webm", voice="1").json()["id"]
    path, body = f"conversations/{talk.pk}/messages", {"media": [pk]}
    early = Caller.of(ana).post(path, body)
    assert (early.status_code, early.json()["code"]) == (409, "media_pending")

    media.fetch(pk)
    late = Caller.of(ana).post(path, body)
    assert (late.status_code, late.json()["code"]) == (422, "media_unavailable")
    assert Caller.of(ana).get(f"media/{pk}").json()["reason"] == "cannot convert"


def test_once_sent_a_file_is_seen_by_who_sees_the_conversation(
    talk: Conversation, ana: Membership, bia: Membership
) -> None:
    pk = send_file(ana, talk.pk, picture()).json()["id"]
    assert Caller.of(ana).get(f"media/{pk}").status_code == 200
    Caller.of(ana).post(f"conversations/{talk.pk}/messages", {"media": [pk]})
    handoff.transfer(talk.pk, actor=ana, agent_id=bia.pk)

    assert Caller.of(bia).get(f"media/{pk}").status_code == 200
    assert Caller.of(ana).get(f"media/{pk}").status_code == 404


def test_what_no_message_took_is_dropped_after_two_days(talk: Conversation, ana: Membership) -> None:
    sent, left = (send_file(ana, talk.pk, picture()).json()["id"] for _n in range(2))
    Caller.of(ana).post(f"conversations/{talk.pk}/messages", {"media": [sent]})
    housekeeping.drop_old_raw_bodies()
    assert MediaFile.objects.count() == 2

    MediaFile.objects.update(created_at="2020-01-01T00:00:00Z")
    housekeeping.drop_old_raw_bodies()
    assert str(MediaFile.objects.get().pk) == sent != left


def test_files_wait_with_a_planned_message_and_go_with_it(talk: Conversation, ana: Membership) -> None:
    ids = [send_file(ana, talk.pk, picture((n, n))).json()["id"] for n in (3, 4)]
    by_ana, address = Caller.of(ana), f"conversations/{talk.pk}/later"
    body = {"media": ids, "send_at": (timezone.now() + timedelta(hours=3)).isoformat()}
    made = by_ana.post(address, body)
    assert (made.status_code, [one["id"] for one in made.json()["media"]]) == (201, ids)

    MediaFile.objects.update(created_at="2020-01-01T00:00:00Z")
    housekeeping.drop_old_raw_bodies()
    assert MediaFile.objects.count() == 2, "somebody waits for them"

    Later.objects.update(send_at=timezone.now() - timedelta(seconds=1))
    assert (laters.release_due(), laters.release_due()) == (1, 0)
    message = Message.objects.get(direction="out")
    assert [str(one.media_id) for one in message.attachments.all()] == ids
    assert (message.kind, Delivery.objects.count()) == ("image", 2)


def test_files_of_a_withdrawn_plan_are_dropped(talk: Conversation, ana: Membership) -> None:
    pk = send_file(ana, talk.pk, picture()).json()["id"]
    by_ana, address = Caller.of(ana), f"conversations/{talk.pk}/later"
    later = by_ana.post(
        address, {"media": [pk], "send_at": (timezone.now() + timedelta(hours=3)).isoformat()}
    ).json()["id"]
    by_ana.delete(f"{address}/{later}")

    MediaFile.objects.update(created_at="2020-01-01T00:00:00Z")
    housekeeping.drop_old_raw_bodies()
    assert not MediaFile.objects.exists()


def test_somebody_elses_file_cannot_be_planned(
    talk: Conversation, ana: Membership, bia: Membership, make_conversation: Any
) -> None:
    theirs = send_file(bia, make_conversation("human_handoff", agent=bia).pk, picture()).json()["id"]
    body = {"media": [theirs], "send_at": (timezone.now() + timedelta(hours=3)).isoformat()}
    assert Caller.of(ana).post(f"conversations/{talk.pk}/later", body).status_code == 404
    assert not Later.objects.exists()
