"""Another organization's rows: not by id, not by search, not by filter, not as a choice, not by an act."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db.models import ForeignKey
from django.test import Client
from django_scopes import scopes_disabled

from accounts.models import Membership, User
from conversations.admin_bulk import BulkMixin
from conversations.models import Conversation
from queues.models import AgentProfile, Department, Queue
from tests.admin.pages import form_data, page
from tests.admin.world import World


def acts(model: type) -> list[str]:
    """The names of the URLs of a model's own acts."""
    shown = admin.site._registry[model]
    return sorted(
        {*shown._extract_action_names(shown.actions_row), *shown._extract_action_names(shown.actions_detail)}
    )


def snapshot(world: World) -> dict[str, list[Any]]:
    """Every row of the organization, as it is in the database."""
    with scopes_disabled():
        return {
            model._meta.label: list(
                model._base_manager.filter(organization=world.organization).order_by("pk").values_list()
            )
            for model in apps.get_models()
            if any(one.name == "organization" for one in model._meta.local_fields)
        }


def addresses(world: World) -> list[str]:
    """Every address of the admin that names an object of the world."""
    found = []
    for model, obj in world.objects.items():
        names = ["change", "history", "delete", *(f"{name}" for name in acts(model))]
        found += [page(model, name, obj.pk) for name in names]
    return found


def test_no_address_with_a_foreign_id_shows_or_changes_anything(
    boss: Client, ours: World, theirs: World
) -> None:
    before = snapshot(theirs)
    targets = addresses(theirs)

    assert len(targets) > 3 * len(theirs.objects)
    for url in targets:
        for response in (boss.get(url), boss.post(url, {"post": "yes", "_form_submitted": "on"})):
            assert response.status_code in (302, 403, 404), (url, response.status_code)
            assert theirs.mark.encode() not in response.content, url
            if response.status_code == 302:
                assert response.url == "/admin/", url
    assert snapshot(theirs) == before


def test_no_page_of_ours_mentions_the_other_organization(boss: Client, ours: World, theirs: World) -> None:
    pages = ["/admin/"]
    for model, obj in ours.objects.items():
        pages += [
            page(model, "changelist"), page(model, "add"), page(model, "change", obj.pk),
            page(model, "history", obj.pk), page(model, "delete", obj.pk),
        ]  # fmt: skip
        pages += [page(model, name, obj.pk) for name in acts(model)]
    for url in pages:
        assert theirs.mark.lower() not in boss.get(url).content.decode().lower(), url


def test_filters_with_foreign_ids_find_nothing(boss: Client, ours: World, theirs: World) -> None:
    for model, shown in admin.site._registry.items():
        links = [one for one in model._meta.local_fields if isinstance(one, ForeignKey)]
        for link in links:
            target = theirs.objects.get(link.remote_field.model)
            if target is None:
                continue
            for name in (link.name, f"{link.name}__id__exact"):
                response = boss.get(page(model, "changelist"), {name: str(target.pk)}, follow=True)
                assert theirs.mark.encode() not in response.content, (shown, name)


def test_searching_finds_only_our_own(boss: Client, ours: World, theirs: World) -> None:
    for model, shown in admin.site._registry.items():
        if shown.search_fields:
            html = boss.get(page(model, "changelist"), {"q": "MARK"}).content.decode()
            assert theirs.mark not in html


def test_autocomplete_offers_only_our_own(boss: Client, ours: World, theirs: World) -> None:
    asked = {"app_label": "queues", "model_name": "queue", "field_name": "department", "term": "MARK"}

    text = boss.get("/admin/autocomplete/", asked).content.decode()

    assert "OURMARK" in text
    assert "RIVALMARK" not in text


def test_a_foreign_department_is_no_choice_for_our_queue(boss: Client, ours: World, theirs: World) -> None:
    url = page(Queue, "change", ours[Queue].pk)
    data = form_data(boss.get(url)) | {"department": str(theirs[Department].pk)}

    response = boss.post(url, data)

    assert "department" in response.context["adminform"].form.errors
    assert Queue.objects.get(pk=ours[Queue].pk).department_id == ours[Department].pk


@pytest.mark.parametrize("name", BulkMixin.bulk_actions)
def test_selecting_foreign_rows_does_nothing(boss: Client, ours: World, theirs: World, name: str) -> None:
    before = snapshot(theirs)
    picked = {
        "action": name, "_selected_action": [str(theirs[Conversation].pk)], "_form_submitted": "on",
        "reason": "agent", "priority": "100", "queue": str(ours[Queue].pk),
        "agent": str(ours[AgentProfile].pk),
    }  # fmt: skip

    boss.post(page(Conversation, "changelist"), picked)

    assert snapshot(theirs) == before


@pytest.mark.parametrize("asked", ["user__password__startswith=pbkdf2", "organization__name__startswith=A"])
def test_nobody_fishes_for_columns_through_the_address(boss: Client, ours: World, asked: str) -> None:
    assert boss.get(f"{page(Membership, 'changelist')}?{asked}").status_code == 400


def test_a_user_without_an_organization_gets_nowhere(ours: World) -> None:
    stray = User.objects.create(
        email="stray@nowhere.test", name="Stray", is_superuser=True, password="unusable"
    )
    client = Client()
    client.force_login(stray)

    assert client.get("/admin/", follow=True).status_code == 403
