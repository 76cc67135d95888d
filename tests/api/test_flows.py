"""Flows: drafts, validation, versions, simulation."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import AuditEntry, Membership
from flows import demo
from flows.models import Flow, FlowVersion
from tests.api.caller import Calls

SHAPE = {
    "id", "name", "slug", "description", "is_active", "published_version", "revision",
    "created_at", "updated_at",
}  # fmt: skip


@pytest.fixture
def address(adam: Membership, by: Calls) -> str:
    """A new flow with the demo's document as its draft."""
    made = by(adam).post("flows", {"name": "Pós-venda"})
    address = f"flows/{made.json()['id']}"
    by(adam).put(f"{address}/draft", demo.document(), If_Match=made["ETag"])
    return address


def test_a_flow_is_made_with_an_empty_draft(sofia: Membership, by: Calls) -> None:
    made = by(sofia).post("flows", {"name": "Pós-venda", "description": "depois"})

    assert made.status_code == 201
    assert set(made.json()) == SHAPE
    assert (made.json()["slug"], made.json()["published_version"]) == ("pos-venda", None)
    assert by(sofia).get(f"flows/{made.json()['id']}/draft").json()["nodes"] == []


def test_a_draft_is_saved_under_its_etag(sofia: Membership, by: Calls) -> None:
    made = by(sofia).post("flows", {"name": "A"})
    draft = f"flows/{made.json()['id']}/draft"
    read = by(sofia).get(draft)
    assert read["ETag"] == made["ETag"] == '"1"'

    assert by(sofia).put(draft, demo.document()).status_code == 428
    saved = by(sofia).put(draft, demo.document(), If_Match='"1"')
    assert (saved.status_code, saved["ETag"], saved.json()) == (200, '"2"', demo.document())
    stale = by(sofia).put(draft, demo.document(), If_Match='"1"')
    assert (stale.status_code, stale.json()["revision"]) == (412, 2)
    assert AuditEntry.objects.filter(action="flow.draft_saved").count() == 1


@pytest.mark.parametrize("document", [[], "x", 1, None])
def test_what_is_no_document_is_not_saved(sofia: Membership, address: str, by: Calls, document: Any) -> None:
    assert by(sofia).put(f"{address}/draft", document, If_Match="*").status_code in (400, 422)


def test_an_unfinished_draft_may_be_saved_but_not_published(
    adam: Membership, address: str, by: Calls
) -> None:
    broken = demo.document() | {"start": "nowhere"}
    assert by(adam).put(f"{address}/draft", broken, If_Match="*").status_code == 200

    report = by(adam).post(f"{address}/validate")
    assert report.status_code == 200
    assert set(report.json()) == {"errors", "warnings"}
    assert set(report.json()["errors"][0]) == {"path", "code", "message", "level"}
    refused = by(adam).post(f"{address}/publish", {"note": "x"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_document")
    assert "missing_start" in {problem["code"] for problem in refused.json()["problems"]}
    assert not FlowVersion.objects.exists()


def test_versions_are_published_listed_and_restored(adam: Membership, address: str, by: Calls) -> None:
    first = by(adam).post(f"{address}/publish", {"note": "first"})
    changed = demo.document() | {"variables": [{"name": "extra", "type": "text"}]}
    by(adam).put(f"{address}/draft", changed, If_Match="*")
    by(adam).post(f"{address}/publish", {"note": "second"})

    assert (first.status_code, set(first.json())) == (201, {"id", "number", "note", "author", "created_at"})
    versions = by(adam).get(f"{address}/versions").json()["results"]
    assert [(v["number"], v["note"]) for v in versions] == [(2, "second"), (1, "first")]
    assert versions[0]["author"] == {"id": str(adam.pk), "name": "Adam"}
    assert by(adam).get(address).json()["published_version"] == 2

    restored = by(adam).post(f"{address}/versions/1/restore")
    assert restored.status_code == 200
    draft = by(adam).get(f"{address}/draft")
    assert (draft.json(), draft["ETag"]) == (demo.document(), restored["ETag"])
    assert by(adam).get(address).json()["published_version"] == 2


def test_a_version_that_is_not_there(adam: Membership, address: str, by: Calls) -> None:
    assert by(adam).post(f"{address}/versions/7/restore").status_code == 404


def test_publishing_under_an_etag_takes_what_was_seen(adam: Membership, address: str, by: Calls) -> None:
    assert by(adam).post(f"{address}/publish", If_Match='"1"').status_code == 412
    assert by(adam).post(f"{address}/publish", If_Match='"2"').status_code == 201


def test_a_supervisor_draws_but_does_not_publish(sofia: Membership, address: str, by: Calls) -> None:
    assert by(sofia).patch(address, {"name": "Novo"}, If_Match="*").status_code == 200
    assert by(sofia).post(f"{address}/publish").status_code == 403


def test_a_simulation_answers_the_same_twice(adam: Membership, address: str, by: Calls) -> None:
    asked = {"events": [{"type": "heard", "text": "1"}], "now": "2026-11-20T10:00:00Z", "seed": 7}
    first = by(adam).post(f"{address}/simulate", asked)
    second = by(adam).post(f"{address}/simulate", asked)

    assert first.status_code == 200
    assert first.json() == second.json()
    assert [turn["event"]["type"] for turn in first.json()["turns"]] == ["started", "heard"]
    assert first.json()["turns"][0]["effects"][0]["type"] == "say"


@pytest.mark.parametrize(
    "asked, status",
    [
        ({"events": [{"type": "magic"}]}, 422),
        ({"events": "x"}, 400),
        ({"events": [{}] * 201}, 400),
        ({}, 400),
    ],
)
def test_a_simulation_of_nonsense(adam: Membership, address: str, by: Calls, asked: Any, status: int) -> None:
    assert by(adam).post(f"{address}/simulate", asked).status_code == status


def test_a_published_flow_stays(adam: Membership, address: str, by: Calls) -> None:
    other = by(adam).post("flows", {"name": "Other"}).json()
    assert by(adam).delete(f"flows/{other['id']}", If_Match="*").status_code == 204

    by(adam).post(f"{address}/publish")
    assert by(adam).delete(address, If_Match="*").status_code == 409
    assert Flow.objects.count() == 1


def test_agents_do_not_see_flows(ana: Membership, address: str, by: Calls) -> None:
    assert by(ana).get("flows").status_code == 403


def test_a_list_of_flows_costs_the_same_for_many(
    adam: Membership, by: Calls, django_assert_max_num_queries: Any
) -> None:
    for number in range(6):
        by(adam).post("flows", {"name": f"F{number}"})
    caller = by(adam)

    with django_assert_max_num_queries(2):
        assert len(caller.get("flows").json()["results"]) == 6
