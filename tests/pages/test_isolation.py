"""Every page, every door of the simulator and of the machines, called with another organization's ids."""

from __future__ import annotations

import json
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.test import Client
from django_scopes import scope

from accounts.models import Membership, Organization
from accounts.roles import Role
from channels_hub.models import MediaFile
from channels_hub.simulator import services
from conversations import frames
from conversations.models import Attachment, Message
from conversations.pages import View
from tests.conftest import new_channel, new_member
from tests.isolation import Case, World, build, fingerprint, missing, patterns

pytestmark = pytest.mark.django_db

OTHERS_REGISTRY = ("api/v1/", "admin/")  # these have suites and registries of their own
TALK = "/inbox/{conversation}/"
CARD = "/queues/cards/{waiting}/"
PHONE = "/simulator/phones/{phone}/"
OPEN = "public: shows nothing of anybody"
OWN = "only of the caller's organization"
SIGNED = "wants the platform's signature or token, which belongs to one channel"

CASES: dict[str, Case] = {
    "home": Case("/", holds=OWN),
    "login": Case("/login/", holds=OPEN),
    "logout": Case("/logout/", {"POST": {}}, holds=OPEN),
    "preferences": Case("/preferences/", holds=OWN),
    "set-language": Case("/language/", {"POST": {"language": "en"}}, holds=OPEN),
    "healthz": Case("/healthz", holds=OPEN),
    "readyz": Case("/readyz", holds=OPEN),
    "statusz": Case("/statusz", holds=OPEN),
    "metrics": Case("/metrics", holds="figures of the whole installation, for this machine or a token"),
    "inbox": Case("/inbox/", holds=OWN),
    "inbox-rows": Case("/inbox/rows/?tab=all", holds=OWN),
    "inbox-pull": Case("/inbox/pull/", {"POST": {}}, holds=OWN),
    "inbox-presence": Case("/inbox/presence/", {"POST": {"presence": "online"}}, holds=OWN),
    "inbox-leave": Case("/inbox/leave/", {"POST": {}}, holds=OWN),
    "live-sync": Case("/live/sync?since=0.0&tab=all&open={conversation}", holds=OWN),
    "inbox-thread": Case(TALK),
    "inbox-earlier": Case(TALK + "earlier/?before=99"),
    "inbox-message": Case(TALK + "messages/{message}/"),
    "inbox-retry": Case(TALK + "messages/{message}/retry/", {"POST": {}}),
    "inbox-check": Case(TALK + "messages/{message}/check/", {"POST": {}}),
    "inbox-anyway": Case(TALK + "messages/{message}/anyway/"),
    "inbox-template": Case(TALK + "template/", {"GET": None, "POST": {"ref": "HX1"}}),
    "inbox-foot": Case(TALK + "foot/"),
    "inbox-later": Case(TALK + "later/", {"GET": None, "POST": {"text": "x", "until": "hour"}}),
    "inbox-later-move": Case(TALK + "later/{later}/", {"GET": None, "POST": {"until": "hour"}}),
    "inbox-later-cancel": Case(TALK + "later/{later}/cancel/", {"POST": {}}),
    "inbox-why": Case(TALK + "why/"),
    "inbox-reply": Case(TALK + "reply/", {"POST": {"text": "x"}}),
    "inbox-note": Case(TALK + "note/", {"POST": {"text": "x"}}),
    "inbox-seen": Case(TALK + "seen/", {"POST": {}}),
    "inbox-typing": Case(TALK + "typing/", {"POST": {}}),
    "inbox-claim": Case("/inbox/{waiting}/claim/", {"POST": {}}),
    "inbox-accept": Case("/inbox/{waiting}/accept/", {"POST": {}}),
    "inbox-decline": Case("/inbox/{waiting}/decline/", {"POST": {}}),
    "inbox-hold": Case(TALK + "hold/", {"POST": {}}),
    "inbox-resume": Case(TALK + "resume/", {"POST": {}}),
    "inbox-snooze": Case(TALK + "snooze/", {"GET": None, "POST": {"until": "hour"}}),
    "inbox-take-over": Case(TALK + "take-over/", {"POST": {}}),
    "inbox-transfer": Case(TALK + "transfer/", {"GET": None, "POST": {"queue": "{queue}"}}),
    "inbox-release": Case(TALK + "release/", {"GET": None, "POST": {"flow": "{flow}"}}),
    "inbox-close": Case(TALK + "close/", {"POST": {}}),
    "wall": Case("/wall/", holds=OWN),
    "board": Case("/queues/", holds=OWN),
    "board-pull": Case("/queues/pull/", {"POST": {"queue": "{queue}"}}),
    "board-menu": Case(CARD),
    "board-take": Case(CARD + "take/", {"POST": {}}),
    "board-move": Case(CARD + "move/", {"POST": {"queue": "{queue}"}}),
    "board-priority": Case(CARD + "priority/", {"POST": {"priority": "100"}}),
    "board-assign": Case(CARD + "assign/", {"POST": {"agent": "{member}"}}),
    "board-close": Case(CARD + "close/", {"POST": {}}),
    "media": Case("/media/{media}/"),
    "media-thumbnail": Case("/media/{media}/thumbnail/"),
    "inbox-upload": Case("/inbox/{conversation}/files/", {"POST": {}}),
    "inbox-uploaded": Case("/inbox/files/{media}/"),
    "public-media": Case("/media/forged:token:here/"),
    "simulator": Case("/simulator/", holds=OWN),
    "simulator-poll": Case("/simulator/poll", {"POST": {}}, holds=OWN),
    "simulator-platform": Case("/simulator/platform", {"POST": {}}, holds=OWN),
    "simulator-clock": Case("/simulator/clock", {"POST": {}}, holds=OWN),
    "simulator-phones": Case("/simulator/phones", {"POST": {"name": "Eva"}}, holds=OWN),
    "simulator-messages": Case(PHONE + "messages", {"POST": {"text": "x"}}),
    "simulator-switches": Case(PHONE + "switches", {"POST": {}}),
    "simulator-remove": Case(PHONE + "remove", {"POST": {}}),
    "simulator-photo": Case(PHONE + "photos/{message}"),
    "simulator-api-messages": Case("/simulator/api/{device}/messages", {"POST": {}}, holds=SIGNED),
    "simulator-api-signals": Case("/simulator/api/{device}/signals", {"POST": {}}, holds=SIGNED),
    "simulator-api-media": Case("/simulator/api/{device}/media/{message}", holds=SIGNED),
    "webhook": Case("/webhooks/twilio/{public_id}/", {"POST": {}}, holds=SIGNED),
    "webhook-part": Case("/webhooks/twilio/{public_id}/inbound", {"POST": {}}, holds=SIGNED),
    "webhook-part-slash": Case("/webhooks/twilio/{public_id}/inbound/", {"POST": {}}, holds=SIGNED),
    "webhook-twilio": Case("/webhooks/twilio", {"POST": {}}, holds=SIGNED),
    "webhook-twilio-status": Case("/webhooks/twilio/status", {"POST": {}}, holds=SIGNED),
}


