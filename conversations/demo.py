"""The demo: an organization with people, queues, a flow, two channels and a few conversations to look at.

Loaded once, as a whole or not at all. Later loads only bring the channels' addresses up to date, so that what
people changed or deleted stays as they left it.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django_scopes import scope, scopes_disabled

from accounts.models import Membership, Organization, User
from accounts.roles import Role
from channels_hub.contract import Address, Choice, Identity, InboundEvent, Kind, Thread
from channels_hub.contract import Delivery as Report
from channels_hub.contract import State as DeliveryState
from channels_hub.models import ChannelAccount
from channels_hub.simulator import services as phones
from conversations import bot, handoff, intake, outbox, receipts
from conversations.models import Conversation, Delivery, Reception
from conversations.moves import database_now
from flows import demo as flow_demo
from flows import services as flows
from flows.models import Flow
from queues.models import AgentProfile, AgentSkill, BreakReason, Calendar, Department, Queue, Skill

SLUG = "demo"
DOMAIN = "demo.pytake"
CAPACITY = 5
# (before the @, name, role, {skill: level})
PEOPLE: tuple[tuple[str, str, Role, dict[str, int]], ...] = (
    ("owner", "Olívia Prado", Role.OWNER, {}),
    ("admin", "Caio Mendes", Role.ADMIN, {}),
    ("supervisor", "Sofia Ramos", Role.SUPERVISOR, {"pt": 5, "boletos": 3}),
    ("ana", "Ana Lima", Role.AGENT, {"pt": 5, "boletos": 4}),
    ("bruno", "Bruno Costa", Role.AGENT, {"pt": 5}),
    ("viewer", "Vitor Nunes", Role.VIEWER, {}),
)
SKILLS = {"pt": "Português", "boletos": "Boletos"}
BREAKS = ("Almoço", "Pausa", "Treinamento")
WORKDAYS = ("mon", "tue", "wed", "thu", "fri")
LOOPBACK = "http://127.0.0.1"


def load(password: str) -> bool:
    """Make the demo unless it is there; whether it was made now."""
    with transaction.atomic():
        organization, is_new = Organization.objects.get_or_create(
            slug=SLUG, defaults={"name": "Loja Demonstração"}
        )
        with scope(organization=organization):
            if is_new:
                _fill(organization, password)
            refresh_addresses(organization)
    return is_new


def refresh_addresses(organization: Organization) -> None:
    """The demo's platforms live on this machine, at ports that may differ from start to start."""
    homes = {"phone": settings.INTERNAL_URL, "twilio_whatsapp": _fake_provider()}
    mine = ChannelAccount.objects.select_for_update(no_key=True).filter(
        organization=organization, kind__in=homes, config__api_base__startswith="http"
    )
    for channel in mine:
        there = channel.config["api_base"]
        # Somebody may have connected the real platform meanwhile.
        is_ours = channel.kind == "phone" or there.startswith(f"{LOOPBACK}:")
        if is_ours and there != homes[channel.kind]:
            channel.config["api_base"] = homes[channel.kind]
            channel.save(update_fields=["config"])


def _fake_provider() -> str:
    return f"{LOOPBACK}:{settings.PYTAKE_FAKE_PROVIDER_PORT}"


def _fill(organization: Organization, password: str) -> None:
    members = _people(organization, password)
    queues = _queues(organization)
    flow = _flow(organization, members["owner"])
    phone, whatsapp = _phone(organization), _whatsapp(organization)
    for channel in (phone, whatsapp):
        Reception.objects.create(
            organization=organization, channel=channel, default_flow=flow, default_queue=queues["geral"]
        )
    for _customer in phones.FIRST_PHONES:
        phones.add_phone(phone, "")
    _conversations(whatsapp, members["ana"])


# ------------------------------------------------------------------ people and queues
def _people(organization: Organization, password: str) -> dict[str, Membership]:
    skills = {
        slug: Skill.objects.create(organization=organization, slug=slug, name=name)
        for slug, name in SKILLS.items()
    }
    BreakReason.objects.bulk_create(BreakReason(organization=organization, name=name) for name in BREAKS)
    members = {}
    for login, name, role, levels in PEOPLE:
        user = User.objects.create_user(f"{login}@{DOMAIN}", password, name=name)
        members[login] = Membership.objects.create(organization=organization, user=user, role=role.value)
        if role is not Role.VIEWER:
            agent = AgentProfile.objects.create(
                organization=organization, member=members[login], capacity=CAPACITY
            )
            AgentSkill.objects.bulk_create(
                AgentSkill(organization=organization, agent=agent, skill=skills[slug], level=level)
                for slug, level in levels.items()
            )
    return members


