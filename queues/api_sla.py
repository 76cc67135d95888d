"""SLA policies with their escalations, and how the desk treats presence and time-outs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError as Refused
from django.db import transaction
from django.db.models import Prefetch
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import audit
from accounts.resources import Related, Resource, RowSerializer, TenantAPIView, Whole
from accounts.roles import Action
from queues import services
from queues.api import SEE_AND_EDIT_QUEUES
from queues.models import (
    PRIORITY_BY_NAME,
    Calendar,
    DeskSettings,
    Queue,
    SlaEscalation,
    SlaPolicy,
)
from queues.sla import Target

MOST_STEPS = 20
TARGETS = {target.word: target.value for target in Target}
WORDS = {value: word for word, value in TARGETS.items()}
PRIORITY_NAMES = {value: name for name, value in PRIORITY_BY_NAME.items()}


class EscalationSerializer(Whole, serializers.Serializer[Any]):
    """What the desk does when a target (null: any) is near or missed. Steps are done in the list's order."""

    target = serializers.ChoiceField(choices=list(TARGETS), required=False, allow_null=True, default=None)
    stage = serializers.ChoiceField(
        choices=SlaEscalation.Stage.values, required=False, default=SlaEscalation.Stage.BREACH.value
    )
    act = serializers.ChoiceField(choices=SlaEscalation.Act.values)
    priority = serializers.ChoiceField(
        choices=list(PRIORITY_BY_NAME), required=False, allow_null=True, default=None
    )
    queue = Related(Queue, required=False, allow_null=True, default=None)

    def to_representation(self, instance: SlaEscalation) -> dict[str, Any]:
        queue = instance.queue
        return {
            "target": WORDS.get(instance.target),
            "stage": instance.stage,
            "act": instance.act,
            "priority": PRIORITY_NAMES.get(instance.priority),
            "queue": {"id": str(queue.pk), "name": queue.name} if queue else None,
        }


class SlaPolicySerializer(RowSerializer):
    calendar = Related(Calendar, required=False, allow_null=True)
    escalations = EscalationSerializer(many=True, required=False, max_length=MOST_STEPS)

    class Meta:
        model = SlaPolicy
        fields = [
            "id", "name", "clock", "calendar", "wait_minutes", "first_response_minutes",
            "next_response_minutes", "resolution_minutes", "warn_percent", "escalations", "revision",
        ]  # fmt: skip
        read_only_fields = ["id", "revision"]

    def validate_escalations(self, given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        steps = [_columns(step) for step in given]
        for number, step in enumerate(steps, 1):
            try:
                SlaEscalation(**step).clean()
            except Refused as error:
                texts = [_("Step %(n)d: %(why)s") % {"n": number, "why": why} for why in error.messages]
                raise ValidationError(texts) from error
        return steps

    def create(self, validated_data: dict[str, Any]) -> SlaPolicy:
        steps = validated_data.pop("escalations", ())
        policy = super().create(validated_data)
        self._write_steps(policy, steps)
        return policy

    def update(self, instance: SlaPolicy, validated_data: dict[str, Any]) -> SlaPolicy:
        """The list of steps, when given, replaces the old one."""
        steps = validated_data.pop("escalations", None)
        policy = super().update(instance, validated_data)
        if steps is not None:
            policy.escalations.all().delete()
            self._write_steps(policy, steps)
        return policy

    def _write_steps(self, policy: SlaPolicy, steps: Sequence[Mapping[str, Any]]) -> None:
        SlaEscalation.objects.bulk_create(
            SlaEscalation(organization_id=policy.organization_id, policy=policy, position=position, **step)
            for position, step in enumerate(steps)
        )


def _columns(step: Mapping[str, Any]) -> dict[str, Any]:
    """A step as the model keeps it. Inside a PATCH the defaults of what was not given are waived."""
    target, priority = step.get("target"), step.get("priority")
    return {
        **step,
        "target": TARGETS[target] if target else "",
        "priority": PRIORITY_BY_NAME[priority] if priority else None,
    }


class SlaPolicies(Resource):
    """By when things must have happened. Who waits already is measured by the new times within minutes."""

    model, word = SlaPolicy, "sla_policy"
    serializer_class = SlaPolicySerializer
    required = SEE_AND_EDIT_QUEUES

    def rows(self) -> Any:
        steps = Prefetch("escalations", SlaEscalation.objects.select_related("queue"))
        return SlaPolicy.objects.select_related("calendar").prefetch_related(steps)


# ---------------------------------------------------------------- the desk
class DeskSettingsSerializer(RowSerializer):
    class Meta:
        model = DeskSettings
        fields = [
            "gone_after_minutes", "away_after_minutes", "return_after_minutes", "bot_silence_minutes",
            "bot_expired_notice",
        ]  # fmt: skip


class DeskSettingsView(TenantAPIView):
    """When agents count as away, and when the bot gives up on a silent customer."""

    required = {"GET": Action.READ_QUEUES, "PATCH": Action.EDIT_QUEUES}

    @extend_schema(responses=DeskSettingsSerializer)
    def get(self, request: Request) -> Response:
        return Response(DeskSettingsSerializer(services.desk_settings()).data)

    @extend_schema(request=DeskSettingsSerializer, responses=DeskSettingsSerializer)
    def patch(self, request: Request) -> Response:
        organization = request.member.organization
        with transaction.atomic():
            row, _made = DeskSettings.objects.select_for_update().get_or_create(organization=organization)
            serializer = DeskSettingsSerializer(
                row, data=request.data, partial=True, context={"request": request}
            )
            serializer.is_valid(raise_exception=True)
            changed = sorted(serializer.validated_data)
            for name in changed:
                setattr(row, name, serializer.validated_data[name])
            row.save(update_fields=changed)
            audit.record(
                "desk_settings.updated",
                organization=organization,
                actor=request.member,
                target=row,
                data={"fields": changed} if changed else {},
            )
        return Response(serializer.data)
