"""Queues, agents, calendars, members, contacts."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEntry, Membership, User
from contacts.models import Contact
from conversations.models import Conversation
from queues.models import AgentProfile, AgentSkill, Calendar, Department, Queue, RoutingCall, Skill
from tests.admin.pages import act, form_data, page
from tests.admin.world import World


def save(client: Client, obj: Any, **changes: Any) -> Any:
    url = page(type(obj), "change", obj.pk)
    return client.post(url, form_data(client.get(url)) | changes)


def errors(response: Any) -> str:
    assert response.status_code == 200
    return str(response.context["adminform"].form.errors)


# ---------------------------------------------------------------------- queues
def test_who_may_serve_is_picked_from_lists(lead: Client, ours: World) -> None:
    agent = ours.members["agent"]

    response = save(lead, ours[Queue], agents=[str(agent.pk)], skills=["skill"])

    assert response.status_code == 302
    queue = Queue.objects.get(pk=ours[Queue].pk)
    assert queue.settings == {"allowed_agent_ids": [str(agent.pk)], "skills_required": ["skill"]}
    assert queue.revision == ours[Queue].revision + 1
    entry = AuditEntry.objects.get(action="queue.changed", actor=ours.members["supervisor"])
    assert entry.data == {"fields": ["agents", "skills"]}


def test_a_skill_that_is_gone_leaves_the_queue_editable(lead: Client, ours: World) -> None:
    Queue.objects.filter(pk=ours[Queue].pk).update(settings={"skills_required": ["vanished"]})

    assert save(lead, ours[Queue], name="Renamed", skills=[]).status_code == 302
    assert Queue.objects.get(pk=ours[Queue].pk).name == "Renamed"


def test_a_page_that_is_older_than_the_queue_is_refused(lead: Client, ours: World) -> None:
    url = page(Queue, "change", ours[Queue].pk)
    late = form_data(lead.get(url))
    save(lead, ours[Queue], skills=["skill"])

    assert "Somebody changed this" in errors(lead.post(url, late | {"name": "Late"}))
    assert Queue.objects.get(pk=ours[Queue].pk).skills_required == {"skill": 1}


def test_overflow_in_a_circle_is_refused(lead: Client, ours: World) -> None:
    other = Queue.objects.create(
        organization=ours.organization, name="Other", slug="other",
        department=ours[Department], overflow_queue=ours[Queue],
    )  # fmt: skip

    assert "overflow_queue" in errors(save(lead, ours[Queue], overflow_queue=str(other.pk)))
    assert Queue.objects.get(pk=ours[Queue].pk).overflow_queue is None


def test_a_new_queue_belongs_to_the_organization_and_a_taken_slug_is_an_error(
    lead: Client, ours: World
) -> None:
    data = form_data(lead.get(page(Queue, "add"))) | {
        "name": "Second", "slug": "second", "department": str(ours[Department].pk), "priority": "60",
    }  # fmt: skip

    assert lead.post(page(Queue, "add"), data).status_code == 302
    assert Queue.objects.get(slug="second").organization_id == ours.organization.pk
    assert "already exists" in errors(lead.post(page(Queue, "add"), data))


def test_the_slug_of_a_queue_is_chosen_once(lead: Client, ours: World) -> None:
    save(lead, ours[Queue], slug="other")

    assert Queue.objects.get(pk=ours[Queue].pk).slug == "suporte"


def test_a_queue_with_conversations_is_not_deleted(lead: Client, ours: World) -> None:
    lead.post(page(Queue, "delete", ours[Queue].pk), {"post": "yes"})

    assert Queue.objects.filter(pk=ours[Queue].pk).exists()


def test_an_unused_queue_is_deleted_on_record(lead: Client, ours: World) -> None:
    spare = Queue.objects.create(
        organization=ours.organization, name="Spare", slug="spare", department=ours[Department]
    )

    lead.post(page(Queue, "delete", spare.pk), {"post": "yes"})

    assert not Queue.objects.filter(pk=spare.pk).exists()
    assert AuditEntry.objects.filter(action="queue.deleted", object_id=str(spare.pk)).exists()


def test_a_skill_that_a_queue_asks_for_stays(lead: Client, ours: World) -> None:
    Queue.objects.filter(pk=ours[Queue].pk).update(settings={"skills_required": ["skill"]})

    assert lead.post(page(Skill, "delete", ours[Skill].pk), {"post": "yes"}).status_code == 403


# ---------------------------------------------------------------------- calendars
def test_opening_hours_are_written_a_line_per_day(lead: Client, ours: World) -> None:
    save(
        lead,
        ours[Calendar],
        mon="09:00-12:00, 13:00-18:00",
        fri="22:00-02:00",
        dates="2026-12-25\n2027-01-01",
    )

    calendar = Calendar.objects.get(pk=ours[Calendar].pk)
    assert calendar.intervals == [
        {"weekday": "mon", "start": "09:00", "end": "12:00"},
        {"weekday": "mon", "start": "13:00", "end": "18:00"},
        {"weekday": "fri", "start": "22:00", "end": "02:00"},
    ]
    assert calendar.closed_dates == ["2026-12-25", "2027-01-01"]


@pytest.mark.parametrize(
    "bad",
    [{"mon": "9 to 5"}, {"mon": "25:00-26:00"}, {"dates": "25/12/2026"}, {"timezone": "Mars/Olympus"}],
)
def test_unreadable_hours_are_a_form_error(lead: Client, ours: World, bad: dict[str, str]) -> None:
    before = ours[Calendar].intervals

    assert errors(save(lead, ours[Calendar], **bad))
    assert Calendar.objects.get(pk=ours[Calendar].pk).intervals == before


# ---------------------------------------------------------------------- agents
def test_a_supervisor_sets_capacity_presence_and_skills(lead: Client, ours: World) -> None:
    agent = ours[AgentProfile]
    skills = {"skills-TOTAL_FORMS": "1", "skills-0-skill": str(ours[Skill].pk), "skills-0-level": "3"}

    response = save(lead, agent, capacity="9", presence="away", **skills)

    assert response.status_code == 302
    now = AgentProfile.objects.get(pk=agent.pk)
    assert (now.capacity, now.presence) == (9, "away")
    assert now.presence_since > agent.presence_since
    assert AgentSkill.objects.get().level == 3
    assert RoutingCall.objects.filter(reason="agent changed").exists()


def test_less_room_is_remembered_as_such(lead: Client, ours: World) -> None:
    save(lead, ours[AgentProfile], capacity="3")

    now = AgentProfile.objects.get(pk=ours[AgentProfile].pk)
    assert (now.capacity, now.capacity_before) == (3, ours[AgentProfile].capacity)
    assert now.capacity_lowered_at is not None


def test_a_supervisor_does_not_change_roles(lead: Client, ours: World) -> None:
    url = page(Membership, "change", ours.members["agent"].pk)

    assert lead.post(url, {"role": "owner", "is_active": "on"}).status_code == 403
    assert Membership.objects.get(pk=ours.members["agent"].pk).role == "agent"


# ---------------------------------------------------------------------- members
NEW = {"name": "Nina", "email": "Nina@Acme.test", "role": "agent", "password": "a long enough one 7"}


def test_a_new_member_can_log_in_and_work_as_an_agent(boss: Client, ours: World) -> None:
    assert boss.post(page(Membership, "add"), NEW).status_code == 302

    made = Membership.objects.get(user__email="nina@acme.test")
    assert made.user.check_password(NEW["password"])
    assert (made.role, made.agent.capacity) == ("agent", 5)
    assert AuditEntry.objects.filter(action="membership.created", object_id=str(made.pk)).exists()


def test_a_weak_first_password_is_refused(boss: Client, ours: World) -> None:
    assert "password" in errors(boss.post(page(Membership, "add"), NEW | {"password": "short"}))
    assert not User.objects.filter(email="nina@acme.test").exists()


def test_somebody_elses_colleague_is_not_taken_over(boss: Client, ours: World, theirs: World) -> None:
    theirs_agent = theirs.members["agent"].user
    before = theirs_agent.password

    response = boss.post(page(Membership, "add"), NEW | {"email": theirs_agent.email})

    assert "cannot be added" in errors(response)
    assert User.objects.get(pk=theirs_agent.pk).password == before


def test_an_administrator_makes_no_owners_and_does_not_touch_them(ours: World, enter: Any) -> None:
    admin = enter(ours.members["admin"])

    assert "role" in errors(admin.post(page(Membership, "add"), NEW | {"role": "owner"}))
    assert (
        admin.post(page(Membership, "change", ours.members["owner"].pk), {"role": "agent"}).status_code == 403
    )
    password = {"_form_submitted": "on", "password": "a long enough one 7"}
    admin.post(page(Membership, "set_password", ours.members["owner"].pk), password)
    assert not User.objects.get(pk=ours.members["owner"].user_id).check_password("a long enough one 7")


def test_nobody_changes_their_own_role(boss: Client, ours: World) -> None:
    response = save(boss, ours.members["owner"], role="agent")

    assert "their own role" in errors(response)
    assert Membership.objects.get(pk=ours.members["owner"].pk).role == "owner"


def test_the_last_owner_stays(ours: World, enter: Any) -> None:
    second = ours.members["admin"]
    Membership.objects.filter(pk=second.pk).update(role="owner")
    client = enter(second)
    assert save(client, ours.members["owner"], role="agent").status_code == 302
    Membership.objects.filter(pk=ours.members["owner"].pk).update(role="owner", is_active=False)
    Membership.objects.filter(pk=second.pk).update(role="admin")

    assert (
        client.post(page(Membership, "change", ours.members["owner"].pk), {"role": "agent"}).status_code
        == 403
    )


def test_a_deactivated_member_is_out(boss: Client, ours: World) -> None:
    url = page(Membership, "change", ours.members["agent"].pk)
    data = form_data(boss.get(url))
    data.pop("is_active")

    assert boss.post(url, data).status_code == 302
    assert not Membership.objects.get(pk=ours.members["agent"].pk).is_active


def test_a_password_is_set_for_somebody_who_works_only_here(boss: Client, ours: World, theirs: World) -> None:
    agent = ours.members["agent"]
    assert act(boss, agent, "set_password", password="a long enough one 7") == ["The password was set."]
    assert User.objects.get(pk=agent.user_id).check_password("a long enough one 7")

    Membership.objects.create(organization=theirs.organization, user=agent.user, role="agent")
    told = act(boss, agent, "set_password", password="another long one 8")
    assert "works elsewhere" in told[-1]
    assert User.objects.get(pk=agent.user_id).check_password("a long enough one 7")


# ---------------------------------------------------------------------- contacts
def test_a_contact_is_blocked_and_unblocked_on_record(lead: Client, ours: World) -> None:
    act(lead, ours[Contact], "block")
    assert Contact.objects.get(pk=ours[Contact].pk).blocked_at is not None

    act(lead, ours[Contact], "unblock")
    assert Contact.objects.get(pk=ours[Contact].pk).blocked_at is None
    assert AuditEntry.objects.filter(action__in=["contact.blocked", "contact.unblocked"]).count() == 2


def test_own_fields_of_a_contact_are_an_object(lead: Client, ours: World) -> None:
    assert "fields" in errors(save(lead, ours[Contact], fields="[1]"))
    assert save(lead, ours[Contact], fields='{"plan": "gold"}').status_code == 302
    assert Contact.objects.get(pk=ours[Contact].pk).fields == {"plan": "gold"}


def test_the_history_tells_who_changed_what(boss: Client, lead: Client, ours: World) -> None:
    save(lead, ours[Department], name="Renamed")

    html = boss.get(page(Department, "history", ours[Department].pk)).content.decode()

    assert "department.changed" in html
    assert "OURMARK supervisor" in html
    assert "fields: name" in html


def test_a_contact_without_a_name_has_pages_too(lead: Client, ours: World) -> None:
    Contact.objects.filter(pk=ours[Contact].pk).update(name="")

    assert lead.get(page(Contact, "change", ours[Contact].pk)).status_code == 200
    assert lead.get(page(Conversation, "changelist")).status_code == 200