def _queues(organization: Organization) -> dict[str, Queue]:
    """The calendar is there to be tried out; no queue uses it, so that the demo works at any hour."""
    hours = [{"weekday": day, "start": "09:00", "end": "18:00"} for day in WORKDAYS]
    Calendar.objects.create(organization=organization, name="Comercial", intervals=hours)
    support = Department.objects.create(organization=organization, name="Suporte", slug="suporte")
    sales = Department.objects.create(organization=organization, name="Vendas", slug="vendas")
    general = _queue(support, "geral", "Geral", priority=50)
    return {
        "geral": general,
        "suporte": _queue(
            support,
            "suporte",
            "Suporte",
            priority=80,
            max_queue_size=50,
            overflow_queue=general,
            sla_minutes=15,
        ),
        "vendas": _queue(sales, "vendas", "Vendas", priority=50, sla_minutes=30),
    }


def _queue(department: Department, slug: str, name: str, **fields: object) -> Queue:
    return Queue.objects.create(
        organization_id=department.organization_id, department=department, slug=slug, name=name, **fields
    )


def _flow(organization: Organization, author: Membership) -> Flow:
    flow = flows.create_flow(
        organization, name=flow_demo.NAME, slug=flow_demo.SLUG, document=flow_demo.document()
    )
    flows.publish(flow.pk, author=author, note="Primeira versão")
    return Flow.objects.get(pk=flow.pk)


# ------------------------------------------------------------------ channels
def _phone(organization: Organization) -> ChannelAccount:
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return ChannelAccount.objects.create(
        organization=organization,
        kind="phone",
        name="Simulador",
        address="simulador",
        config={"device": secrets.token_hex(8), "api_base": settings.INTERNAL_URL},
        secrets={"signing_secret": f"whsec_{key}", "api_token": secrets.token_urlsafe(32)},
    )


def _whatsapp(organization: Organization) -> ChannelAccount:
    """Twilio's protocol to the letter, spoken with the fake provider on this machine."""
    return ChannelAccount.objects.create(
        organization=organization,
        kind="twilio_whatsapp",
        name="WhatsApp Loja",
        address="+551140028922",
        config={"account_sid": f"AC{secrets.token_hex(16)}", "api_base": _fake_provider()},
        secrets={"auth_token": secrets.token_hex(16)},
    )


# ------------------------------------------------------------------ conversations
@dataclass(frozen=True, slots=True)
class Customer:
    name: str
    number: str


def _conversations(channel: ChannelAccount, agent: Membership) -> None:
    """One with the bot, one waiting with its context, one that Ana answers; all by the real verbs."""
    carla = Customer("Carla Dias", "+5511987650001")
    _hears(channel, carla, "Oi, meu pedido ainda não chegou")
    _hears(channel, carla, "Acompanhar pedido", option="pedido")
    _hears(channel, carla, "48213")

    julia = Customer("Júlia Martins", "+5521987650002")
    _hears(channel, julia, "Olá, preciso da segunda via do boleto")

    pedro = Customer("Pedro Alves", "+5531987650003")
    _hears(channel, pedro, "Bom dia")
    waiting = _hears(channel, pedro, "Falar com atendente", option="humano")
    handoff.claim(waiting, agent_id=agent.pk)
    outbox.reply(waiting, agent=agent, text="Bom dia, Pedro! Aqui é a Ana. Em que posso ajudar?")
    _arrives(channel, waiting, DeliveryState.DELIVERED)


def _hears(channel: ChannelAccount, who: Customer, text: str, *, option: str = "") -> UUID:
    """A customer writes and the bot answers at once; the conversation's id."""
    event_id = f"demo-{secrets.token_hex(8)}"
    told = InboundEvent(
        Kind.MESSAGE,
        event_id,
        database_now(),
        sender=Identity((Address("phone", who.number, who.number),), name=who.name, phone=who.number),
        thread=Thread(who.number),
        message_id=event_id,
        text=text,
        choice=Choice(option, text) if option else None,
    )
    intake.take_in(channel, told, received_at=timezone.now())
    pk = (
        Conversation.objects.open()
        .filter(channel=channel, identity__value=who.number)
        .values_list("pk", flat=True)
        .get()
    )
    bot.take_turn(pk)
    _arrives(channel, pk, DeliveryState.READ)
    return pk


def _arrives(channel: ChannelAccount, pk: UUID, state: DeliveryState) -> None:
    """What the desk said so far is history: reported by the platform, not sent again by the first worker."""
    written = Delivery.objects.filter(conversation_id=pk, status=DeliveryState.PENDING)
    for delivery_id in list(written.values_list("pk", flat=True)):
        report = Report(f"SM{delivery_id.hex}", state, database_now(), client_ref=str(delivery_id))
        receipts.apply_report(channel, report)


def exists() -> bool:
    with scopes_disabled():
        return Organization.objects.filter(slug=SLUG).exists()
