"""The rows that benches work on: one organization, its channel, people, a waiting line of any length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Model
from django.db.models.expressions import DatabaseDefault
from django_scopes import scope

from accounts.ids import new_id
from accounts.models import Membership, Organization, User
from channels_hub.models import ChannelAccount
from contacts.models import Contact, Identity
from conversations.models import Conversation, Deadline, Event, Message, Reception, Stay
from queues.models import AgentProfile, Department, Queue

SID, TOKEN, ADDRESS = "AC00000000000000000000000000000009", "bench_auth_token", "+551130000009"
TEXT = "Preciso de ajuda"
CAPACITY = 32000  # of each agent: enough not to be measured
TABLES = "conversations_conversation, contacts_contact, channels_hub_inboundevent"


@dataclass
class Desk:
    organization: Organization
    channel: ChannelAccount
    queue: Queue
    supervisor: Membership
    agents: list[Membership]


@contextmanager
def desk(*, agents: int = 4, slug: str = "bench") -> Iterator[Desk]:
    """An organization with one channel, one queue, a supervisor and some agents; its scope is entered."""
    organization, is_new = Organization.objects.get_or_create(slug=slug, defaults={"name": slug.title()})
    with scope(organization=organization):
        if is_new:
            _furnish(organization)
        known = Membership.objects.filter(role="agent").count()
        for n in range(known, agents):
            _engage(organization, f"agent{n:02d}", "agent")
        people = list(Membership.objects.select_related("user").order_by("user__email"))
        yield Desk(
            organization,
            ChannelAccount.objects.get(address=ADDRESS),
            Queue.objects.get(slug=slug),
            next(p for p in people if p.role == "supervisor"),
            [p for p in people if p.role == "agent"][:agents],
        )


def _furnish(organization: Organization) -> None:
    own = {"organization": organization}
    named = {**own, "name": organization.name, "slug": organization.slug}
    queue = Queue.objects.create(**named, department=Department.objects.create(**named))
    channel = ChannelAccount.objects.create(
        **own, kind="twilio_whatsapp", name="Bench", address=ADDRESS,
        config={"account_sid": SID}, secrets={"auth_token": TOKEN},
    )  # fmt: skip
    Reception.objects.create(**own, channel=channel, default_queue=queue)
    _engage(organization, "supervisor", "supervisor")


def _engage(organization: Organization, name: str, role: str) -> None:
    user = User.objects.create_user(f"{name}@{organization.slug}.test", None, name=name.title())
    member = Membership.objects.create(organization=organization, user=user, role=role)
    AgentProfile.objects.create(
        organization=organization, member=member, capacity=CAPACITY, presence="online"
    )


def clean() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {TABLES} CASCADE")


def more_queues(place: Desk, number: int, **fields: Any) -> list[Queue]:
    """So many queues beside the desk's own."""
    return [
        Queue.objects.get_or_create(
            organization=place.organization, slug=f"bench-{n}",
            defaults={"name": f"Bench {n}", "department": place.queue.department, **fields},
        )[0]
        for n in range(number)
    ]  # fmt: skip


# ---------------------------------------------------------------- a line of any length
def waiting_line(
    place: Desk, length: int, *, among: Sequence[Queue] = (), seconds_apart: float = 1.0
) -> list[UUID]:
    """So many conversations wait, each come a moment after the one before; every fifth one is urgent."""
    lines = ", ".join(f"'{queue.pk}'::uuid" for queue in among or [place.queue])
    queue = f"(ARRAY[{lines}])[1 + n % {len(among) or 1}]"
    at = f"clock_timestamp() - ({length} - n) * interval '{seconds_apart} seconds'"
    columns = {
        "queue_id": queue,
        "queue_priority": "CASE WHEN n % 5 = 0 THEN 80 ELSE 50 END",
        **dict.fromkeys(("queued_at", "handoff_at", "waiting_since"), at),
    }
    ids = _conversations(place, length, at, "queued", columns)
    fill(Stay(organization=place.organization), ids, conversation_id="id", queue_id=queue, entered_at=at)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE conversations_conversation, conversations_event, conversations_message")
    return ids


def newcomers(place: Desk, length: int) -> list[UUID]:
    """So many conversations that nobody has received yet."""
    return _conversations(place, length, "clock_timestamp()", "pending", {})


def _conversations(place: Desk, length: int, at: str, state: str, columns: dict[str, str]) -> list[UUID]:
    """Rows of one conversation share its id in all tables, so that each table is filled by one statement."""
    ids, known = [new_id() for _ in range(length)], Contact.objects.count()
    own, phone = {"organization": place.organization}, f"'+55119' || lpad((n + {known})::text, 8, '0')"
    said = {"channel": place.channel, "seq": 1}
    moments = dict.fromkeys(("last_message_at", "last_inbound_at"), at)
    fill(Contact(**own), ids, name="'Contact ' || n")
    fill(
        Identity(**own, scheme="phone"), ids,
        contact_id="id", value=phone, raw=f"'whatsapp:' || {phone}", equivalence=phone,
    )  # fmt: skip
    fill(
        Conversation(**own, **said, state=state, preview=TEXT, preview_sender="contact", unread=1), ids,
        contact_id="id", identity_id="id", **moments, **columns,
    )  # fmt: skip
    fill(
        Message(**own, **said, direction="in", sender="contact", text=TEXT), ids,
        conversation_id="id", occurred_at=at, created_at=at,
    )  # fmt: skip
    fill(
        Event(**own, seq=1, type="message_in"), ids,
        conversation_id="made.id", data="jsonb_build_object('message', made.id)",
    )  # fmt: skip
    fill(Deadline(**own, kind="attention"), ids, conversation_id="id", due_at="now() + interval '1 day'")
    return ids


def fill(template: Model, ids: Sequence[UUID], **columns: str) -> None:
    """A row for each id and number `n`: what `columns` does not say in SQL is as in the template."""
    values: list[Any] = []
    chosen: dict[str, str] = {}
    for field in template._meta.concrete_fields:
        value = getattr(template, field.attname) if not field.generated else None
        if field.column in columns:
            chosen[field.column] = columns[field.column].replace("%", "%%")
        elif field.primary_key and value is not None:
            chosen[field.column] = "id"
        elif not (field.generated or field.primary_key or isinstance(value, DatabaseDefault)):
            chosen[field.column] = "%s"
            values.append(field.get_db_prep_save(value, connection))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {template._meta.db_table} ({', '.join(chosen)}) SELECT {', '.join(chosen.values())}"
            " FROM unnest(%s::uuid[]) WITH ORDINALITY AS made(id, n)",
            [*values, list(ids)],
        )


def close_taken() -> None:
    """What agents have taken ends, as if handled: their load is what it was, the history grows."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH done AS (
                UPDATE conversations_conversation SET state = 'closed', closed_at = clock_timestamp(),
                       close_reason = 'agent', seq = seq + 1, queued_at = NULL
                WHERE state = 'human_handoff' RETURNING id, organization_id, seq),
            gone AS (DELETE FROM conversations_deadline d USING done WHERE d.conversation_id = done.id),
            ended AS (UPDATE conversations_stay s SET left_at = clock_timestamp()
                      FROM done WHERE s.conversation_id = done.id AND s.left_at IS NULL)
            INSERT INTO conversations_event (organization_id, conversation_id, seq, type, cause, data)
            SELECT organization_id, id, seq, 'close', 'bench', '{"from": "human_handoff", "to": "closed"}'
            FROM done
            """
        )
