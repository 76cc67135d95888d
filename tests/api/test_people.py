"""Departments, skills, calendars and members."""

from __future__ import annotations

from typing import Any

import pytest
from django_scopes import scope

from accounts.models import AuditEntry, Membership, User
from queues.models import Queue, Skill
from tests.api.caller import Calls
from tests.conftest import new_member

NEW = {"email": "Carla@acme.test", "name": "Carla", "role": "agent"}


def test_departments_are_made_read_changed_and_deleted(sofia: Membership, by: Calls) -> None:
    made = by(sofia).post("departments", {"name": "Pós-venda"})
    address = f"departments/{made.json()['id']}"

    assert made.status_code == 201
    assert set(made.json()) == {"id", "name", "slug", "is_active", "created_at"}
    assert made.json()["slug"] == "pos-venda"
    assert by(sofia).patch(address, {"is_active": False}).json()["is_active"] is False
    assert by(sofia).delete(address).status_code == 204
    assert by(sofia).get(address).status_code == 404


def test_a_slug_is_taken_once_in_an_organization(sofia: Membership, by: Calls) -> None:
    by(sofia).post("departments", {"name": "Vendas"})

    assert by(sofia).post("departments", {"name": "Vendas"}).json()["errors"].keys() == {"slug"}


def test_changes_are_on_record_by_name_of_field_only(sofia: Membership, by: Calls) -> None:
    made = by(sofia).post("departments", {"name": "Segredo"})
    by(sofia).patch(f"departments/{made.json()['id']}", {"name": "Outro"})

    entries = list(AuditEntry.objects.order_by("id").values_list("action", "actor_id", "data"))
    assert entries == [
        ("department.created", sofia.pk, {"fields": ["name", "slug"]}),
        ("department.updated", sofia.pk, {"fields": ["name"]}),
    ]


def test_a_skill_that_a_queue_requires_stays(sofia: Membership, by: Calls, support: Queue) -> None:
    skill = by(sofia).post("skills", {"name": "Inglês"}).json()
    assert skill.keys() == {"id", "name", "slug"}
    settings = {"skills_required": ["ingles"]}
    by(sofia).patch(f"queues/{support.pk}", {"settings": settings}, If_Match="*")

    assert by(sofia).delete(f"skills/{skill['id']}").status_code == 409


def test_a_calendar_is_checked(sofia: Membership, by: Calls) -> None:
    hours = [{"weekday": "mon", "start": "09:00", "end": "18:00"}]
    made = by(sofia).post(
        "calendars", {"name": "Semana", "intervals": hours, "closed_dates": ["2026-12-25", "2026-01-01"]}
    )

    assert made.status_code == 201
    assert made.json() == {
        "id": made.json()["id"],
        "name": "Semana",
        "timezone": "America/Sao_Paulo",
        "intervals": hours,
        "closed_dates": ["2026-01-01", "2026-12-25"],
        "holiday_calendar": "",
        "exceptions": [],
        "revision": 1,
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"timezone": "Mars/Base"},
        {"intervals": [{"weekday": "mon", "start": "25:00", "end": "18:00"}]},
        {"intervals": [{"weekday": "segunda", "start": "09:00", "end": "18:00"}]},
        {"closed_dates": ["25/12/2026"]},
    ],
)
def test_a_calendar_that_cannot_be_read_is_refused(sofia: Membership, by: Calls, wrong: Any) -> None:
    assert by(sofia).post("calendars", {"name": "Semana", **wrong}).status_code == 400


# ---------------------------------------------------------------- members
def test_a_new_member_can_log_in_and_is_an_agent(olivia: Membership, by: Calls) -> None:
    skill = by(olivia).post("skills", {"name": "Inglês"}).json()
    made = by(olivia).post(
        "members",
        {
            **NEW,
            "password": "carla battery staple",
            "capacity": 3,
            "skills": [{"skill": skill["id"], "level": 4}],
        },
    )

    assert made.status_code == 201
    assert made.json() == {
        "id": made.json()["id"],
        "email": "carla@acme.test",
        "name": "Carla",
        "role": "agent",
        "is_active": True,
        "capacity": 3,
        "presence": "offline",
        "skills": [{"skill": {"id": skill["id"], "name": "Inglês"}, "level": 4}],
        "created_at": made.json()["created_at"],
        "initial_password": None,
    }
    assert User.objects.get(email="carla@acme.test").check_password("carla battery staple")


def test_without_a_password_one_is_made_up_and_shown_once(olivia: Membership, by: Calls) -> None:
    made = by(olivia).post("members", NEW).json()

    assert User.objects.get(email="carla@acme.test").check_password(made["initial_password"])
    assert "initial_password" not in by(olivia).get(f"members/{made['id']}").json()


