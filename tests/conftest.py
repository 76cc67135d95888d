"""The cast of every test: Acme with ana and bia (agents), sofia, olivia and vic; a rival beside it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import TransactionTestCase
from django.utils import timezone, translation
from django_scopes import scope, scopes_disabled

from accounts.models import Membership, Organization, User
from channels_hub.fake_provider import FakeProvider
from channels_hub.fake_script import Callbacks
from channels_hub.models import ChannelAccount
from contacts.models import Contact
from contacts.services import KnownBy, recognise
from conversations import handoff
from conversations.models import Conversation
from conversations.moves import moving
from conversations.opening import open_conversation
from flows import demo, services
from flows.models import Flow
from queues.models import AgentProfile, Department, Queue
from tests.databases import Copy

PASSWORD = "correct horse battery"


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, django_db_blocker: Any
) -> Copy | None:
    """Seconds of processor time for every worker but the first."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return None
    with django_db_blocker.unblock():
        return Copy()


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_modify_db_settings: Copy | None, django_db_setup: None, django_db_blocker: Any
) -> Iterator[None]:
    """Threads of servers and sockets may still hold a connection when the run ends; the database must go."""
    copy = django_db_modify_db_settings
    with django_db_blocker.unblock():
        if copy:
            copy.make()
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        if copy:
            copy.drop()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: what is left for the end is short, so no worker waits long for another."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def quick_end_of_what_was_committed() -> Iterator[None]:
    """Django's flush writes content types and permissions anew, which takes longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", _empty)
        yield


def _empty(_case: TransactionTestCase) -> None:
    kept = {"django_content_type", "auth_permission"}
    tables = {*connection.introspection.django_table_names(only_existing=True, include_views=False)} - kept
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(map(connection.ops.quote_name, tables))}")


@pytest.fixture(autouse=True)
def language_of_a_fresh_process() -> None:
    """Requests of an earlier test would leave theirs behind in this thread."""
    translation.deactivate()


@contextmanager
def another_session(database: str = "") -> Iterator[psycopg.Connection[Any]]:
    """A transaction beside the test's own, or in another database; what it locked is free afterwards."""
    known = connection.get_connection_params()
    place = {name: known[name] for name in ("dbname", "host", "port", "user", "password") if known.get(name)}
    if database:
        place["dbname"] = database
    with psycopg.connect(**place) as session:
        yield session


def new_member(organization: Organization, name: str, role: str, capacity: int = 5) -> Membership:
    email = f"{name}@{organization.slug}.test"
    user = User.objects.create_user(email, PASSWORD, name=name.title())
    with scope(organization=organization):
        member = Membership.objects.create(organization=organization, user=user, role=role)
        if role != "viewer":
            AgentProfile.objects.create(
                organization=organization, member=member, capacity=capacity, presence="online"
            )
    return member


@pytest.fixture
def acme(db: None) -> Iterator[Organization]:
    organization = Organization.objects.create(slug="acme", name="Acme")
    with scope(organization=organization):
        yield organization


@pytest.fixture
def ana(acme: Organization) -> Membership:
    return new_member(acme, "ana", "agent")


@pytest.fixture
def bia(acme: Organization) -> Membership:
    return new_member(acme, "bia", "agent")


@pytest.fixture
def sofia(acme: Organization) -> Membership:
    return new_member(acme, "sofia", "supervisor")


@pytest.fixture
def olivia(acme: Organization) -> Membership:
    return new_member(acme, "olivia", "owner")


@pytest.fixture
def vic(acme: Organization) -> Membership:
    return new_member(acme, "vic", "viewer")


@pytest.fixture
def rival(acme: Organization) -> Organization:
    """Another tenant of the same shape; its rows must never be seen by Acme."""
    return Organization.objects.create(slug="rival", name="Rival")


@pytest.fixture
def rival_agent(rival: Organization) -> Membership:
    return new_member(rival, "rita", "agent")


@pytest.fixture
def department(acme: Organization) -> Department:
    return Department.objects.create(organization=acme, name="Suporte", slug="suporte")


