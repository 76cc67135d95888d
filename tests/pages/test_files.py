"""Files in the inbox: shown small, opened whole, attached by who answers."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from channels_hub.models import MediaFile
from conversations.models import Attachment, Message
from tests.channels_hub.files import photo, picture
from tests.isolation import build

pytestmark = pytest.mark.django_db
JSON = {"Accept": "application/json"}


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture
def talk(make_conversation, ana):
    return make_conversation("human_handoff", agent=ana)


@pytest.fixture
def attach(talk, log_in):
    def send(member, data, name="foto.jpg", **fields):
        form = {"file": SimpleUploadedFile(name, data), **fields}
        return log_in(member).post(f"/inbox/{talk.pk}/files/", form, headers=JSON)

    return send


def test_a_picture_is_attached_sent_and_shown_small(attach, talk, log_in, ana):
    found = attach(ana, photo((1600, 1200))).json()
    sent = log_in(ana).post(f"/inbox/{talk.pk}/reply/", {"text": "", "media": found["id"]}, headers=JSON)

    assert sent.status_code == 201
    assert f'src="/media/{found["id"]}/thumbnail/"' in sent.json()["html"]
    assert f'href="/media/{found["id"]}/"' in sent.json()["html"]
    small = log_in(ana).get(f"/media/{found['id']}/thumbnail/")
    assert (small.status_code, small.headers["Content-Type"]) == (200, "image/webp")


def test_a_refusal_says_why(attach, ana, talk, log_in):
    answer = attach(ana, b"")
    assert (answer.status_code, answer.json()["detail"]) == (409, "This file is empty.")
    none = log_in(ana).post(f"/inbox/{talk.pk}/files/", headers=JSON)
    assert (none.status_code, none.json()["code"]) == (409, "no_file")


def test_only_who_answers_here_attaches(attach, bia, sofia, vic):
    assert attach(bia, picture()).status_code == 404
    assert attach(sofia, picture()).json()["code"] == "not_yours"
    assert attach(vic, picture()).status_code == 403
    assert not MediaFile.objects.exists()


def test_another_organizations_file_is_not_sent(talk, log_in, ana, rival, rival_agent):
    foreign = build(rival, rival_agent).ids["media"]
    answer = log_in(ana).post(f"/inbox/{talk.pk}/reply/", {"text": "x", "media": foreign}, headers=JSON)
    assert answer.status_code == 404
    assert not Message.objects.filter(conversation=talk).exists()


def test_a_voice_note_is_pending_until_a_worker_has_it(attach, talk, log_in, ana, bia):
    found = attach(ana, b"RIFF", "nota.webm", voice="1").json()
    assert found["state"] == "pending"
    early = log_in(ana).post(f"/inbox/{talk.pk}/reply/", {"media": found["id"]}, headers=JSON)
    assert (early.status_code, Message.objects.exists()) == (409, False)

    MediaFile.objects.update(state="unavailable")
    assert log_in(ana).get(found["check"]).json()["detail"].startswith("This recording could not be read")
    assert log_in(bia).get(found["check"]).status_code == 404


@pytest.mark.parametrize(
    ("state", "text"), [("unavailable", "no longer available"), ("pending", "File on its way")]
)
def test_a_file_that_is_not_there_says_so(talk, write_in, log_in, ana, state, text):
    message = write_in(talk, "", kind="image")
    media = MediaFile.objects.create(
        organization=ana.organization, account=talk.channel, kind="image", state=state
    )
    Attachment.objects.create(organization=ana.organization, message=message, media=media)
    client = log_in(ana)

    assert text in client.get(f"/inbox/{talk.pk}/").content.decode()
    assert client.get(f"/media/{media.pk}/").status_code == 404
    assert client.get(f"/media/{media.pk}/thumbnail/").status_code == 404


def test_a_voice_note_of_the_customer_plays_in_ranges(talk, write_in, log_in, ana):
    media = MediaFile(
        organization=ana.organization, account=talk.channel, kind="voice", mime="audio/ogg", state="ok"
    )
    media.file.save("x", SimpleUploadedFile("x", b"0123456789"), save=False)
    media.save()
    message = write_in(talk, "", kind="voice")
    Attachment.objects.create(organization=ana.organization, message=message, media=media)
    client = log_in(ana)

    assert (
        f'<audio controls preload="metadata" src="/media/{media.pk}/"'
        in client.get(f"/inbox/{talk.pk}/").content.decode()
    )
    part = client.get(f"/media/{media.pk}/", headers={"Range": "bytes=2-4"})
    assert (part.status_code, b"".join(part.streaming_content)) == (206, b"234")
