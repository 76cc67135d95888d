"""The moves of a conversation: find it, call one verb, translate what it refuses."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Membership
from accounts.permissions import may
from accounts.problems import ProblemSerializer
from accounts.resources import TenantAPIView, find, read
from accounts.roles import Action, Role
from conversations import handoff, resting, router
from conversations.api.reading import shown
from conversations.api.refusals import not_yours, refusals
from conversations.api.shapes import ConversationShape
from conversations.models import CloseReason, Conversation
from conversations.selectors import queues_served_by, visible_to
from flows.models import Flow
from queues.models import PRIORITY_BY_NAME, Department, Queue

ONE_TARGET = ("queue_id", "department_id", "agent_id")
# Merging and erasing close by themselves; everything else somebody may say.
REASONS = [reason for reason in CloseReason if reason not in (CloseReason.MERGED, CloseReason.ERASED)]


class TargetSerializer(serializers.Serializer[Any]):
    """Where to: exactly one of queue, department and agent."""

    queue_id = serializers.UUIDField(required=False)
    department_id = serializers.UUIDField(required=False)
    agent_id = serializers.UUIDField(required=False)
    priority = serializers.ChoiceField(choices=list(PRIORITY_BY_NAME), required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if sum(name in attrs for name in ONE_TARGET) != 1:
            raise serializers.ValidationError(_("Give exactly one of queue_id, department_id and agent_id."))
        return attrs


class HandoffSerializer(TargetSerializer):
    type = serializers.ChoiceField(choices=["queue", "department", "agent"], required=False)
    context = serializers.CharField(max_length=5000, allow_blank=True, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "type" in attrs:
            name = f"{attrs.pop('type')}_id"
            if name not in attrs:
                raise serializers.ValidationError({name: [_("This field is required.")]})
            attrs = {key: value for key, value in attrs.items() if key == name or key not in ONE_TARGET}
        return super().validate(attrs)


class OverCapacity(serializers.Serializer[Any]):
    """Above the agent's capacity, because a supervisor says so."""

    over_capacity = serializers.BooleanField(default=False)


class TransferSerializer(TargetSerializer, OverCapacity):
    note = serializers.CharField(max_length=5000, allow_blank=True, default="")


class AssignSerializer(OverCapacity):
    agent_id = serializers.UUIDField()


class ReleaseSerializer(serializers.Serializer[Any]):
    flow_id = serializers.UUIDField(required=False, allow_null=True)


class CloseSerializer(serializers.Serializer[Any]):
    reason = serializers.ChoiceField(choices=[r.value for r in REASONS], default=CloseReason.AGENT.value)


class PrioritySerializer(serializers.Serializer[Any]):
    priority = serializers.ChoiceField(choices=list(PRIORITY_BY_NAME))


class SnoozeSerializer(serializers.Serializer[Any]):
    until = serializers.DateTimeField()


class PullSerializer(serializers.Serializer[Any]):
    queue_id = serializers.UUIDField(required=False, allow_null=True)


def moves_by(body: Any = None) -> Any:
    """The description that all moves share."""
    refused = OpenApiResponse(ProblemSerializer, description="Somebody was faster, or it is illegal now.")
    return extend_schema(request=body, responses={200: ConversationShape, 409: refused})


class Move(TenantAPIView):
    """POST conversations/<id>/<move>: 200 with the conversation, 409 with who was faster or why not."""

    required: Any = {"POST": Action.ANSWER}

    def visible(self, pk: Any) -> UUID:
        """404 unless the caller may see the conversation."""
        return find(visible_to(self.request.member).only("id", "state"), pk).pk

    def own(self, pk: Any) -> UUID:
        """The same; agents besides pass on and give back only what they have themselves."""
        member = self.request.member
        conversation = find(visible_to(member).only("id", "state", "assigned_agent_id"), pk)
        if member.role == Role.AGENT and conversation.assigned_agent_id != member.pk:
            raise not_yours()
        return conversation.pk

    def given(self, serializer: type[OverCapacity]) -> dict[str, Any]:
        """The checked body; 403 for who says "above capacity" without the right to assign."""
        given = read(serializer, self.request)
        if given["over_capacity"] and not may(self.request, Action.ASSIGN):
            self.permission_denied(self.request)
        return given


def target_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The verb's arguments; 404 for what this organization does not have."""
    known = {
        "queue_id": Queue.objects.all(),
        "department_id": Department.objects.all(),
        "agent_id": Membership.objects.filter(is_active=True),
    }
    target = {name: find(known[name], given[name]).pk for name in ONE_TARGET if name in given}
    priority = given.get("priority")
    return {**target, "priority": PRIORITY_BY_NAME[priority] if priority else None}


class RequestHandoffView(Move):
    """Hand the conversation to people: into a queue, to a department or to an agent."""

    @moves_by(HandoffSerializer)
    def post(self, request: Request, pk: Any) -> Response:
        given = read(HandoffSerializer, request)
        with refusals():
            handoff.request_handoff(
                self.visible(pk), **target_of(given), context=given["context"], actor=request.member
            )
        return shown(pk)


