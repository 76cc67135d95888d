"""Queues as `queues.api` keeps them, with the figures that only conversations can tell."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.resources import TenantAPIView, find
from accounts.roles import Action
from conversations.api.figures import metrics_of, waiting_figures
from conversations.estimates import expected_wait, waiting_now
from conversations.moves import database_now
from conversations.stays import COUNTED
from queues import api
from queues.models import Queue

NOBODY = {"queued_conversations": 0, "average_wait_time_seconds": None}


class QueueListSerializer(serializers.ListSerializer[Any]):
    """Counts for all queues of a page at once."""

    def to_representation(self, data: Any) -> list[Any]:
        rows = list(data)
        self.child.figures = waiting_figures([queue.pk for queue in rows])
        return super().to_representation(rows)


class QueueSerializer(api.QueueSerializer):
    queued_conversations = serializers.IntegerField(read_only=True)
    average_wait_time_seconds = serializers.IntegerField(read_only=True, allow_null=True)
    customer_satisfaction_score = serializers.FloatField(read_only=True, allow_null=True)
    figures: dict[Any, dict[str, Any]] | None = None

    class Meta(api.QueueSerializer.Meta):
        list_serializer_class = QueueListSerializer
        fields = [
            *api.QueueSerializer.Meta.fields,
            "queued_conversations",
            "average_wait_time_seconds",
            "customer_satisfaction_score",
        ]

    def to_representation(self, instance: Queue) -> dict[str, Any]:
        figures = waiting_figures([instance.pk]) if self.figures is None else self.figures
        for name, value in {**NOBODY, **figures.get(instance.pk, {})}.items():
            setattr(instance, name, value)
        instance.customer_satisfaction_score = None  # contacts are not asked yet
        return super().to_representation(instance)


class Queues(api.Queues):
    """Waiting lines and who waits in them."""

    serializer_class = QueueSerializer


class MetricsSerializer(serializers.Serializer[Any]):
    queue_id = serializers.UUIDField()
    queue_name = serializers.CharField()
    total_conversations_30d = serializers.IntegerField()
    queued_conversations = serializers.IntegerField()
    active_conversations = serializers.IntegerField()
    average_wait_time_seconds = serializers.IntegerField(allow_null=True)
    average_response_time_seconds = serializers.IntegerField(allow_null=True)
    average_resolution_time_seconds = serializers.IntegerField(allow_null=True)
    sla_violations = serializers.IntegerField()
    sla_violation_rate = serializers.FloatField()
    overflow_events = serializers.IntegerField()
    overflow_rate = serializers.FloatField()
    customer_satisfaction_score = serializers.FloatField(allow_null=True)


class MetricsView(TenantAPIView):
    """How a queue fared in the last 30 days; rates in percent with one decimal."""

    required = {"GET": Action.READ_FIGURES}

    @extend_schema(responses=MetricsSerializer)
    def get(self, request: Request, pk: Any) -> Response:
        return Response(metrics_of(find(Queue.objects.all(), pk)))


class PlaceSerializer(serializers.Serializer[Any]):
    ahead = serializers.IntegerField(min_value=0, max_value=COUNTED, required=False)


class ExpectedWaitSerializer(serializers.Serializer[Any]):
    queue_id = serializers.UUIDField()
    ahead = serializers.IntegerField()
    expected_wait_seconds = serializers.IntegerField(allow_null=True)


class ExpectedWaitView(TenantAPIView):
    """How long somebody waits with so many ahead (as given, else all who wait now).

    Four in five waited no longer; null when the last 28 days tell too little.
    """

    required = {"GET": Action.READ_FIGURES}

    @extend_schema(parameters=[PlaceSerializer], responses=ExpectedWaitSerializer)
    def get(self, request: Request, pk: Any) -> Response:
        queue = find(Queue.objects.all(), pk)
        asked = PlaceSerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        ahead = asked.validated_data.get("ahead")
        if ahead is None:
            ahead = waiting_now(queue.pk)
        wait = expected_wait(queue.pk, ahead, database_now())
        seconds = None if wait is None else int(wait.total_seconds())
        return Response({"queue_id": str(queue.pk), "ahead": ahead, "expected_wait_seconds": seconds})
