import random
import threading

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django_scopes import ScopeError, scope, scopes_disabled

from accounts.models import AuditEntry, Organization
from flows import demo
from flows.document import InvalidDocument
from flows.engine import Heard, Started, step
from flows.models import Flow, FlowVersion, Immutable, Trigger
from flows.services import (
    StaleDraft,
    create_flow,
    document_of,
    publish,
    restore,
    save_draft,
    trigger_for,
    validate,
    wording,
)
from tests.flows.builders import NOW, node, raw

BYE = raw(node("bye", "message", text="Tchau"))


def test_a_new_flow_is_a_draft_that_is_not_published(acme):
    flow = create_flow(acme, name="Boas Vindas")
    assert (flow.slug, flow.revision, flow.published) == ("boas-vindas", 1, None)
    assert flow.created_at is not None


def test_two_flows_of_acme_have_different_slugs(acme, atendimento):
    with pytest.raises(IntegrityError), transaction.atomic():
        create_flow(acme, name="Outro", slug="atendimento")


def test_a_saved_draft_has_a_new_revision(atendimento):
    assert save_draft(atendimento.pk, BYE, expected_revision=1).revision == 2
    assert Flow.objects.get(pk=atendimento.pk).draft == BYE


def test_a_draft_somebody_else_saved_since_is_not_overwritten(atendimento):
    save_draft(atendimento.pk, BYE, expected_revision=1)
    with pytest.raises(StaleDraft) as stale:
        save_draft(atendimento.pk, demo.document(), expected_revision=1)
    assert stale.value.revision == 2
    assert Flow.objects.get(pk=atendimento.pk).draft == BYE


def test_an_unfinished_draft_is_kept_as_it_is(atendimento):
    unfinished = {"schema": 1, "start": "", "nodes": [{"id": "a", "type": "message"}]}
    assert save_draft(atendimento.pk, unfinished, expected_revision=None).draft == unfinished


@pytest.mark.parametrize(
    "unstorable", [[], {"a": "x\x00"}, {"a": float("nan")}, {"a": "\ud83d"}, {"a": "x" * 2**20}]
)
def test_what_the_database_cannot_hold_is_refused_by_name(atendimento, unstorable):
    with pytest.raises(InvalidDocument) as refused:
        save_draft(atendimento.pk, unstorable, expected_revision=None)
    assert wording(refused.value.problems[0])["message"]


def test_publishing_makes_numbered_versions(atendimento, support, sofia):
    first = publish(atendimento.pk, author=sofia, note="first")
    second = publish(atendimento.pk, author=sofia, note="second")
    assert (first.number, second.number) == (1, 2)
    assert Flow.objects.get(pk=atendimento.pk).published == second
    assert (second.author, second.note, second.document) == (sofia, "second", demo.document())


def test_publishing_is_written_down(atendimento, sofia):
    publish(atendimento.pk, author=sofia, note="")
    entry = AuditEntry.objects.get(action="flow.published")
    assert (entry.actor, entry.object_id, entry.data) == (sofia, str(atendimento.pk), {"number": 1})


def test_a_draft_with_errors_is_not_published(atendimento):
    save_draft(atendimento.pk, raw(node("a", "message", text="{{ nope }}")), expected_revision=None)
    with pytest.raises(InvalidDocument) as refused:
        publish(atendimento.pk, author=None, note="")
    assert [problem.code for problem in refused.value.problems] == ["undefined_variable"]
    assert FlowVersion.objects.count() == 0


def test_a_draft_that_changed_under_the_publisher_is_not_published(atendimento):
    with pytest.raises(StaleDraft):
        publish(atendimento.pk, author=None, expected_revision=7)


def test_a_published_version_never_changes(atendimento, acme):
    version = publish(atendimento.pk, author=None, note="")
    version.note = "other"
    for attempt in (version.save, version.delete):
        with pytest.raises(Immutable):
            attempt()
    assert FlowVersion.objects.get(pk=version.pk).note == ""


def test_restoring_brings_a_version_back_as_draft_only(atendimento):
    publish(atendimento.pk, author=None, note="")
    save_draft(atendimento.pk, BYE, expected_revision=1)
    publish(atendimento.pk, author=None, note="")
    flow = restore(atendimento.pk, 1)
    assert flow.draft == demo.document()
    assert (flow.revision, flow.published.number) == (3, 2)


