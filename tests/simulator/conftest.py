"""Acme's phones behind a real server: what they post and what the desk sends travels over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.test import Client

from accounts.models import Membership, Organization
from channels_hub import media
from channels_hub.models import ChannelAccount
from channels_hub.simulated import SimMessage, SimPhone
from channels_hub.simulator import services
from conversations import clockwork, intake, sending
from conversations.models import Conversation, Delivery, Pace, Reception
from conversations.moves import database_now
from flows.models import Flow
from queues.models import Queue


@pytest.fixture
def server(live_server, settings) -> Iterator[str]:
    """This installation, reachable by itself as in `manage.py up`."""
    settings.INTERNAL_URL = settings.PUBLIC_URL = live_server.url
    settings.PYTAKE_ALLOW_PRIVATE_HOSTS = [urlsplit(live_server.url).netloc]
    settings.PYTAKE_COALESCE_SECONDS = 0
    yield live_server.url
    # A connection kept alive would keep a thread of the server, and its database connection, past the test.
    sending.close_clients()


@pytest.fixture
def phones_channel(acme: Organization, server: str, phone_channel: ChannelAccount) -> ChannelAccount:
    """The phone channel when messages really travel."""
    phone_channel.config["api_base"] = server
    phone_channel.save(update_fields=["config"])
    return phone_channel


@pytest.fixture
def mariana(phone_channel: ChannelAccount) -> SimPhone:
    return services.add_phone(phone_channel, "Mariana Souza")


@pytest.fixture
def receiving(phone_channel: ChannelAccount, flow: Flow, support: Queue) -> Reception:
    """Acme's phone channel starts with the demo flow."""
    return Reception.objects.create(
        organization=phone_channel.organization,
        channel=phone_channel,
        default_flow=flow,
        default_queue=support,
    )


@pytest.fixture
def log_in(client: Client) -> Callable[[Membership], Client]:
    def enter(member: Membership) -> Client:
        client.force_login(member.user)
        return client

    return enter


class Desk:
    """Does by hand what workers and poller do."""

    def __init__(self, organization: Organization) -> None:
        self.organization = organization

    def listen(self) -> None:
        """Take in what the phones posted and let the bot answer."""
        intake.drain()
        clockwork.drain_deadlines()

    def send(self) -> None:
        sending.drain(threads=1)

    def answer(self) -> None:
        self.listen()
        self.send()

    def hurry(self) -> None:
        """As if the waiting time of a retry were over."""
        Delivery.objects.filter(status="retrying").update(due_at=database_now() - timedelta(seconds=1))
        Pace.objects.update(rests_until=None)

    def fetch_media(self) -> None:
        for media_id in media.due():
            media.fetch(media_id)

    def conversation(self) -> Conversation:
        return Conversation.objects.get()

    def deliveries(self) -> list[Delivery]:
        return list(Delivery.objects.order_by("seq", "part"))

    def last_delivery(self) -> Delivery:
        return self.deliveries()[-1]


@pytest.fixture
def desk(acme: Organization) -> Desk:
    return Desk(acme)


def shown_on(phone: SimPhone) -> list[SimMessage]:
    return list(phone.messages.order_by("place"))
