"""The rows that benches work on: one organization, its channel, people, a waiting line of any length."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils import timezone
from django_scopes import scope

from accounts.models import Membership, Organization, User
from channels_hub.models import ChannelAccount
from contacts.models import Contact, Identity
from conversations.models import Conversation, Event, Message, Reception
from queues.models import AgentProfile, Department, Queue

SID, TOKEN, ADDRESS = "AC00000000000000000000000000000009", "bench_auth_token", "+551130000009"
TABLES = "conversations_conversation, contacts_contact, channels_hub_inboundevent"


@dataclass
class Desk:
    organization: Organization
    channel: ChannelAccount
    queue: Queue
    supervisor: Membership
    agents: list[Membership]


@contextmanager
def desk(*, agents: int = 4) -> Iterator[Desk]:
    """An organization with one channel, one queue, a supervisor and some agents; its scope is entered."""
    organization, _ = Organization.objects.get_or_create(slug="bench", defaults={"name": "Bench"})
    with scope(organization=organization):
        known = ChannelAccount.objects.filter(address=ADDRESS).first()
        if known is None:
            _furnish(organization, agents)
        people = list(Membership.objects.select_related("user").order_by("user__email"))
        yield Desk(
            organization,
            ChannelAccount.objects.get(address=ADDRESS),
            Queue.objects.get(slug="bench"),
            next(p for p in people if p.role == "supervisor"),
            [p for p in people if p.role == "agent"],
        )


def _furnish(organization: Organization, agents: int) -> None:
    department = Department.objects.create(organization=organization, name="Bench", slug="bench")
    queue = Queue.objects.create(organization=organization, department=department, name="Bench", slug="bench")
    channel = ChannelAccount.objects.create(
        organization=organization, kind="twilio_whatsapp", name="Bench", address=ADDRESS,
        config={"account_sid": SID}, secrets={"auth_token": TOKEN},
    )  # fmt: skip
    Reception.objects.create(organization=organization, channel=channel, default_queue=queue)
    for name in ["supervisor", *(f"agent{n}" for n in range(agents))]:
        user = User.objects.create_user(f"{name}@bench.test", None, name=name.title())
        role = "supervisor" if name == "supervisor" else "agent"
        member = Membership.objects.create(organization=organization, user=user, role=role)
        AgentProfile.objects.create(
            organization=organization, member=member, capacity=32000, presence="online"
        )


def clean() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {TABLES} CASCADE")


def waiting_line(place: Desk, length: int) -> list[Any]:
    """So many conversations in the queue, as if each had arrived a second after the one before; their ids."""
    now = timezone.now() - timedelta(seconds=length)
    contacts = [Contact(organization=place.organization, name=f"Contact {n}") for n in range(length)]
    Contact.objects.bulk_create(contacts, batch_size=2000)
    identities = [
        Identity(
            organization=place.organization, contact=contact, scheme="phone", value=f"+55119{n:08d}",
            raw=f"whatsapp:+55119{n:08d}", equivalence=f"+55119{n:08d}",
        )
        for n, contact in enumerate(contacts)
    ]  # fmt: skip
    Identity.objects.bulk_create(identities, batch_size=2000)
    rows = [
        Conversation(
            organization=place.organization, channel=place.channel, contact=contact, identity=identities[n],
            state="queued", queue=place.queue, queue_priority=(50, 80)[n % 5 == 0],
            queued_at=now + timedelta(seconds=n), handoff_at=now, last_message_at=now + timedelta(seconds=n),
            last_inbound_at=now, preview="Preciso de ajuda", preview_sender="contact", unread=1, seq=1,
        )
        for n, contact in enumerate(contacts)
    ]  # fmt: skip
    Conversation.objects.bulk_create(rows, batch_size=2000)
    _first_messages(place, rows)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE conversations_conversation, conversations_event, conversations_message")
    return [row.pk for row in rows]


def _first_messages(place: Desk, rows: list[Conversation]) -> None:
    messages = [
        Message(
            organization=place.organization, conversation=row, channel=place.channel, seq=1, direction="in",
            sender="contact", text="Preciso de ajuda", occurred_at=row.last_message_at,
            created_at=row.last_message_at,
        )
        for row in rows
    ]  # fmt: skip
    Message.objects.bulk_create(messages, batch_size=2000)
    Event.objects.bulk_create(
        (
            Event(
                organization=place.organization, conversation=row, seq=1, type="message_in",
                data={"message": str(message.pk)},
            )
            for row, message in zip(rows, messages, strict=True)
        ),
        batch_size=2000,
    )  # fmt: skip
