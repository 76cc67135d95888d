"""Files of the desk on their way to a customer, over real HTTP."""

from __future__ import annotations

import pytest
import requests
from django.core.files.uploadedfile import SimpleUploadedFile

from channels_hub import media, uploads
from channels_hub.fake_provider import FakeProvider
from channels_hub.models import MediaFile
from channels_hub.simulator import services
from channels_hub.simulator.services import Written
from conversations import handoff, outbox, sending
from tests.channels_hub.files import photo
from tests.simulator.conftest import shown_on

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path


def test_a_photo_of_the_agent_is_seen_on_the_phone(phones_channel, mariana, desk, ana, log_in, client):
    services.write(phones_channel, mariana.pk, Written(text="Oi"))
    desk.listen()
    talk = desk.conversation()
    handoff.assign_agent(talk.pk, ana.pk)
    file = uploads.take(phones_channel, ana, SimpleUploadedFile("recibo.jpg", photo()))
    outbox.reply(talk.pk, agent=ana, text="Segue o recibo", media=[file.pk])
    desk.send()

    [photo_shown] = shown_on(mariana)[-1].media
    assert (photo_shown["kind"], photo_shown["filename"]) == ("image", "recibo.jpg")
    assert shown_on(mariana)[-1].text == "Segue o recibo"
    fetched = requests.get(photo_shown["url"], timeout=10)
    assert (fetched.status_code, fetched.headers["Content-Type"]) == (200, "image/jpeg")
    assert len(fetched.content) == file.size
    page = log_in(ana).get("/simulator/")
    assert f'src="{photo_shown["url"]}"' in page.content.decode()


def test_a_platform_fetches_the_file_by_a_link_of_a_day(
    server, twilio_channel, ana, make_conversation, settings
):
    with FakeProvider() as provider:
        settings.PYTAKE_ALLOW_PRIVATE_HOSTS = [provider.url.removeprefix("http://")]
        twilio_channel.config["api_base"] = provider.url
        twilio_channel.save(update_fields=["config"])
        talk = make_conversation("human_handoff", agent=ana)
        file = uploads.take(twilio_channel, ana, SimpleUploadedFile("recibo.jpg", photo()))
        outbox.reply(talk.pk, agent=ana, text="Segue", media=[file.pk])
        sending.drain(threads=1)
        [call] = provider.requests()
        sending.close_clients()

    url = call["form"]["MediaUrl"]
    assert url.startswith(f"{server}/media/")
    head = requests.head(url, timeout=10, allow_redirects=False)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(file.size))
    got = requests.get(url, timeout=10, allow_redirects=False)
    assert (got.status_code, got.headers["Content-Type"], len(got.content)) == (200, "image/jpeg", file.size)
    assert requests.get(url[:-2] + "x/", timeout=10).status_code == 404
    assert "Set-Cookie" not in got.headers
    MediaFile.objects.update(state="unavailable")
    assert requests.get(url, timeout=10).status_code == 404
    assert media.URL_HOURS == 24
