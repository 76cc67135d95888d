"""Two worlds of the same shape, and a browser per role."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from accounts.models import Membership, Organization
from channels_hub.fake_provider import FakeProvider
from channels_hub.models import ChannelAccount
from tests.admin.world import World, build


@pytest.fixture
def ours(acme: Organization) -> World:
    return build(acme, "OURMARK", "+55113333000")


@pytest.fixture
def theirs(rival: Organization) -> World:
    return build(rival, "RIVALMARK", "+55114444000")


@pytest.fixture
def enter() -> Callable[[Membership], Client]:
    def log_in(member: Membership) -> Client:
        client = Client()
        client.force_login(member.user)
        return client

    return log_in


@pytest.fixture
def boss(ours: World, enter: Callable[[Membership], Client]) -> Client:
    """The owner's browser."""
    return enter(ours.members["owner"])


@pytest.fixture
def lead(ours: World, enter: Callable[[Membership], Client]) -> Client:
    """The supervisor's browser."""
    return enter(ours.members["supervisor"])


@pytest.fixture
def fake(ours: Any, settings: Any) -> Iterator[FakeProvider]:
    """The platform of the channel in our world."""
    with FakeProvider() as provider:
        settings.PYTAKE_ALLOW_PRIVATE_HOSTS = [provider.url.removeprefix("http://")]
        account = ours[ChannelAccount]
        account.config = {**account.config, "api_base": provider.url}
        account.save(update_fields=["config"])
        yield provider
