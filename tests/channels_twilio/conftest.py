"""A fake Twilio and the adapter that talks to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from channels_hub.fake_provider import FakeProvider
from channels_hub.http import Client
from channels_twilio.adapter import TwilioWhatsApp
from tests.channels_twilio.recorded import BASE, SID


@pytest.fixture
def fake(settings) -> Iterator[FakeProvider]:
    with FakeProvider() as provider:
        settings.PYTAKE_ALLOW_PRIVATE_HOSTS = [provider.url.removeprefix("http://")]
        yield provider


@pytest.fixture
def http() -> Iterator[Client]:
    client = Client()
    yield client
    client.close()


@pytest.fixture
def twilio(fake) -> TwilioWhatsApp:
    return TwilioWhatsApp({"account_sid": SID, "api_base": fake.url}, "+551130000000", callback_url=BASE)
