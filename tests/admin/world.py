"""One object of every model that the admin shows, for any organization."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone
from django_scopes import scope

from accounts import audit
from accounts.models import ApiKey, AuditEntry, Membership, Organization, User
from channels_hub.models import ChannelAccount, InboundEvent, MessageTemplate
from contacts.models import Contact
from contacts.services import KnownBy, recognise
from conversations import handoff, hooks, outbox
from conversations.models import (
    Attempt,
    Conversation,
    DeadLetter,
    Deadline,
    Delivery,
    Event,
    Message,
    RoutingDecision,
    WebhookAttempt,
    WebhookEndpoint,
    WebhookMessage,
)
from conversations.moves import moving, writing
from conversations.opening import open_conversation
from flows import demo, services
from flows.models import Flow, FlowVersion
from queues.models import (
    AgentProfile,
    BreakReason,
    Calendar,
    Department,
    DeskSettings,
    Queue,
    Skill,
    SlaEscalation,
    SlaPolicy,
)
from tests.conftest import new_channel

ROLES = ("owner", "admin", "supervisor", "agent", "viewer")


@dataclass
class World:
    organization: Organization
    mark: str
    members: dict[str, Membership] = field(default_factory=dict)
    objects: dict[type, Any] = field(default_factory=dict)

    def __getitem__(self, model: type) -> Any:
        return self.objects[model]


def build(organization: Organization, mark: str, phone: str) -> World:
    """Every name and text in it carries the mark, so that a page that shows one gives itself away."""
    world = World(organization, mark)
    with scope(organization=organization):
        _people(world)
        _team(world)
        _channel_and_flow(world)
        _conversation(world, phone)
        _records(world)
    return world


def new_colleague(world: World, name: str, role: str = "agent") -> Membership:
    """Nobody types their password: hashing dozens of them would be most of the suite's time."""
    email = f"{name.replace(' ', '-').lower()}@{world.organization.slug}.test"
    user = User.objects.create(email=email, name=name, locale="en", password=f"unusable {email}")
    member = Membership.objects.create(organization=world.organization, user=user, role=role)
    if role != "viewer":
        AgentProfile.objects.create(organization=world.organization, member=member, presence="online")
    return member


def _people(world: World) -> None:
    for role in ROLES:
        world.members[role] = new_colleague(world, f"{world.mark} {role}", role)
    world.objects[Membership] = world.members["agent"]
    world.objects[AgentProfile] = AgentProfile.objects.get(member=world.members["agent"])


def _team(world: World) -> None:
    own = {"organization": world.organization}
    department = Department.objects.create(name=f"{world.mark} department", slug="suporte", **own)
    skill = Skill.objects.create(name=f"{world.mark} skill", slug="skill", **own)
    week = [{"weekday": "mon", "start": "09:00", "end": "18:00"}]
    calendar = Calendar.objects.create(name=f"{world.mark} calendar", intervals=week, **own)
    queue = Queue.objects.create(
        name=f"{world.mark} queue", slug="suporte", department=department, wait_limit_minutes=60, **own
    )
    world.objects |= {Department: department, Skill: skill, Calendar: calendar, Queue: queue}
    policy = SlaPolicy.objects.create(name=f"{world.mark} policy", first_response_minutes=15, **own)
    SlaEscalation.objects.create(policy=policy, act="move", queue=queue, **own)
    world.objects |= {SlaPolicy: policy, DeskSettings: DeskSettings.objects.create(**own)}
    world.objects[BreakReason] = BreakReason.objects.create(name=f"{world.mark} break", **own)


def _channel_and_flow(world: World) -> None:
    channel = new_channel(world.organization, "twilio_whatsapp")
    channel.name = f"{world.mark} channel"
    channel.save(update_fields=["name"])
    flow = services.create_flow(
        world.organization, name=f"{world.mark} flow", slug="atendimento", document=demo.document()
    )
    version = services.publish(flow.pk, author=world.members["owner"], note=f"{world.mark} note")
    world.objects |= {ChannelAccount: channel, Flow: Flow.objects.get(pk=flow.pk), FlowVersion: version}


def talk(world: World, name: str, phone: str) -> Conversation:
    """A conversation that somebody just opened."""
    contact, identity = recognise(world.organization.pk, [KnownBy("phone", phone)], name=name)
    pk = open_conversation(world[ChannelAccount], contact, identity, now=timezone.now())
    with moving(pk, cause="test") as conversation:
        conversation.log("message_in")
    return Conversation.objects.get(pk=pk)


