"""The flow editor: bad JSON, bad flows, two editors, publishing, restoring, triggers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEntry
from flows import demo
from flows.models import Flow, FlowVersion, Trigger
from tests.admin.pages import act, form_data, page
from tests.admin.world import World

BROKEN = {"schema": 1, "start": "nowhere", "variables": [], "nodes": [], "edges": []}


def address(world: World) -> str:
    return page(Flow, "change", world[Flow].pk)


def save(client: Client, world: World, draft: str, **more: Any) -> Any:
    return client.post(address(world), form_data(client.get(address(world))) | {"draft": draft, **more})


def stored(world: World) -> Flow:
    return Flow.objects.get(pk=world[Flow].pk)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"schema": 1,\n "start": }', "line 2, column 11"),
        ("[1, 2]", "A flow document is a JSON object."),
        ('{"a": NaN}', "something that JSON cannot"),
        ('{"a": "\\u0000"}', "NUL"),
        ('{"a": "%s"}' % ("x" * 1024 * 1024), "larger than 1 MB"),
        ('{"a": "\\ud800"}', "something that JSON cannot"),
        ("[" * 100_000, "JSON"),
    ],
)
def test_bad_json_is_a_form_error_that_says_where(lead: Client, ours: World, text: str, says: str) -> None:
    before = stored(ours).draft

    response = save(lead, ours, text)

    assert says in str(response.context["adminform"].form.errors["draft"])
    assert stored(ours).draft == before


def test_an_unfinished_draft_is_kept_and_its_problems_are_shown_by_path(lead: Client, ours: World) -> None:
    before = stored(ours).revision
    save(lead, ours, json.dumps(BROKEN))

    html = lead.get(address(ours)).content.decode()
    assert stored(ours).revision == before + 1
    assert "<code>start</code>" in html
    assert "The saved draft cannot be published yet." in html


def test_what_somebody_else_saved_meanwhile_is_not_overwritten(
    lead: Client, boss: Client, ours: World
) -> None:
    mine = form_data(lead.get(address(ours)))
    save(boss, ours, json.dumps(BROKEN))

    response = lead.post(address(ours), mine | {"draft": json.dumps({"schema": 1})})

    assert "Somebody saved this draft" in str(response.context["adminform"].form.errors)
    assert stored(ours).draft == BROKEN


def test_the_supervisor_edits_and_the_owner_publishes(lead: Client, boss: Client, ours: World) -> None:
    url = page(Flow, "publish", ours[Flow].pk)
    assert lead.post(url, {"_form_submitted": "on", "revision": stored(ours).revision}).status_code == 403
    assert FlowVersion.objects.count() == 1

    told = act(boss, ours[Flow], "publish", note="better", revision=stored(ours).revision)

    newest = stored(ours).published
    assert (newest.number, newest.note, newest.author) == (2, "better", ours.members["owner"])
    assert told == ["Version 2 is published."]


def test_a_draft_with_errors_is_not_published_and_each_path_is_named(boss: Client, ours: World) -> None:
    save(boss, ours, json.dumps(BROKEN))

    told = act(boss, ours[Flow], "publish", revision=stored(ours).revision)

    assert any(line.startswith("Not published") for line in told)
    assert any(line.startswith("start:") for line in told)
    assert stored(ours).published.number == 1


def test_a_draft_that_changed_since_the_dialog_is_not_published(boss: Client, ours: World) -> None:
    seen = stored(ours).revision
    document = demo.document() | {"start": "menu"}
    save(boss, ours, json.dumps(document))

    told = act(boss, ours[Flow], "publish", revision=seen)

    assert "somebody saved the draft" in told[-1]
    assert stored(ours).published.number == 1


def test_validating_says_how_many_errors_and_changes_nothing(lead: Client, ours: World) -> None:
    save(lead, ours, json.dumps(BROKEN))
    before = stored(ours).revision

    html = lead.get(page(Flow, "check_draft", ours[Flow].pk), follow=True).content.decode()

    assert "The draft has 1 errors." in html
    assert stored(ours).revision == before


def test_an_earlier_version_comes_back_as_the_draft(lead: Client, ours: World) -> None:
    save(lead, ours, json.dumps(BROKEN))

    act(lead, ours[FlowVersion], "restore")

    assert stored(ours).draft == ours[FlowVersion].document
    assert AuditEntry.objects.filter(action="flow.restored", actor=ours.members["supervisor"]).exists()


def test_a_new_flow_starts_with_what_was_typed(lead: Client, ours: World) -> None:
    data = {"name": "Second", "slug": "second", "draft": json.dumps(demo.document()), "is_active": "on"}

    response = lead.post(page(Flow, "add"), data)

    made = Flow.objects.get(slug="second")
    assert response.status_code == 302
    assert (made.revision, made.organization_id, made.published) == (1, ours.organization.pk, None)
    assert made.draft == demo.document()


def test_a_slug_that_is_taken_is_a_form_error(lead: Client, ours: World) -> None:
    response = lead.post(page(Flow, "add"), {"name": "Twin", "slug": "atendimento", "draft": "{}"})

    assert response.status_code == 200
    assert response.context["adminform"].form.errors


def test_triggers_are_phrases_one_per_line(lead: Client, ours: World) -> None:
    data = form_data(lead.get(address(ours)))
    data |= {
        "triggers-TOTAL_FORMS": "1",
        "triggers-0-phrases": "segunda via\n\n boleto ",
        "triggers-0-is_active": "on",
    }

    response = lead.post(address(ours), data)

    assert response.status_code == 302, response.context["errors"]
    trigger = Trigger.objects.get()
    assert (trigger.phrases, trigger.organization_id) == (["segunda via", "boleto"], ours.organization.pk)


def test_a_document_is_shown_as_text_whatever_it_holds(lead: Client, ours: World) -> None:
    save(lead, ours, json.dumps({"schema": 1, "start": "</textarea><script>alert(1)</script>"}))

    assert b"<script>alert(1)" not in lead.get(address(ours)).content