def test_restoring_a_version_that_never_was_says_so(atendimento):
    with pytest.raises(FlowVersion.DoesNotExist):
        restore(atendimento.pk, 9)


def test_a_handover_to_a_queue_that_does_not_exist_is_a_warning(atendimento):
    report = validate(atendimento.pk)
    assert report.ok
    assert {problem.code for problem in report.warnings} == {"unknown_target"}


def test_with_its_queue_the_demo_is_flawless(atendimento, support):
    assert validate(atendimento.pk).warnings == ()


def test_the_document_of_a_version_is_read_once(atendimento, django_assert_num_queries):
    version = publish(atendimento.pk, author=None, note="")
    first = document_of(FlowVersion.objects.defer("document").get(pk=version.pk))
    again = FlowVersion.objects.defer("document").get(pk=version.pk)
    with django_assert_num_queries(0):
        assert document_of(again) is first


def test_a_run_keeps_its_version_when_a_new_one_is_published(atendimento):
    version = publish(atendimento.pk, author=None, note="")
    waiting = step(document_of(version), None, Started(), now=NOW, rng=random.Random(1)).state
    save_draft(atendimento.pk, BYE, expected_revision=None)
    publish(atendimento.pk, author=None, note="")
    turn = step(document_of(version), waiting, Heard(("1",)), now=NOW, rng=random.Random(1))
    assert turn.state.node == "numero"


def test_a_keyword_starts_the_published_flow(acme, atendimento, phone_channel):
    Trigger.objects.create(organization=acme, flow=atendimento, phrases=["Olá"], account=phone_channel)
    assert trigger_for("olá!", phone_channel.pk).winner is None
    publish(atendimento.pk, author=None, note="")
    assert trigger_for("OLA!", phone_channel.pk).winner.flow_id == str(atendimento.pk)


def test_a_switched_off_flow_or_trigger_starts_nothing(acme, atendimento, phone_channel):
    trigger = Trigger.objects.create(organization=acme, flow=atendimento, phrases=["oi"])
    publish(atendimento.pk, author=None, note="")
    Flow.objects.filter(pk=atendimento.pk).update(is_active=False)
    assert trigger_for("oi", phone_channel.pk).winner is None
    Flow.objects.filter(pk=atendimento.pk).update(is_active=True)
    Trigger.objects.filter(pk=trigger.pk).update(is_active=False)
    assert trigger_for("oi", phone_channel.pk).winner is None


@pytest.mark.parametrize("phrases", [[], "oi", {"oi": 1}, ["oi", 3], ["oi", " "], None])
def test_a_trigger_is_a_list_of_phrases(acme, atendimento, phone_channel, phrases):
    trigger = Trigger(organization=acme, flow=atendimento, phrases=phrases)
    with pytest.raises(ValidationError):
        trigger.clean()
    assert trigger.words() == (("oi",) if isinstance(phrases, list) and phrases else ())


def test_a_rival_sees_nothing_of_acme(acme, rival, atendimento, phone_channel):
    Trigger.objects.create(organization=acme, flow=atendimento, phrases=["oi"])
    publish(atendimento.pk, author=None, note="")
    with scope(organization=rival):
        assert trigger_for("oi", phone_channel.pk).winner is None
        with pytest.raises(Flow.DoesNotExist):
            save_draft(atendimento.pk, BYE, expected_revision=None)


@pytest.mark.parametrize("model", [Flow, FlowVersion, Trigger])
def test_flows_are_never_read_without_a_scope(db, model):
    with pytest.raises(ScopeError):
        model.objects.count()


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
def test_eight_editors_saving_at_once_leave_one_winner():
    organization = Organization.objects.create(slug="flow-race", name="Race")
    with scope(organization=organization):
        flow = create_flow(organization, name="Race")
    outcomes = []

    def save():
        try:
            with scope(organization=organization):
                save_draft(flow.pk, BYE, expected_revision=1)
            outcomes.append("saved")
        except StaleDraft:
            outcomes.append("stale")
        finally:
            connection.close()

    threads = [threading.Thread(target=save) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["saved", *["stale"] * 7]
    with scopes_disabled():
        assert Flow.objects.get(pk=flow.pk).revision == 2
