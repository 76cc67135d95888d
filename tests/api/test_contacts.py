"""Contacts and their addresses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from accounts.models import AuditEntry, Membership
from contacts.models import Contact, Identity
from conversations.models import Conversation
from tests.api.caller import Calls

SHAPE = {
    "id", "name", "email", "language", "fields", "identities", "blocked_at", "opted_out_at", "created_at",
}  # fmt: skip
PHONE = {"scheme": "phone", "value": "(11) 98765-4321"}


def test_a_contact_is_made_with_an_address(ana: Membership, by: Calls) -> None:
    made = by(ana).post("contacts", {"name": "Maria", "fields": {"plan": "gold"}, "identities": [PHONE]})

    assert made.status_code == 201
    assert set(made.json()) == SHAPE
    assert made.json()["fields"] == {"plan": "gold"}
    assert made.json()["identities"][0] == {
        "id": made.json()["identities"][0]["id"],
        "scheme": "phone",
        "value": "+5511987654321",
        "unreachable_at": None,
        "created_at": made.json()["identities"][0]["created_at"],
    }


def test_an_address_belongs_to_one_contact_in_any_spelling(ana: Membership, by: Calls) -> None:
    by(ana).post("contacts", {"name": "Maria", "identities": [PHONE]})

    other = by(ana).post(
        "contacts", {"name": "Eva", "identities": [{"scheme": "phone", "value": "551187654321"}]}
    )

    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert Contact.objects.count() == 1


def test_addresses_come_and_go(ana: Membership, by: Calls, make_contact: Callable[..., Contact]) -> None:
    contact = make_contact()
    address = f"contacts/{contact.pk}/identities"
    made = by(ana).post(address, {"scheme": "email", "value": "Maria@Example.com"})

    assert (made.status_code, made.json()["value"]) == (201, "maria@example.com")
    assert len(by(ana).get(address).json()["results"]) == 2
    assert by(ana).delete(f"{address}/{made.json()['id']}").status_code == 204
    assert Identity.objects.filter(contact=contact).count() == 1


def test_an_address_of_another_contact_is_not_removed(
    ana: Membership, by: Calls, make_contact: Callable[..., Contact]
) -> None:
    mine, other = make_contact(), make_contact()
    identity = other.identities.get()

    assert by(ana).delete(f"contacts/{mine.pk}/identities/{identity.pk}").status_code == 404


def test_what_is_no_telephone_number_is_refused(ana: Membership, by: Calls) -> None:
    answer = by(ana).post("contacts", {"identities": [{"scheme": "phone", "value": "abc"}]})

    assert answer.status_code == 400
    assert any("value" in name for name in answer.json()["errors"])


def test_a_change_touches_only_what_is_given(
    ana: Membership, by: Calls, make_contact: Callable[..., Contact]
) -> None:
    contact = make_contact("Maria")

    assert by(ana).patch(f"contacts/{contact.pk}", {"language": "en"}).json()["name"] == "Maria"
    assert by(ana).patch(f"contacts/{contact.pk}", {"identities": [PHONE]}).status_code == 400
    assert by(ana).patch(f"contacts/{contact.pk}", {"fields": []}).status_code == 400


def test_search_finds_name_and_number(
    ana: Membership, by: Calls, make_contact: Callable[..., Contact]
) -> None:
    maria = make_contact("Maria", "+5511987654321")
    make_contact("Eva")

    for words in ("mari", "98765"):
        found = by(ana).get(f"contacts?q={words}").json()["results"]
        assert [contact["id"] for contact in found] == [str(maria.pk)]


def test_a_contact_is_blocked_and_let_in_again(
    ana: Membership, by: Calls, make_contact: Callable[..., Contact]
) -> None:
    contact = make_contact()

    assert by(ana).post(f"contacts/{contact.pk}/block").json()["blocked_at"] is not None
    assert by(ana).delete(f"contacts/{contact.pk}/block").json()["blocked_at"] is None
    assert AuditEntry.objects.filter(action__in=["contact.blocked", "contact.unblocked"]).count() == 2


def test_who_has_talked_with_us_is_kept(
    ana: Membership, by: Calls, make_conversation: Callable[..., Conversation], make_contact: Any
) -> None:
    conversation = make_conversation()

    assert by(ana).delete(f"contacts/{conversation.contact_id}").status_code == 409
    assert by(ana).delete(f"contacts/{make_contact('Eva').pk}").status_code == 204


def test_the_record_holds_no_personal_values(ana: Membership, by: Calls) -> None:
    by(ana).post("contacts", {"name": "Maria", "email": "maria@example.com", "identities": [PHONE]})

    kept = str(list(AuditEntry.objects.values_list("data", flat=True)))
    assert "Maria" not in kept
    assert "8765" not in kept


def test_a_list_of_contacts_costs_the_same_for_many(
    ana: Membership, by: Calls, make_contact: Callable[..., Contact], django_assert_max_num_queries: Any
) -> None:
    for _ in range(10):
        make_contact()
    caller = by(ana)
    caller.get("me")  # the first call also writes that they were seen

    with django_assert_max_num_queries(3):
        assert len(caller.get("contacts").json()["results"]) == 10
