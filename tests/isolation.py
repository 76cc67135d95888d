"""Another tenant's rows, every address of the desk, and what must happen when the two meet.

`patterns()` walks the whole URLconf; a registry says for each name how it is called with foreign ids. The
suites of API, pages and admin each keep a registry and fail, naming it, for an address without a case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.db import connection
from django.urls import URLPattern, URLResolver, get_resolver
from django_scopes import scope

from accounts.models import ApiKey, Membership, Organization
from accounts.tenancy import TenantModel
from channels_hub.models import ChannelAccount, MediaFile
from contacts.services import KnownBy, recognise
from conversations import handoff, hooks, laters, outbox
from conversations.models import (
    Conversation,
    HookEvent,
    Reception,
    WebhookEndpoint,
    WebhookMessage,
)
from conversations.moves import database_now, moving
from conversations.opening import open_conversation
from flows import demo, services
from flows.models import Flow
from queues.models import BreakReason, Calendar, Department, Queue, Skill, SlaPolicy


@dataclass(frozen=True, slots=True)
class Address:
    """One pattern of the URLconf: its name with namespaces (else its route), and the route as written."""

    name: str
    route: str


def patterns(under: str = "") -> list[Address]:
    """Every address whose route begins with `under`."""
    return [address for address in _walk(get_resolver(), "", "") if address.route.startswith(under)]


def _walk(resolver: URLResolver, route: str, namespace: str) -> Iterator[Address]:
    for entry in resolver.url_patterns:
        here = route + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield Address(namespace + entry.name if entry.name else here, here)
        else:
            inner = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            yield from _walk(entry, here, inner)


@dataclass(frozen=True, slots=True)
class Case:
    """How an address is called with another tenant's ids.

    `path` names ids of a World in braces; `calls` are method and body. `holds` says why an address has no
    foreign id to be called with: then `calls` are still made and must show and change nothing of the other.
    """

    path: str = ""
    calls: Mapping[str, Any] = field(default_factory=lambda: {"GET": None})
    holds: str = ""


def missing(found: list[Address], cases: Mapping[str, Case]) -> list[str]:
    """Addresses without a case, and cases without an address."""
    names = {address.name for address in found}
    return sorted(names - set(cases)) + sorted(f"(gone) {name}" for name in set(cases) - names)


@dataclass(frozen=True, slots=True)
class World:
    """One object of every kind in one organization, by the names that cases use."""

    organization: Organization
    ids: Mapping[str, str]

    def fill(self, value: Any) -> Any:
        """The ids put into a path or body."""
        if isinstance(value, str):
            return value.format(**self.ids)
        if isinstance(value, Mapping):
            return {key: self.fill(item) for key, item in value.items()}
        return [self.fill(item) for item in value] if isinstance(value, list) else value


def build(organization: Organization, agent: Membership) -> World:
    """Everything an organization can have, made by the services."""
    with scope(organization=organization):
        department = Department.objects.create(organization=organization, name="Alheio", slug="alheio")
        calendar = Calendar.objects.create(organization=organization, name="Alheio")
        policy = SlaPolicy.objects.create(organization=organization, name="Alheia", wait_minutes=5)
        queue = Queue.objects.create(
            organization=organization, department=department, name="Alheia", slug="alheia", calendar=calendar
        )
        skill = Skill.objects.create(organization=organization, name="Alheia", slug="alheia")
        agent.agent.skills.create(organization=organization, skill=skill)
        reason = BreakReason.objects.create(organization=organization, name="Alheia")
        flow = services.create_flow(organization, name="Alheio", slug="alheio", document=demo.document())
        version = services.publish(flow.pk, author=agent)
        channel = _channel(organization, Flow.objects.get(pk=flow.pk), queue)
        key = ApiKey.objects.create(
            organization=organization, name="Alheia", creator=agent, prefix="pkalheia", digest=b"x" * 32
        )
        hook = WebhookEndpoint.objects.create(
            organization=organization, url="https://alheio.example/", secrets={"current": hooks.new_secret()}
        )
        hooks.emit(organization.pk, HookEvent.MESSAGE_STATUS, hooks.Told({"at": "alheio"}), at=database_now())
        told = WebhookMessage.objects.get()
        WebhookMessage.objects.update(state="failed")
        talk = _talk(organization, channel, queue, agent)
    return World(
        organization,
        {
            "department": str(department.pk), "calendar": str(calendar.pk), "sla_policy": str(policy.pk),
            "queue": str(queue.pk),
            "skill": str(skill.pk), "break_reason": str(reason.pk), "flow": str(flow.pk),
            "version": str(version.pk),
            "channel": str(channel.pk), "api_key": str(key.pk), "member": str(agent.pk), **talk,
            "webhook": str(hook.pk), "webhook_message": str(told.pk),
        },
    )  # fmt: skip


def _channel(organization: Organization, flow: Flow, queue: Queue) -> ChannelAccount:
    channel = ChannelAccount.objects.create(
        organization=organization, kind="twilio_whatsapp", name="Alheio", address="+551133333333",
        config={"account_sid": "AC00000000000000000000000000000009"}, secrets={"auth_token": "alheio" * 5},
    )  # fmt: skip
    Reception.objects.create(
        organization=organization, channel=channel, default_flow=flow, default_queue=queue
    )
    return channel


def _talk(
    organization: Organization, channel: ChannelAccount, queue: Queue, agent: Membership
) -> dict[str, str]:
    """A waiting conversation, and one that the agent answered in."""
    contact, identity = recognise(organization.pk, [KnownBy("phone", "+5511933333333")], name="Alheia")
    other, spare = recognise(organization.pk, [KnownBy("phone", "+5511922222222")], name="Alheia")
    now = database_now()
    held = open_conversation(channel, contact, identity, now=now)
    waiting = open_conversation(channel, other, spare, now=now)
    for pk in (held, waiting):
        with moving(pk) as conversation:
            conversation.last_inbound_at = now
        handoff.assign_to_queue_with_overflow(pk, queue.pk, notice="")
    handoff.claim(held, agent_id=agent.pk)
    message, _new = outbox.reply(held, agent=agent, text="Segredo alheio")
    with moving(held, actor=agent) as conversation:
        handoff.add_note(conversation, agent, "Segredo alheio")
    note = Conversation.objects.get(pk=held).notes.get()
    later, _new = laters.plan(held, agent=agent, text="Segredo alheio", send_at=now + timedelta(days=1))
    file = MediaFile.objects.create(
        organization=organization,
        account=channel,
        kind="file",
        filename="alheio.pdf",
        state="ok",
        uploader=agent,
    )
    return {
        "contact": str(contact.pk), "identity": str(identity.pk), "conversation": str(held),
        "waiting": str(waiting), "message": str(message.pk), "note": str(note.pk), "later": str(later.pk),
        "media": str(file.pk),
    }  # fmt: skip


def fingerprint(organization: Organization) -> dict[str, str]:
    """A checksum per table of everything the organization has: unchanged means unchanged."""
    found = {}
    with connection.cursor() as cursor:
        for model in apps.get_models():
            if issubclass(model, TenantModel):
                table = connection.ops.quote_name(model._meta.db_table)
                cursor.execute(
                    f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table} t "
                    "WHERE organization_id = %s",
                    [organization.pk],
                )
                found[model._meta.db_table] = cursor.fetchone()[0]
    return found