class ClaimView(Move):
    """Take a waiting conversation; the first one wins, the others learn who it was."""

    @moves_by()
    def post(self, request: Request, pk: Any) -> Response:
        with refusals():
            handoff.claim(self.claimable(pk), agent_id=request.member.pk)
        return shown(pk)

    def claimable(self, pk: Any) -> UUID:
        """Also what a colleague took from the caller's queues a moment ago: it ends in 409, not 404."""
        member = self.request.member
        seen = visible_to(member).filter(pk=pk).values("pk")
        served = Conversation.objects.open().filter(queue_id__in=queues_served_by(member))
        rows = Conversation.objects.filter(Q(pk__in=seen) | Q(pk__in=served.filter(pk=pk).values("pk")))
        return find(rows.only("id", "state"), pk).pk


class TakeOverView(Move):
    """Take the conversation from the bot or from a colleague."""

    required = {"POST": Action.TAKE_OVER}

    @moves_by(OverCapacity)
    def post(self, request: Request, pk: Any) -> Response:
        above = self.given(OverCapacity)["over_capacity"]
        with refusals():
            handoff.take_over(self.visible(pk), agent_id=request.member.pk, over_capacity=above)
        return shown(pk)


class AssignView(Move):
    """Give the conversation to an agent."""

    required = {"POST": Action.ASSIGN}

    @moves_by(AssignSerializer)
    def post(self, request: Request, pk: Any) -> Response:
        given = read(AssignSerializer, request)
        agent_id = target_of(given)["agent_id"]
        with refusals():
            handoff.assign_agent(
                self.visible(pk), agent_id, actor=request.member, over_capacity=given["over_capacity"]
            )
        return shown(pk)


class TransferView(Move):
    """Pass the conversation on to a queue, a department or a colleague."""

    @moves_by(TransferSerializer)
    def post(self, request: Request, pk: Any) -> Response:
        given = self.given(TransferSerializer)
        with refusals():
            handoff.transfer(
                self.own(pk),
                actor=request.member,
                note=given["note"],
                over_capacity=given["over_capacity"],
                **target_of(given),
            )
        return shown(pk)


class ReleaseView(Move):
    """Give the contact back to the bot."""

    @moves_by(ReleaseSerializer)
    def post(self, request: Request, pk: Any) -> Response:
        flow_id = read(ReleaseSerializer, request).get("flow_id")
        own = self.own(pk)
        flow = find(Flow.objects.select_related("published"), flow_id) if flow_id else None
        with refusals():
            handoff.release_to_bot(own, actor=request.member, flow=flow)
        return shown(pk)


class CloseView(Move):
    """End the conversation; the contact's next message opens a new one."""

    @moves_by(CloseSerializer)
    def post(self, request: Request, pk: Any) -> Response:
        reason = read(CloseSerializer, request)["reason"]
        with refusals():
            handoff.close(self.visible(pk), actor=request.member, reason=reason)
        return shown(pk)


class PriorityView(Move):
    """Say how urgent the conversation is; it keeps its age in the line."""

    required = {"POST": Action.ASSIGN}

    @moves_by(PrioritySerializer)
    def post(self, request: Request, pk: Any) -> Response:
        priority = PRIORITY_BY_NAME[read(PrioritySerializer, request)["priority"]]
        with refusals():
            handoff.reprioritise(self.visible(pk), priority, actor=request.member)
        return shown(pk)


class SnoozeView(Move):
    """Rest the conversation until a time."""

    @moves_by(SnoozeSerializer)
    def post(self, request: Request, pk: Any) -> Response:
        until = read(SnoozeSerializer, request)["until"]
        with refusals():
            resting.snooze(self.visible(pk), agent=request.member, until=until)
        return shown(pk)


class HoldView(Move):
    """Put the conversation on hold: it stays with the agent and takes no place meanwhile."""

    @moves_by()
    def post(self, request: Request, pk: Any) -> Response:
        with refusals():
            resting.hold(self.visible(pk), agent=request.member)
        return shown(pk)


class ResumeView(Move):
    """Wake a snoozed or held conversation."""

    @moves_by()
    def post(self, request: Request, pk: Any) -> Response:
        with refusals():
            resting.resume(self.visible(pk), actor=request.member)
        return shown(pk)


class DeclineView(Move):
    """Do not take the conversation that is on offer to the caller (`claim` accepts it)."""

    @moves_by()
    def post(self, request: Request, pk: Any) -> Response:
        offered = self.visible(pk)
        with refusals():
            router.decline(offered, agent=request.member)
        return shown(offered)


class PullView(TenantAPIView):
    """Take the first waiting conversation that fits the caller: priority, then age."""

    required = {"POST": Action.ANSWER}

    @extend_schema(
        request=PullSerializer,
        responses={
            200: ConversationShape,
            204: OpenApiResponse(description="None fits; X-Pull-Reason says why."),
        },
    )
    def post(self, request: Request) -> Response:
        queue_id = read(PullSerializer, request).get("queue_id")
        if queue_id:
            find(Queue.objects.only("id"), queue_id)
        pulled = handoff.pull_from_queue(request.member.pk, queue_id)
        if pulled.conversation is None:
            return Response(status=204, headers={"X-Pull-Reason": ascii_only(pulled.reason)})
        return shown(pulled.conversation.pk)


def ascii_only(text: str) -> str:
    """A sentence that fits into a header: letters lose their accents."""
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join(folded.split())