@pytest.fixture
def other(rival: Organization, rival_agent: Membership) -> World:
    """The other organization, with a file and a phone besides."""
    world = build(rival, rival_agent)
    with scope(organization=rival):
        message = Message.objects.get(pk=world.ids["message"])
        media = MediaFile.objects.create(
            organization=rival, account_id=message.channel_id, kind="image", filename="alheio.png", state="ok"
        )
        Attachment.objects.create(organization=rival, message=message, media=media)
        simulator = new_channel(rival, "phone")
        phone = services.add_phone(simulator, "Alheia")
        ids = {
            "media": str(media.pk),
            "phone": str(phone.pk),
            "device": simulator.config["device"],
            "public_id": message.channel.public_id,
        }
    return replace(world, ids={**world.ids, **ids})


def browser_of(organization: Organization, role: Role) -> Client:
    member = new_member(organization, role.value, role.value)
    client = Client(raise_request_exception=False)
    client.force_login(member.user)
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    return client


def test_every_page_has_a_case() -> None:
    found = [address for address in patterns() if not address.route.startswith(OTHERS_REGISTRY)]
    lacking = missing(found, CASES)

    assert not lacking, (
        f"Say in tests/pages/test_isolation.py how these are called with foreign ids: {lacking}"
    )


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.holds])
def test_foreign_ids_do_not_exist_and_nothing_changes(acme: Organization, other: World, name: str) -> None:
    before = fingerprint(other.organization)
    for role in Role:
        client = browser_of(acme, role)
        for method, body in CASES[name].calls.items():
            answer = client.generic(method, other.fill(CASES[name].path), _form(other.fill(body or {})), FORM)
            expected = {404} if role is Role.OWNER else {403, 404}
            assert answer.status_code in expected, f"{role} {method}: {answer.status_code}"
            assert b"lhei" not in answer.content
    assert fingerprint(other.organization) == before


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.holds])
def test_pages_without_a_foreign_id_show_and_change_nothing_of_others(
    acme: Organization, other: World, name: str
) -> None:
    before = fingerprint(other.organization)
    client = browser_of(acme, Role.OWNER)
    for method, body in CASES[name].calls.items():
        answer = client.generic(method, other.fill(CASES[name].path), _form(other.fill(body or {})), FORM)
        assert answer.status_code < 500
        assert b"lhei" not in answer.content
    assert fingerprint(other.organization) == before


FORM = "application/x-www-form-urlencoded"


def _form(fields: dict[str, str]) -> str:
    return "&".join(f"{name}={value}" for name, value in fields.items())


def test_an_id_that_nobody_has_looks_the_same(acme: Organization, other: World) -> None:
    client = browser_of(acme, Role.OWNER)
    foreign = client.get(f"/inbox/{other.ids['conversation']}/")
    nobodys = client.get(f"/inbox/{uuid4()}/")
    assert (foreign.status_code, nobodys.status_code) == (404, 404)


@pytest.mark.parametrize("role", list(Role))
def test_no_frame_of_the_socket_carries_another_organizations_conversation(
    acme: Organization, other: World, role: Role
) -> None:
    """The socket sends what this function gives, and takes the open conversation's id from the page."""
    member = new_member(acme, role.value, role.value)
    foreign = UUID(other.ids["conversation"])
    for tab in ("mine", "queue", "all"):
        frame = frames.frames_since(member, "0.0", View.of(tab), foreign)
        said = json.dumps(frame, default=str, ensure_ascii=False)
        assert "lhei" not in said
        assert all(op["op"] == "remove" for op in frame.get("ops", []) if str(foreign) in op["html"])