@pytest.fixture
def make_queue(acme: Organization, department: Department) -> Callable[..., Queue]:
    def make(slug: str, **fields: Any) -> Queue:
        return Queue.objects.create(
            organization=acme, department=department, slug=slug, name=slug.title(), **fields
        )

    return make


@pytest.fixture
def support(make_queue: Callable[..., Queue]) -> Queue:
    return make_queue("suporte")


@pytest.fixture
def flow(acme: Organization, support: Queue) -> Flow:
    """The demo flow, published."""
    created = services.create_flow(acme, name="Atendimento", slug="atendimento", document=demo.document())
    services.publish(created.pk, author=None, note="first")
    return Flow.objects.select_related("published").get(pk=created.pk)


@pytest.fixture
def phone_channel(acme: Organization) -> ChannelAccount:
    return new_channel(acme, "phone")


@pytest.fixture
def twilio_channel(acme: Organization) -> ChannelAccount:
    return new_channel(acme, "twilio_whatsapp")


PHONE_SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
TWILIO_TOKEN = "twilio_auth_token_for_tests"
TWILIO_SID = "AC00000000000000000000000000000001"


def new_channel(organization: Organization, kind: str, **config: Any) -> ChannelAccount:
    if kind == "twilio_whatsapp":
        return ChannelAccount.objects.create(
            organization=organization, kind=kind, name="WhatsApp", address="+551130000000",
            config={"account_sid": TWILIO_SID, **config}, secrets={"auth_token": TWILIO_TOKEN},
        )  # fmt: skip
    return ChannelAccount.objects.create(
        organization=organization, kind=kind, name="Simulador", address="simulador",
        config={"device": "simulador", **config},
        secrets={"signing_secret": PHONE_SECRET, "api_token": "t" * 32},
    )  # fmt: skip


_numbers = itertools.count(11987000000)


@pytest.fixture
def make_contact(acme: Organization) -> Callable[..., Contact]:
    def make(name: str = "Mariana", phone: str = "") -> Contact:
        contact, _ = recognise(acme.pk, [KnownBy("phone", phone or f"+55{next(_numbers)}")], name=name)
        return contact

    return make


@pytest.fixture
def make_conversation(
    acme: Organization, twilio_channel: ChannelAccount, make_contact: Callable[..., Contact]
) -> Callable[..., Conversation]:
    """A conversation in a state, brought there by the verbs: tests cannot build an illegal one."""

    def make(
        state: str = "pending",
        *,
        queue: Queue | None = None,
        agent: Membership | None = None,
        contact: Contact | None = None,
        flow: Flow | None = None,
        priority: int = 50,
        channel: ChannelAccount | None = None,
    ) -> Conversation:
        contact = contact or make_contact()
        now = timezone.now()
        identity = contact.identities.first()
        pk = open_conversation(channel or twilio_channel, contact, identity, now=now)
        with moving(pk, cause="test") as conversation:
            conversation.last_inbound_at = now
            conversation.log("message_in")
        if state == "bot":
            with moving(pk) as conversation:
                conversation.start_bot(flow)
                handoff.begin_run(conversation, flow, trigger="test", now=now)
        elif state == "queued":
            handoff.assign_to_queue_with_overflow(pk, queue.pk, priority=priority, notice="")
        elif state == "human_handoff":
            handoff.assign_agent(pk, agent.pk)
        elif state == "closed":
            handoff.close(pk, actor=agent)
        return Conversation.objects.get(pk=pk)

    return make


@pytest.fixture
def everywhere() -> Iterator[None]:
    """Look across organizations, as sweeps do."""
    with scopes_disabled():
        yield


@pytest.fixture
def fake(twilio_channel: ChannelAccount, settings: Any) -> Iterator[FakeProvider]:
    """What the Twilio channel sends to, silent about statuses: tests report them themselves."""
    with FakeProvider(callbacks=Callbacks(statuses=())) as provider:
        settings.PYTAKE_ALLOW_PRIVATE_HOSTS = [provider.url.removeprefix("http://")]
        twilio_channel.config = {**twilio_channel.config, "api_base": provider.url}
        twilio_channel.save(update_fields=["config"])
        yield provider
