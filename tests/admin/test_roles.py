"""Who may see and change what: every registered model, every page, every role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db.models import ForeignKey
from django.test import Client

from accounts.models import AuditEntry, Membership
from channels_hub.models import MessageTemplate
from tests.admin.pages import page
from tests.admin.world import ROLES, World

STAFF = {"owner", "admin", "supervisor"}
TOP = {"owner", "admin"}
NOBODY: set[str] = set()

# model -> who may see it, change it, add one, delete one
TABLE: dict[str, tuple[set[str], set[str], set[str], set[str]]] = {
    "accounts.ApiKey": (TOP, NOBODY, NOBODY, NOBODY),
    "accounts.AuditEntry": (TOP, NOBODY, NOBODY, NOBODY),
    "accounts.Membership": (STAFF, TOP, TOP, NOBODY),
    "channels_hub.ChannelAccount": (STAFF, TOP, TOP, NOBODY),
    "channels_hub.InboundEvent": (STAFF, NOBODY, NOBODY, NOBODY),
    "channels_hub.MessageTemplate": (STAFF, TOP, NOBODY, NOBODY),
    "contacts.Contact": (STAFF, STAFF, NOBODY, NOBODY),
    "conversations.Attempt": (STAFF, NOBODY, NOBODY, NOBODY),
    "conversations.Conversation": (STAFF, NOBODY, NOBODY, NOBODY),
    "conversations.DeadLetter": (STAFF, NOBODY, NOBODY, NOBODY),
    "conversations.Deadline": (STAFF, NOBODY, NOBODY, NOBODY),
    "conversations.Delivery": (STAFF, NOBODY, NOBODY, NOBODY),
    "conversations.Event": (STAFF, NOBODY, NOBODY, NOBODY),
    "conversations.Message": (STAFF, NOBODY, NOBODY, NOBODY),
    "conversations.RoutingDecision": (STAFF, NOBODY, NOBODY, NOBODY),
    "conversations.WebhookEndpoint": (TOP, TOP, TOP, TOP),
    "conversations.WebhookMessage": (TOP, NOBODY, NOBODY, NOBODY),
    "flows.Flow": (STAFF, STAFF, STAFF, NOBODY),
    "flows.FlowVersion": (STAFF, NOBODY, NOBODY, NOBODY),
    "queues.AgentProfile": (STAFF, STAFF, STAFF, NOBODY),
    "queues.BreakReason": (STAFF, STAFF, STAFF, STAFF),
    "queues.Calendar": (STAFF, STAFF, STAFF, STAFF),
    "queues.Department": (STAFF, STAFF, STAFF, STAFF),
    "queues.DeskSettings": (STAFF, STAFF, NOBODY, NOBODY),
    "queues.Queue": (STAFF, STAFF, STAFF, STAFF),
    "queues.Skill": (STAFF, STAFF, STAFF, STAFF),
    "queues.SlaPolicy": (STAFF, STAFF, STAFF, STAFF),
}
OUTSIDE = 302  # to the log-in page, which refuses


def test_every_registered_model_is_in_the_table(ours: World) -> None:
    assert {model._meta.label for model in admin.site._registry} == set(TABLE)
    assert {model._meta.label for model in ours.objects} == set(TABLE)


def expected(role: str, label: str) -> dict[str, Any]:
    see, change, add, delete = TABLE[label]
    if role not in STAFF:
        return dict.fromkeys(("list", "add", "change", "post", "history", "delete"), OUTSIDE)
    return {
        "list": 200 if role in see else 403,
        "add": 200 if role in add else 403,
        "change": 200 if role in see else 403,
        "post": 200 if role in change else 403,
        "history": 200 if role in see and role in TOP else 403,
        "delete": 200 if role in delete else 403,
    }


def found(client: Client, model: type, pk: Any) -> dict[str, Any]:
    answers = {
        "list": client.get(page(model, "changelist")),
        "add": client.get(page(model, "add")),
        "change": client.get(page(model, "change", pk)),
        "post": client.post(page(model, "change", pk), {"name": "x" * 300}),
        "history": client.get(page(model, "history", pk)),
        "delete": client.get(page(model, "delete", pk)),
    }
    return {name: answer.status_code for name, answer in answers.items()}


@pytest.mark.parametrize("role", ROLES)
def test_each_page_opens_for_exactly_the_roles_of_the_table(
    role: str, ours: World, enter: Callable[[Membership], Client]
) -> None:
    client = enter(ours.members[role])

    wrong = {}
    for model, obj in ours.objects.items():
        want, got = expected(role, model._meta.label), found(client, model, obj.pk)
        if model is Membership and role in TOP:
            got["post"] = want["post"]  # an empty form is a good one there; see test_members
        if model is MessageTemplate and role in TOP:
            want["post"] = OUTSIDE  # nothing in it can be wrong: it is saved and goes back to the list
        wrong |= {f"{model._meta.label} {k}": (got[k], want[k]) for k in want if got[k] != want[k]}
    assert wrong == {}


@pytest.mark.parametrize("role", ROLES)
def test_autocomplete_answers_only_those_who_may_see_the_model(
    role: str, ours: World, enter: Callable[[Membership], Client]
) -> None:
    client = enter(ours.members[role])

    for source in [*apps.get_models()]:
        for link in source._meta.local_fields:
            if not isinstance(link, ForeignKey) or link.remote_field.model not in admin.site._registry:
                continue
            target = link.remote_field.model
            asked = {
                "app_label": source._meta.app_label, "model_name": source._meta.model_name,
                "field_name": link.name, "term": "MARK",
            }  # fmt: skip
            status = client.get("/admin/autocomplete/", asked).status_code
            if role not in STAFF:
                assert status == OUTSIDE
            elif not admin.site._registry[target].search_fields:
                assert status == 404
            else:
                assert status == (200 if role in TABLE[target._meta.label][0] else 403), asked


def test_a_stranger_is_sent_to_the_one_log_in_page(client: Client, ours: World) -> None:
    first = client.get("/admin/queues/queue/")
    second = client.get(first.url)

    assert first.url == "/admin/login/?next=/admin/queues/queue/"
    assert second.url == "/login/?next=/admin/queues/queue/"


def test_the_log_in_page_is_not_a_way_to_other_sites(client: Client, ours: World) -> None:
    assert client.get("/admin/login/?next=https://evil.example/").url == "/login/?next=/admin/"


def test_an_agent_is_refused_at_the_door_and_it_goes_on_record(
    ours: World, enter: Callable[[Membership], Client]
) -> None:
    response = enter(ours.members["agent"]).get("/admin/", follow=True)

    assert response.status_code == 403
    assert AuditEntry.objects.filter(action="admin.refused", actor=ours.members["agent"]).exists()


def test_a_deactivated_supervisor_is_out_with_the_next_click(ours: World, lead: Client) -> None:
    assert lead.get("/admin/").status_code == 200
    Membership.objects.filter(pk=ours.members["supervisor"].pk).update(is_active=False)

    assert lead.get("/admin/").status_code == 302


def test_a_supervisor_sees_no_page_of_keys_and_audit_in_the_navigation(lead: Client) -> None:
    html = lead.get("/admin/").content.decode()

    assert page(AuditEntry, "changelist") not in html
    assert "/admin/flows/flow/" in html
    assert "/admin/django_celery_beat/" not in html