def _conversation(world: World, phone: str) -> None:
    given = talk(world, f"{world.mark} second", f"{phone}2")
    handoff.assign_agent(given.pk, world.members["agent"].pk, actor=world.members["owner"])
    waiting = talk(world, f"{world.mark} contact", f"{phone}1")
    handoff.assign_to_queue_with_overflow(waiting.pk, world[Queue].pk, notice=f"{world.mark} notice")
    world.objects[Conversation] = Conversation.objects.get(pk=waiting.pk)
    world.objects[Contact] = Contact.objects.get(pk=waiting.contact_id)
    for model in (Message, Delivery, Event, Deadline):
        world.objects[model] = model.objects.filter(conversation_id=waiting.pk).order_by("pk").last()
    world.objects[RoutingDecision] = RoutingDecision.objects.get(conversation_id=given.pk)


def dead_event(world: World, body: bytes = b"", kind: str = "message", state: str = "dead") -> InboundEvent:
    account = world[ChannelAccount]
    now = timezone.now()
    body = body or f"Body={world.mark}&From=whatsapp%3A%2B5511999998888&MessageSid=SM1".encode()
    return InboundEvent.objects.create(
        organization=world.organization, account=account, key=InboundEvent.key_for(account, body.hex()[:200]),
        sender_key=b"s" * 16, method="POST", url=f"/webhooks/{world.mark}",
        headers={"content-type": "application/x-www-form-urlencoded"}, body=body, kind=kind,
        occurred_at=now, state=state, reason=f"{world.mark} reason",
    )  # fmt: skip


def dead_letter(world: World, status: str = "failed", code: str = "63016") -> DeadLetter:
    """A message that did not get through, with the call that told so."""
    now = timezone.now()
    channel = world[ChannelAccount]
    draft = outbox.Draft(text=f"{world.mark} lost", sender="agent", origin=Delivery.Origin.AGENT)
    with writing(world[Conversation].pk) as conversation:
        message = outbox.say(conversation, draft, now=now)
        told = {"error_code": code, "error_detail": f"{world.mark} detail"}
        message.deliveries.update(status=status, attempts=1, settled_at=now, **told)
        outbox.refresh_status(conversation, message)
    delivery = DeadLetter.objects.get(message=message)
    Attempt.objects.create(
        organization=world.organization, delivery=delivery, channel=channel, number=1, started_at=now,
        ended_at=now, outcome="window_closed", code=code, detail=f"{world.mark} detail", milliseconds=120,
        request=[{"method": "POST", "url": "https://api.example.com/x", "fields": ["Body", "To"]}],
        response=[{"status": 400, "answer": {"code": code}, "milliseconds": 118}],
    )  # fmt: skip
    return delivery


def told_event(world: World) -> WebhookMessage:
    now = timezone.now()
    message = WebhookMessage.objects.create(
        organization=world.organization, endpoint=world[WebhookEndpoint], type="message.status",
        data={"client_id": world.mark}, occurred_at=now, next_at=now, attempts=1, state="failed",
    )  # fmt: skip
    WebhookAttempt.objects.create(
        organization=world.organization, message=message, number=1, at=now, milliseconds=9, status=500,
        answer=world.mark,
    )  # fmt: skip
    return message


def new_template(world: World, ref: str) -> MessageTemplate:
    return MessageTemplate.objects.create(
        organization=world.organization, account=world[ChannelAccount], ref=ref,
        name=f"{world.mark} template",
        language="pt_BR", body=f"Olá {{{{1}}}}, {world.mark}", variables={"1": "Ana"}, approval="approved",
    )  # fmt: skip


def _records(world: World) -> None:
    owner = world.members["owner"]
    world.objects[MessageTemplate] = new_template(world, "HX1")
    world.objects[InboundEvent] = dead_event(world)
    world.objects[DeadLetter] = dead_letter(world)
    world.objects[Attempt] = Attempt.objects.get(delivery=world[DeadLetter])
    world.objects[WebhookEndpoint] = WebhookEndpoint.objects.create(
        organization=world.organization, url=f"https://{world.mark}.example.com/", description=world.mark,
        secrets={"current": hooks.new_secret()},
    )  # fmt: skip
    world.objects[WebhookMessage] = told_event(world)
    world.objects[ApiKey] = ApiKey.objects.create(
        organization=world.organization, name=f"{world.mark} key", prefix=f"pk_{world.mark[:8]}",
        digest=b"d" * 32, creator=owner, scopes=["conversations:read"],
    )  # fmt: skip
    audit.record("queue.changed", organization=world.organization, actor=owner, target=world[Queue])
    world.objects[AuditEntry] = AuditEntry.objects.filter(action="queue.changed").get()
