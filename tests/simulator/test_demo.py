"""The demo: complete at the first load, untouched by the second."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django_scopes import scopes_disabled

from accounts.models import Organization, User
from channels_hub.models import ChannelAccount
from channels_hub.simulated import SimPhone
from conversations import demo
from conversations.models import Conversation, Delivery, Reception
from flows.models import Flow
from queues.models import AgentProfile, Queue

pytestmark = pytest.mark.django_db
PASSWORD = "a password for the demo"


@pytest.fixture
def loaded(settings):
    settings.PYTAKE_FAKE_PROVIDER_PORT = 8010
    settings.INTERNAL_URL = "http://127.0.0.1:8000"
    call_command("load_demo", password=PASSWORD, verbosity=0)
    with scopes_disabled():
        yield Organization.objects.get(slug="demo")


def every_row() -> dict[str, list]:
    """Everything in the database, table by table."""
    with connection.cursor() as cursor:
        rows = {}
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            rows[table] = sorted(map(repr, cursor.fetchall()))
        return rows


def test_people_can_log_in_with_the_roles_that_the_docs_name(loaded):
    roles = {}
    for user in User.objects.prefetch_related("memberships"):
        assert user.check_password(PASSWORD)
        roles[user.email] = user.memberships.get().role
    assert roles == {
        "owner@demo.pytake": "owner",
        "admin@demo.pytake": "admin",
        "supervisor@demo.pytake": "supervisor",
        "ana@demo.pytake": "agent",
        "bruno@demo.pytake": "agent",
        "viewer@demo.pytake": "viewer",
    }
    assert AgentProfile.objects.filter(capacity=5).count() == 5


def test_support_overflows_into_general_and_sales_stands_alone(loaded):
    queues = {queue.slug: queue for queue in Queue.objects.select_related("department", "overflow_queue")}
    support = queues["suporte"]
    assert (support.priority, support.max_queue_size, support.overflow_queue) == (80, 50, queues["geral"])
    assert {slug: queue.department.slug for slug, queue in queues.items()} == {
        "suporte": "suporte", "geral": "suporte", "vendas": "vendas",
    }  # fmt: skip


def test_both_channels_start_with_the_published_flow(loaded):
    flow = Flow.objects.get(slug="atendimento")
    assert flow.published is not None
    receptions = Reception.objects.select_related("channel", "default_queue")
    assert {(one.channel.kind, one.default_flow_id, one.default_queue.slug) for one in receptions} == {
        ("phone", flow.pk, "geral"), ("twilio_whatsapp", flow.pk, "geral"),
    }  # fmt: skip
    assert SimPhone.objects.count() == 3


def test_the_inbox_is_not_empty_at_first_sight(loaded):
    states = {one.contact.name: one.state for one in Conversation.objects.select_related("contact")}
    assert states == {"Carla Dias": "queued", "Júlia Martins": "bot", "Pedro Alves": "human_handoff"}
    waiting = Conversation.objects.get(state="queued")
    assert (waiting.queue.slug, waiting.extra_data["handoff_context"]) == ("suporte", "Pedido 48213")
    assert waiting.queue_priority == 80
    answered = Conversation.objects.get(state="human_handoff")
    assert answered.assigned_agent.user.email == "ana@demo.pytake"
    assert answered.first_response_at is not None


def test_nothing_of_the_demo_waits_to_be_sent(loaded):
    assert set(Delivery.objects.values_list("status", flat=True)) == {"read", "delivered"}


def test_a_second_load_changes_nothing(loaded):
    before = every_row()
    call_command("load_demo", password="another one entirely", verbosity=0)
    assert every_row() == before


def test_what_people_deleted_stays_deleted(loaded):
    SimPhone.objects.all().delete()
    call_command("load_demo", verbosity=0)
    assert not SimPhone.objects.exists()


def test_addresses_follow_the_ports_of_the_present_start(loaded, settings):
    settings.INTERNAL_URL, settings.PYTAKE_FAKE_PROVIDER_PORT = "http://127.0.0.1:8123", 8456
    call_command("load_demo", verbosity=0)
    bases = {one.kind: one.config["api_base"] for one in ChannelAccount.objects.all()}
    assert bases == {"phone": "http://127.0.0.1:8123", "twilio_whatsapp": "http://127.0.0.1:8456"}


def test_a_channel_moved_to_the_real_platform_is_left_alone(loaded):
    channel = ChannelAccount.objects.get(kind="twilio_whatsapp")
    channel.config["api_base"] = "https://api.twilio.com"
    channel.save(update_fields=["config"])
    call_command("load_demo", verbosity=0)
    channel.refresh_from_db()
    assert channel.config["api_base"] == "https://api.twilio.com"


def test_secrets_differ_from_load_to_load_and_are_never_printed(loaded, capsys, settings):
    channels = {one.kind: one for one in ChannelAccount.objects.all()}
    assert channels["phone"].has_secrets() == ["api_token", "signing_secret"]
    assert channels["twilio_whatsapp"].has_secrets() == ["auth_token"]
    call_command("load_demo")
    printed = capsys.readouterr().out
    values = [value for one in channels.values() for value in one.secrets.values()]
    assert not [value for value in [*values, PASSWORD] if value in printed]


def test_without_a_password_nothing_is_loaded(db, settings):
    settings.PYTAKE_DEMO_PASSWORD = ""
    with pytest.raises(CommandError):
        call_command("load_demo")
    assert not demo.exists()


def test_the_password_of_the_environment_is_used(db, settings):
    settings.PYTAKE_DEMO_PASSWORD = PASSWORD
    call_command("load_demo", verbosity=0)
    assert User.objects.get(email="ana@demo.pytake").check_password(PASSWORD)
