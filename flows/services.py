"""What can be done with flows: draw, check, publish, restore, find the one to start."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Now
from django.utils.text import slugify
from django.utils.translation import gettext

from accounts import audit
from accounts.models import Membership, Organization
from flows.checks import Report, review
from flows.document import Document, InvalidDocument, Node, Problem, gettext_noop, parse
from flows.models import Flow, FlowVersion, Trigger
from flows.simulation import simulate
from flows.triggers import Candidate, Decision, choose
from queues.models import Department, Queue

__all__ = [
    "StaleDraft",
    "create_flow",
    "document_of",
    "publish",
    "restore",
    "save_draft",
    "simulate",
    "trigger_for",
    "validate",
    "wording",
]

MAX_DRAFT_BYTES = 1024 * 1024
EMPTY_DRAFT: dict[str, Any] = {"schema": 1, "start": "", "variables": [], "nodes": [], "edges": []}


class StaleDraft(Exception):
    """Somebody saved the draft in between; `revision` is where it stands now."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"the draft is at revision {revision}")
        self.revision = revision


def create_flow(
    organization: Organization,
    *,
    name: str,
    slug: str = "",
    description: str = "",
    document: Mapping[str, Any] | None = None,
) -> Flow:
    """A new flow with a draft and nothing published. Raises IntegrityError when the slug is taken."""
    draft = _storable(EMPTY_DRAFT if document is None else document)
    flow = Flow.objects.create(
        organization=organization,
        name=name,
        slug=slug or slugify(name)[:50] or "flow",
        description=description,
        draft=draft,
        revision=1,
    )
    return Flow.objects.get(pk=flow.pk)


def save_draft(pk: UUID, document: Mapping[str, Any], *, expected_revision: int | None) -> Flow:
    """Keep what was drawn, finished or not. `expected_revision` None overwrites without asking.

    Raises StaleDraft when somebody else saved since, InvalidDocument when it cannot even be stored.
    """
    draft = _storable(document)
    with transaction.atomic():
        flow = _locked(pk, expected_revision)
        _keep_draft(flow, draft)
    return Flow.objects.get(pk=pk)


def validate(pk: UUID) -> Report:
    """Errors that stop publishing and warnings that do not, targets of hand-overs included."""
    return _review(Flow.objects.get(pk=pk).draft)


@transaction.atomic
def publish(
    pk: UUID, *, author: Membership | None, note: str = "", expected_revision: int | None = None
) -> FlowVersion:
    """Make the draft what new runs use; runs under way keep theirs. Raises InvalidDocument, StaleDraft."""
    flow = _locked(pk, expected_revision)
    report = _review(flow.draft)
    if not report.ok:
        raise InvalidDocument(report.errors)
    last = flow.versions.aggregate(last=Max("number"))["last"] or 0
    version = FlowVersion.objects.create(
        organization_id=flow.organization_id,
        flow=flow,
        number=last + 1,
        document=flow.draft,
        note=note[:300],
        author=author,
    )
    flow.published = version
    flow.updated_at = Now()
    flow.save(update_fields=["published", "updated_at"])
    audit.record(
        "flow.published",
        organization=flow.organization,
        actor=author,
        target=flow,
        data={"number": version.number},
    )
    return FlowVersion.objects.get(pk=version.pk)


def restore(
    pk: UUID, number: int, *, author: Membership | None = None, expected_revision: int | None = None
) -> Flow:
    """Bring an earlier version back as the draft; what is published stays until somebody publishes.

    Raises FlowVersion.DoesNotExist and StaleDraft.
    """
    with transaction.atomic():
        flow = _locked(pk, expected_revision)
        version = flow.versions.get(number=number)
        _keep_draft(flow, version.document)
        audit.record(
            "flow.restored",
            organization=flow.organization,
            actor=author,
            target=flow,
            data={"number": number},
        )
    return Flow.objects.get(pk=pk)


def trigger_for(text: str, account_id: UUID | str) -> Decision:
    """Which published flow of the scoped organization a first message starts, and why not the others."""
    found = Trigger.objects.filter(is_active=True, flow__is_active=True, flow__published__isnull=False)
    candidates = (
        Candidate(
            id=str(trigger.pk),
            flow_id=str(trigger.flow_id),
            phrases=trigger.words(),
            account_id=str(trigger.account_id) if trigger.account_id else None,
        )
        for trigger in found.filter(kind=Trigger.Kind.KEYWORD).order_by("created_at", "id")
    )
    return choose(candidates, text, str(account_id))


