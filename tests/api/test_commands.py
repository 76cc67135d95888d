"""create_organization and rotate_keys."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection
from django_scopes import scope

from accounts import tokens
from accounts.models import IdempotencyKey, Membership, Organization, User
from accounts.vault import ring
from channels_hub.models import ChannelAccount, InboundEvent
from tests.api.caller import Calls
from tests.conftest import TWILIO_TOKEN

PASSWORD = "correct horse battery"


def create(slug: str = "nova", email: str = "Dona@nova.test", password: str = PASSWORD) -> None:
    call_command("create_organization", slug, name="Nova", owner_email=email, owner_password=password)


def test_a_new_organization_has_an_owner_who_can_log_in(db: None, place: str) -> None:
    create(email="Dona.New@nova.test")

    member = tokens.log_in("dona.new@nova.test", PASSWORD, place)
    assert (member.role, member.organization.slug) == ("owner", "nova")


def test_a_slug_is_taken_once(db: None) -> None:
    create()
    with pytest.raises(CommandError, match="already"):
        create(email="other@nova.test")

    assert Organization.objects.count() == 1
    assert User.objects.count() == 1


@pytest.mark.parametrize("password", ["short", "dona@nova.test"])
def test_a_weak_password_is_refused(db: None, password: str) -> None:
    with pytest.raises(CommandError):
        create(password=password)

    assert not Organization.objects.exists()


def test_somebody_known_keeps_their_password(ana: Membership) -> None:
    with pytest.raises(CommandError, match="password already"):
        create(email="ana@acme.test", password="another battery staple")

    create(email="ana@acme.test")
    assert User.objects.get(email="ana@acme.test").check_password(PASSWORD)


# ---------------------------------------------------------------- rotate_keys
def raw_secrets() -> list[bytes]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT secrets FROM channels_hub_channelaccount ORDER BY id")
        return [bytes(row[0]) for row in cursor.fetchall()]


def event(channel: ChannelAccount, body: bytes) -> InboundEvent:
    return InboundEvent.objects.create(
        organization_id=channel.organization_id, account=channel, key=body.ljust(32)[:32], sender_key=b"s",
        method="POST", url="/", body=body, kind="message", occurred_at=channel.created_at,
    )  # fmt: skip


def test_after_a_rotation_the_new_key_alone_opens_everything(
    twilio_channel: ChannelAccount, settings: Any
) -> None:
    events = [event(twilio_channel, f"body {n}".encode()) for n in range(5)]
    new, old = Fernet.generate_key().decode(), settings.PYTAKE_FIELD_KEYS
    settings.PYTAKE_FIELD_KEYS = [new, *old]

    call_command("rotate_keys", batch=2)

    settings.PYTAKE_FIELD_KEYS = [new]
    assert ChannelAccount.objects.get().secrets == {"auth_token": TWILIO_TOKEN}
    bodies = {bytes(e.body) for e in InboundEvent.objects.filter(pk__in=[e.pk for e in events])}
    assert bodies == {f"body {n}".encode() for n in range(5)}


def test_a_second_rotation_rewrites_nothing(twilio_channel: ChannelAccount, settings: Any) -> None:
    settings.PYTAKE_FIELD_KEYS = [Fernet.generate_key().decode(), *settings.PYTAKE_FIELD_KEYS]
    call_command("rotate_keys")
    before = raw_secrets()

    call_command("rotate_keys")

    assert raw_secrets() == before


def test_a_value_that_no_key_opens_is_reported_and_kept(
    twilio_channel: ChannelAccount, settings: Any
) -> None:
    before = raw_secrets()
    settings.PYTAKE_FIELD_KEYS = [Fernet.generate_key().decode()]

    with pytest.raises(CommandError, match="1 values"):
        call_command("rotate_keys")

    assert raw_secrets() == before


def test_kept_answers_with_a_secret_are_rewritten(olivia: Membership, by: Calls, settings: Any) -> None:
    body = {"name": "robot", "scopes": ["queues:read"]}
    key = by(olivia).post("api-keys", body, Idempotency_Key="k").json()["key"]
    assert key not in str(IdempotencyKey.objects.get().body)
    new = Fernet.generate_key().decode()
    settings.PYTAKE_FIELD_KEYS = [new, *settings.PYTAKE_FIELD_KEYS]

    call_command("rotate_keys")

    settings.PYTAKE_FIELD_KEYS = [new]
    with scope(organization=olivia.organization):
        assert key in ring().decrypt(IdempotencyKey.objects.get().body["sealed"].encode()).decode()