def test_a_weak_password_is_refused(olivia: Membership, by: Calls) -> None:
    answer = by(olivia).post("members", {**NEW, "password": "short"})

    assert answer.status_code == 400
    assert "password" in answer.json()["errors"]


def test_nobody_is_a_member_twice(olivia: Membership, ana: Membership, by: Calls) -> None:
    answer = by(olivia).post("members", {**NEW, "email": "ANA@acme.test"})

    assert answer.json()["errors"].keys() == {"email"}


def test_somebody_of_another_organization_keeps_name_and_password(
    olivia: Membership, rival_agent: Membership, by: Calls
) -> None:
    before = rival_agent.user.password
    made = by(olivia).post(
        "members", {"email": "rita@rival.test", "name": "X", "password": "stolen battery staple"}
    )
    renamed = by(olivia).patch(f"members/{made.json()['id']}", {"name": "Stolen"})

    user = User.objects.get(email="rita@rival.test")
    assert (user.password, user.name) == (before, "Rita")
    assert renamed.status_code == 403


def test_a_supervisor_sets_capacity_and_skills_but_not_roles(
    sofia: Membership, ana: Membership, by: Calls
) -> None:
    skill = Skill.objects.create(organization=ana.organization, name="SQL", slug="sql")
    changed = by(sofia).patch(
        f"members/{ana.pk}", {"capacity": 9, "skills": [{"skill": str(skill.pk), "level": 2}]}
    )

    assert changed.status_code == 200
    assert (changed.json()["capacity"], changed.json()["skills"][0]["level"]) == (9, 2)
    assert by(sofia).patch(f"members/{ana.pk}", {"role": "admin"}).status_code == 403
    assert by(sofia).post("members", NEW).status_code == 403


@pytest.mark.parametrize("skills", [[{}], [{"level": 2}], ["x"], None])
def test_an_incomplete_skill_is_refused(sofia: Membership, ana: Membership, by: Calls, skills: Any) -> None:
    assert by(sofia).patch(f"members/{ana.pk}", {"skills": skills}).status_code == 400


def test_only_an_owner_makes_or_touches_an_owner(
    adam: Membership, olivia: Membership, ana: Membership, by: Calls
) -> None:
    assert by(adam).post("members", {**NEW, "role": "owner"}).status_code == 403
    assert by(adam).patch(f"members/{ana.pk}", {"role": "owner"}).status_code == 403
    assert by(adam).patch(f"members/{olivia.pk}", {"role": "agent"}).status_code == 403
    assert by(adam).delete(f"members/{olivia.pk}").status_code == 403
    assert by(olivia).patch(f"members/{ana.pk}", {"role": "owner"}).status_code == 200


def test_the_last_owner_stays(olivia: Membership, by: Calls) -> None:
    assert by(olivia).patch(f"members/{olivia.pk}", {"role": "agent"}).json()["code"] == "last_owner"
    assert by(olivia).delete(f"members/{olivia.pk}").status_code == 409


def test_one_of_two_owners_may_go(olivia: Membership, by: Calls) -> None:
    other = new_member(olivia.organization, "otto", "owner")

    assert by(olivia).delete(f"members/{other.pk}").status_code == 204


def test_a_retired_member_stays_on_the_list_and_comes_back(
    olivia: Membership, ana: Membership, by: Calls
) -> None:
    assert by(olivia).delete(f"members/{ana.pk}").status_code == 204
    assert by(olivia).get(f"members/{ana.pk}").json()["is_active"] is False

    back = by(olivia).post("members", {**NEW, "email": "ana@acme.test"})
    assert (back.status_code, back.json()["id"]) == (201, str(ana.pk))


def test_members_are_searched_and_filtered(
    olivia: Membership, ana: Membership, bia: Membership, by: Calls
) -> None:
    found = by(olivia).get("members?q=BIA").json()["results"]
    agents = by(olivia).get("members?role=agent").json()["results"]

    assert [member["id"] for member in found] == [str(bia.pk)]
    assert {member["id"] for member in agents} == {str(ana.pk), str(bia.pk)}


def test_a_list_of_members_costs_the_same_for_many(
    olivia: Membership, by: Calls, django_assert_max_num_queries: Any
) -> None:
    skill = Skill.objects.create(organization=olivia.organization, name="SQL", slug="sql")
    for number in range(8):
        member = new_member(olivia.organization, f"m{number}", "agent")
        with scope(organization=olivia.organization):
            member.agent.skills.create(organization=olivia.organization, skill=skill)
    caller = by(olivia)
    caller.get("me")  # the first call also writes that they were seen

    with django_assert_max_num_queries(4):
        assert len(caller.get("members").json()["results"]) == 9


def test_viewers_have_no_presence(vic: Membership, by: Calls) -> None:
    assert by(vic).put("me/presence", {"status": "online"}).status_code == 403