def wording(problem: Problem) -> dict[str, str]:
    """A problem as people and the API read it, in the language of the request."""
    text = gettext(problem.text)
    return {
        "path": problem.path,
        "code": problem.code,
        "message": text % problem.params if problem.params else text,
        "level": problem.level,
    }


# parsed versions -----------------------------------------------------------------------------------


class _Parsed:
    """The documents of recently used versions. Versions never change, so nothing here goes stale."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = Lock()
        self._documents: OrderedDict[UUID, Document] = OrderedDict()

    def get(self, version: FlowVersion) -> Document:
        with self._lock:
            if document := self._documents.get(version.pk):
                self._documents.move_to_end(version.pk)
                return document
        document = parse(version.document)
        with self._lock:
            self._documents[version.pk] = document
            while len(self._documents) > self._size:
                self._documents.popitem(last=False)
        return document


_parsed = _Parsed(size=256)


def document_of(version: FlowVersion) -> Document:
    """The parsed document of a version. Reads `version.document` only the first time: load it deferred."""
    return _parsed.get(version)


# pieces --------------------------------------------------------------------------------------------


def _locked(pk: UUID, expected_revision: int | None) -> Flow:
    flow = Flow.objects.select_for_update(no_key=True).get(pk=pk)
    if expected_revision is not None and flow.revision != expected_revision:
        raise StaleDraft(flow.revision)
    return flow


def _keep_draft(flow: Flow, draft: Mapping[str, Any]) -> None:
    flow.draft = draft
    flow.revision += 1
    flow.updated_at = Now()
    flow.save(update_fields=["draft", "revision", "updated_at"])


def _storable(document: Mapping[str, Any]) -> dict[str, Any]:
    """What PostgreSQL's JSON can hold, and not more of it than a flow needs."""
    if not isinstance(document, Mapping):
        raise InvalidDocument(
            (Problem("", "not_an_object", gettext_noop("A flow document is a JSON object.")),)
        )
    try:
        written = json.dumps(document, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        text = gettext_noop("The document holds something that JSON cannot.")
        raise InvalidDocument((Problem("", "not_json", text),)) from error
    if b"\\u0000" in written:
        raise InvalidDocument((Problem("", "not_json", gettext_noop("The document holds a NUL character.")),))
    if len(written) > MAX_DRAFT_BYTES:
        raise InvalidDocument((Problem("", "too_large", gettext_noop("The document is larger than 1 MB.")),))
    return json.loads(written)


def _review(draft: Mapping[str, Any]) -> Report:
    report = review(draft)
    if not report.ok:
        return report
    return Report(warnings=(*report.warnings, *_missing_targets(parse(draft))))


def _missing_targets(document: Document) -> list[Problem]:
    """Hand-overs to what this organization does not have (yet): a document may arrive before its queues."""
    handoffs = [node for node in document.nodes if node.type == "handoff"]
    known = {kind: _known(kind, handoffs) for kind in ("queue", "department", "agent")}
    text = gettext_noop("There is no active %(kind)s “%(target)s” here.")
    return [
        Problem(
            f"nodes.{node.id}",
            "unknown_target",
            text,
            "warning",
            {"kind": node.data.handoff_type, "target": node.data.target},
        )
        for node in handoffs
        if node.data.target.lower() not in known[node.data.handoff_type]
    ]


def _known(kind: str, handoffs: list[Node]) -> set[str]:
    targets = {node.data.target.lower() for node in handoffs if node.data.handoff_type == kind}
    if not targets:
        return set()
    match kind:
        case "queue":
            return set(Queue.objects.filter(slug__in=targets, is_active=True).values_list("slug", flat=True))
        case "department":
            found = Department.objects.filter(slug__in=targets, is_active=True)
            return set(found.values_list("slug", flat=True))
    members = Membership.objects.filter(user__email__in=targets, is_active=True)
    return set(members.values_list("user__email", flat=True))
