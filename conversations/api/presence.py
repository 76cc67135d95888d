"""Whether agents are there to take conversations, and what becomes of theirs when they leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Membership
from accounts.problems import Problem, ProblemSerializer
from accounts.resources import TenantAPIView, find, read
from accounts.roles import Action
from conversations import attendance, signs
from queues.models import AgentProfile, BreakReason
from queues.services import NoAgent

AWAY = AgentProfile.Presence.AWAY


@extend_schema_field({"type": "string", "description": "id or name of a break reason"})
class ReasonField(serializers.Field):
    """A break reason by its id or its name."""

    def to_internal_value(self, data: Any) -> BreakReason:
        rows = BreakReason.objects.filter(is_active=True)
        try:
            found = rows.filter(pk=UUID(str(data))).first()
        except ValueError:
            found = rows.filter(name=str(data)).first()
        if found is None:
            raise serializers.ValidationError(_("There is no such break reason."), "does_not_exist")
        return found

    def to_representation(self, value: BreakReason) -> dict[str, str]:
        return {"id": str(value.pk), "name": value.name}


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "enum": ["keep", "queue"]},
            {"type": "object", "properties": {"agent_id": {"type": "string", "format": "uuid"}}},
        ]
    }
)
class DestinationField(serializers.Field):
    """The word "keep" or "queue", or {"agent_id"}: the arguments of `attendance.set_presence`."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if data in (attendance.KEEP, attendance.QUEUE):
            return {"conversations": data}
        if not isinstance(data, Mapping) or set(data) != {"agent_id"}:
            raise serializers.ValidationError(_('Say "keep", "queue" or {"agent_id": …}.'))
        pk = serializers.UUIDField().to_internal_value(data["agent_id"])
        if not AgentProfile.objects.filter(member_id=pk, member__is_active=True).exists():
            raise serializers.ValidationError(_("There is no such object."), "does_not_exist")
        return {"conversations": attendance.COLLEAGUE, "to": pk}


class PresenceSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=AgentProfile.Presence.values)
    reason = ReasonField(required=False)
    conversations = DestinationField(required=False, write_only=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "reason" in attrs and attrs["status"] != AWAY:
            raise serializers.ValidationError({"reason": [_("Only a break has a reason.")]})
        if "conversations" in attrs and attrs["status"] not in attendance.LEAVING:
            text = _("Only who goes away or offline passes conversations on.")
            raise serializers.ValidationError({"conversations": [text]})
        return attrs


class RefusedShape(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    detail = serializers.CharField()


class OutcomeShape(serializers.Serializer[Any]):
    given = serializers.ListField(child=serializers.UUIDField())
    queued = serializers.ListField(child=serializers.UUIDField())
    refused = RefusedShape(many=True)


class PresenceShape(serializers.Serializer[Any]):
    """`reason` stands there on a break that has one, `conversations` when the request said what they do."""

    status = serializers.ChoiceField(choices=AgentProfile.Presence.values)
    reason = ReasonField(required=False)
    conversations = OutcomeShape(required=False)


described = extend_schema(
    request=PresenceSerializer,
    responses={
        200: PresenceShape,
        409: OpenApiResponse(ProblemSerializer, description="This member does not work as an agent."),
    },
)


class PresenceView(TenantAPIView):
    """Whether the caller is there to take conversations."""

    required = {"PUT": Action.ANSWER}

    @described
    def put(self, request: Request) -> Response:
        answer = _set(request.member, request)
        signs.of_life(
            request.member.pk, touched=True
        )  # by whatever credentials: they say that they are there
        return answer


class MemberPresenceView(TenantAPIView):
    """The same for somebody else; the audit log says who did it."""

    required = {"PUT": Action.EDIT_CAPACITY}

    @described
    def put(self, request: Request, pk: Any) -> Response:
        return _set(find(Membership.objects.select_related("organization"), pk), request)


def _set(member: Membership, request: Request) -> Response:
    given = read(PresenceSerializer, request)
    status, reason, destination = given["status"], given.get("reason"), given.get("conversations")
    try:
        outcome = attendance.set_presence(
            member, status, reason=reason, actor=request.member, **(destination or {})
        )
    except NoAgent as error:
        text = _("You do not work as an agent.")
        if member.pk != request.member.pk:
            text = _("This person does not work as an agent.")
        raise Problem(409, "conflict", text) from error
    answer: dict[str, Any] = {"status": status}
    if reason:
        answer["reason"] = ReasonField().to_representation(reason)
    if destination:
        answer["conversations"] = {
            "given": [str(pk) for pk in outcome.given],
            "queued": [str(pk) for pk in outcome.queued],
            "refused": [{"id": str(pk), "detail": detail} for pk, detail in outcome.refused],
        }
    return Response(answer)
