"""What holds for every address: refusals in one shape, pages, bodies, keys that act once, revisions."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

import pytest

from accounts.models import IdempotencyKey, Membership, Organization
from contacts.models import Contact
from queues.models import Department, Queue
from tests.api.caller import ROOT, Caller, Calls, outside

MEMBERS = {"type", "title", "status", "detail", "code", "errors"}


def raw(caller: Caller, body: bytes, path: str = "contacts", kind: str = "application/json") -> Any:
    with outside():
        return caller.client.post(ROOT + path, body, content_type=kind, headers=caller.headers)


def assert_problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert set(body) >= MEMBERS
    assert (body["status"], body["code"]) == (status, code)
    return body


def test_an_address_that_nobody_serves(db: None) -> None:
    assert_problem(Caller().get("nothing/here"), 404, "not_found")


def test_an_id_that_is_none(ana: Membership, by: Calls) -> None:
    assert_problem(by(ana).get("contacts/123"), 404, "not_found")


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS", "TRACE"])
def test_a_method_that_is_not_offered(ana: Membership, by: Calls, method: str) -> None:
    assert_problem(by(ana)(method, "me"), 405, "method_not_allowed")


def test_a_body_that_is_no_json(ana: Membership, by: Calls) -> None:
    assert_problem(
        raw(by(ana), b"a=b", kind="application/x-www-form-urlencoded"), 415, "unsupported_media_type"
    )


def test_a_missing_right(vic: Membership, by: Calls) -> None:
    assert_problem(by(vic).post("contacts", {"name": "x"}), 403, "permission_denied")


def test_wrong_fields_are_named(ana: Membership, by: Calls) -> None:
    body = assert_problem(by(ana).post("contacts", {"email": "no"}), 400, "invalid")

    assert list(body["errors"]) == ["email"]
    assert all(isinstance(text, str) for text in body["errors"]["email"])


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"", b"\xff\xfe", b'{"name": "a\\u0000b"}', b'{"name": "\\ud800"}', b'{"a\\u0000": 1}',
        b'{"name": NaN}', b"[" * 65 + b"]" * 65, b'{"fields": ' + b'{"a":' * 70 + b"1" + b"}" * 71,
        b"[" * 100_000 + b"]" * 100_000, b'{"name": ' + b"9" * 5000 + b"}", b"[]", b'"x"', b"null",
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_kept_is_400(ana: Membership, by: Calls, body: bytes) -> None:
    answer = raw(by(ana), body)

    assert answer.status_code == (201 if body == b"" else 400)
    assert Contact.objects.count() == (1 if body == b"" else 0)


def test_json_may_be_64_deep(ana: Membership, by: Calls) -> None:
    deep: Any = "x"
    for _ in range(62):
        deep = [deep]

    assert by(ana).post("contacts", {"fields": {"a": deep}}).status_code == 201
    assert by(ana).post("contacts", {"fields": {"a": [[deep]]}}).status_code == 400


def test_a_body_that_is_too_large(ana: Membership, by: Calls) -> None:
    body = json.dumps({"name": "x" * (4 * 1024 * 1024)}).encode()

    assert_problem(raw(by(ana), body), 413, "too_large")


@pytest.mark.parametrize(
    "path",
    [
        "contacts?q=%00",
        "contacts?cursor=%00",
        "contacts?cursor=cD0lMDA=",
        "contacts?cursor=cD14",
        "conversations?cursor=cD14",
        "contacts?cursor=%ff",
        "queues?department=x",
    ],
)
def test_odd_queries_are_refused_not_failed(ana: Membership, by: Calls, path: str) -> None:
    assert by(ana).get(path).status_code in (400, 404)


def test_our_own_failure_is_a_problem_too(ana: Membership, by: Calls) -> None:
    with patch("contacts.api.Contacts.rows", side_effect=RuntimeError("secret detail")):
        answer = by(ana).get("contacts")

    assert_problem(answer, 500, "error")
    assert b"secret detail" not in answer.content


@pytest.mark.parametrize("path", ["me", "me/", "contacts", "contacts/"])
def test_both_forms_of_an_address_answer(ana: Membership, by: Calls, path: str) -> None:
    assert by(ana).get(path).status_code == 200


def test_what_a_client_accepts_changes_nothing(ana: Membership, by: Calls) -> None:
    answer = by(ana).get("me", Accept="text/html")

    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert answer["Cache-Control"] == "no-store"


# ---------------------------------------------------------------- pages
def test_pages_follow_the_cursor_and_lose_nothing(acme: Organization, ana: Membership, by: Calls) -> None:
    for number in range(7):
        Contact.objects.create(organization=acme, name=f"C{number}")

    names, path = [], "contacts?limit=3"
    while path:
        page = by(ana).get(path).json()
        assert set(page) == {"next", "previous", "results"}
        names += [contact["name"] for contact in page["results"]]
        path = page["next"] and page["next"].partition(ROOT)[2]

    assert names == [f"C{number}" for number in range(6, -1, -1)]


def test_a_page_holds_at_most_100(acme: Organization, ana: Membership, by: Calls) -> None:
    Contact.objects.bulk_create(Contact(organization=acme) for _ in range(102))

    assert len(by(ana).get("contacts?limit=1000").json()["results"]) == 100


# ---------------------------------------------------------------- one effect per key
def test_the_same_key_gives_the_same_answer_once(ana: Membership, by: Calls) -> None:
    first = by(ana).post("contacts", {"name": "Maria"}, Idempotency_Key="k1")
    second = by(ana).post("contacts", {"name": "Maria"}, Idempotency_Key="k1")

    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert second["Idempotent-Replayed"] == "true"
    assert Contact.objects.count() == 1


def test_the_same_key_with_another_body_is_422(ana: Membership, by: Calls) -> None:
    by(ana).post("contacts", {"name": "Maria"}, Idempotency_Key="k1")

    assert_problem(
        by(ana).post("contacts", {"name": "Ana"}, Idempotency_Key="k1"), 422, "idempotency_mismatch"
    )
    assert Contact.objects.count() == 1


def test_keys_of_two_people_and_two_addresses_do_not_mix(ana: Membership, bia: Membership, by: Calls) -> None:
    by(ana).post("contacts", {"name": "Maria"}, Idempotency_Key="k1")
    by(bia).post("contacts", {"name": "Maria"}, Idempotency_Key="k1")
    contact = Contact.objects.first()
    blocked = by(ana).post(f"contacts/{contact.pk}/block", Idempotency_Key="k1")

    assert Contact.objects.count() == 2
    assert blocked.status_code == 200


def test_a_refusal_is_remembered_too(
    ana: Membership, by: Calls, make_conversation: Any, support: Queue
) -> None:
    conversation = make_conversation("pending")
    first = by(ana).post("queue/pull", Idempotency_Key="k")
    with_work = make_conversation("queued", queue=support)
    second = by(ana).post("queue/pull", Idempotency_Key="k")

    assert first.status_code == second.status_code == 204
    assert second["X-Pull-Reason"] == first["X-Pull-Reason"]
    assert type(conversation).objects.get(pk=with_work.pk).state == "queued"


def test_a_failure_of_ours_is_not_remembered(ana: Membership, by: Calls) -> None:
    with patch("contacts.api.ContactSerializer.create", side_effect=RuntimeError):
        assert by(ana).post("contacts", {"name": "Maria"}, Idempotency_Key="k").status_code == 500

    assert IdempotencyKey.objects.count() == 0
    assert by(ana).post("contacts", {"name": "Maria"}, Idempotency_Key="k").status_code == 201


def test_a_body_that_was_wrong_may_be_mended_under_the_same_key(ana: Membership, by: Calls) -> None:
    assert by(ana).post("contacts", {"email": "no"}, Idempotency_Key="k").status_code == 400
    assert by(ana).post("contacts", {"email": "a@b.test"}, Idempotency_Key="k").status_code == 201


@pytest.mark.parametrize("key", ["x" * 121, "ção"])
def test_a_key_is_short_and_plain(ana: Membership, by: Calls, key: str) -> None:
    assert by(ana).post("contacts", {"name": "Maria"}, Idempotency_Key=key).status_code == 400


# ---------------------------------------------------------------- revisions
def test_a_configuration_object_changes_only_under_its_etag(
    sofia: Membership, by: Calls, support: Queue
) -> None:
    seen = by(sofia).get(f"queues/{support.pk}")
    assert seen["ETag"] == '"1"'

    assert_problem(by(sofia).patch(f"queues/{support.pk}", {"name": "A"}), 428, "if_match_missing")
    assert by(sofia).patch(f"queues/{support.pk}", {"name": "A"}, If_Match='"1"')["ETag"] == '"2"'
    stale = by(sofia).patch(f"queues/{support.pk}", {"name": "B"}, If_Match='"1"')
    assert_problem(stale, 412, "stale")
    assert Queue.objects.get().name == "A"


@pytest.mark.parametrize("header", ["nonsense", '"99999999999999999999"', '"-1"'])
def test_an_etag_that_was_never_given_is_stale(
    sofia: Membership, by: Calls, support: Queue, header: str
) -> None:
    assert by(sofia).delete(f"queues/{support.pk}", If_Match=header).status_code == 412


def test_a_star_overwrites_whatever_is_there(sofia: Membership, by: Calls, support: Queue) -> None:
    assert by(sofia).delete(f"queues/{support.pk}", If_Match="*").status_code == 204


def test_an_object_in_use_is_not_deleted(
    sofia: Membership, by: Calls, support: Queue, department: Department
) -> None:
    assert_problem(by(sofia).delete(f"departments/{department.pk}"), 409, "conflict")
