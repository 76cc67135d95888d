"""Departments, skills, queues, break reasons and members."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import django_filters
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as Refused
from django.db.models import Prefetch, Q
from django.utils.text import slugify
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Membership, User
from accounts.permissions import may
from accounts.problems import Problem
from accounts.resources import Related, Resource, RowSerializer, Whole, read
from accounts.roles import Action, Role
from queues import services
from queues.models import BreakReason, Calendar, Department, OverflowRule, Queue, Skill, SlaPolicy
from queues.models.line import hold_overflow_still
from queues.who_serves import WhoServes

MOST_RULES = 20  # of overflow, in one queue
LONGEST_WAIT = 365 * 24 * 60  # minutes that a rule may name
WRITES = ("POST", "PUT", "PATCH", "DELETE")
SEE_AND_EDIT_QUEUES = {"GET": Action.READ_QUEUES, **dict.fromkeys(WRITES, Action.EDIT_QUEUES)}


class SluggedSerializer(RowSerializer):
    """A row with a name and a slug; without a slug the name gives one."""

    slug = serializers.SlugField(required=False, max_length=50)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if self.instance is None and not attrs.get("slug"):
            attrs["slug"] = slugify(attrs["name"])[:50] or self.Meta.model._meta.model_name
        return super().validate(attrs)


class DepartmentSerializer(SluggedSerializer):
    class Meta:
        model = Department
        fields = ["id", "name", "slug", "is_active", "created_at"]
        read_only_fields = ["id", "created_at"]


class Departments(Resource):
    model, word = Department, "department"
    serializer_class = DepartmentSerializer
    required = {"GET": Action.READ_PEOPLE, **dict.fromkeys(WRITES, Action.EDIT_QUEUES)}


class SkillSerializer(SluggedSerializer):
    class Meta:
        model = Skill
        fields = ["id", "name", "slug"]
        read_only_fields = ["id"]


class Skills(Resource):
    model, word = Skill, "skill"
    serializer_class = SkillSerializer
    required = {"GET": Action.READ_PEOPLE, **dict.fromkeys(WRITES, Action.EDIT_QUEUES)}

    def remove(self, row: Skill) -> None:
        users = Queue.objects.filter(settings__skills_required__contains=[row.slug])
        if names := list(users.values_list("name", flat=True)):
            raise Problem(409, "conflict", _("Queues require this skill: %s.") % ", ".join(names))
        row.delete()


# ---------------------------------------------------------------- queues
# What every reader finds; the finer wishes stand there only when somebody made them.
ALWAYS: dict[str, Any] = {"allowed_agent_ids": [], "skills_required": []}


class WhoServesSerializer(serializers.Serializer[Any]):
    """Who may serve a queue; an empty list allows everybody."""

    allowed_agent_ids = serializers.ListField(child=serializers.UUIDField(), required=False, max_length=1000)
    skills_required = serializers.ListField(child=serializers.SlugField(), required=False, max_length=100)
    skill_levels = serializers.DictField(child=serializers.IntegerField(), required=False)
    skills_preferred = serializers.ListField(child=serializers.DictField(), required=False, max_length=20)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return {**ALWAYS, **instance}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        ids = [str(pk) for pk in attrs.get("allowed_agent_ids", [])]
        stored = {**attrs, "allowed_agent_ids": ids}
        try:
            WhoServes.read(stored)
        except ValueError as error:
            raise ValidationError(str(error)) from error
        return {key: value for key, value in stored.items() if value}


class OverflowRuleSerializer(Whole, serializers.Serializer[Any]):
    """When the condition holds, conversations go on to the target. Rules are asked in the list's order."""

    condition = serializers.ChoiceField(choices=OverflowRule.Condition.values)
    after_minutes = serializers.IntegerField(
        min_value=1, max_value=LONGEST_WAIT, required=False, allow_null=True, default=None
    )
    target = Related(Queue)


class QueueSerializer(SluggedSerializer):
    department = Related(Department)
    overflow_queue = Related(Queue, required=False, allow_null=True)
    overflow_rules = OverflowRuleSerializer(many=True, required=False, max_length=MOST_RULES)
    calendar = Related(Calendar, required=False, allow_null=True)
    sla_policy = Related(SlaPolicy, required=False, allow_null=True)
    settings = WhoServesSerializer(required=False)

    class Meta:
        model = Queue
        fields = [
            "id", "name", "slug", "department", "is_active", "priority", "max_queue_size", "overflow_queue",
            "max_conversations_per_agent", "routing_mode", "auto_assign_conversations", "sla_minutes",
            "calendar", "settings", "handoff_notice", "agent_idle_minutes", "agent_idle_action",
            "wait_limit_minutes", "overflow_rules", "closed_action", "closed_notice", "abandoned_notice",
            "offer_seconds", "sticky_minutes", "sla_policy", "revision", "created_at",
        ]  # fmt: skip
        read_only_fields = ["id", "revision", "created_at"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        queue = self.instance or Queue(
            organization=self.context["request"].member.organization, name=attrs["name"]
        )
        for given in attrs.get("overflow_rules", ()):
            try:
                OverflowRule(organization_id=queue.organization_id, queue=queue, **given).clean()
            except Refused as error:
                raise ValidationError({"overflow_rules": error.messages}) from error
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Queue:
        rules = validated_data.pop("overflow_rules", ())
        queue = super().create(validated_data)
        self._write_rules(queue, rules)
        return queue

    def update(self, instance: Queue, validated_data: dict[str, Any]) -> Queue:
        rules = validated_data.pop("overflow_rules", None)
        queue = super().update(instance, validated_data)
        if rules is not None:
            queue.overflow_rules.all().delete()
            self._write_rules(queue, rules)
        return queue

    def _write_rules(self, queue: Queue, rules: Sequence[dict[str, Any]]) -> None:
        OverflowRule.objects.bulk_create(
            OverflowRule(organization_id=queue.organization_id, queue=queue, position=position, **given)
            for position, given in enumerate(rules)
        )


class QueueFilter(django_filters.FilterSet):
    department = django_filters.UUIDFilter(field_name="department_id")
    is_active = django_filters.BooleanFilter()
    slug = django_filters.CharFilter()

    class Meta:
        model = Queue
        fields: list[str] = []


class Queues(Resource):
    """Waiting lines. Figures of who waits are added by `conversations.api.queues`."""

    model, word = Queue, "queue"
    serializer_class: Any = QueueSerializer
    filterset_class = QueueFilter
    required = SEE_AND_EDIT_QUEUES

    def rows(self) -> Any:
        rules = Prefetch("overflow_rules", OverflowRule.objects.select_related("target"))
        found = Queue.objects.select_related("department", "overflow_queue", "calendar", "sla_policy")
        return found.prefetch_related(rules)

    def locked(self) -> Any:
        """Its overflow may be about to change: nobody else's does meanwhile."""
        hold_overflow_still(self.request.member.organization_id)
        return super().locked()

    def note(self, what: str, row: Any, changed: Collection[str] = ()) -> None:
        """Put the change on record; who could take what may have changed with it."""
        super().note(what, row, changed)
        services.call_router(row.organization_id, f"queue {what}")


# ---------------------------------------------------------------- members
class BreakReasonSerializer(RowSerializer):
    class Meta:
        model = BreakReason
        fields = ["id", "name", "is_active"]
        read_only_fields = ["id"]


class BreakReasons(Resource):
    """Why agents are on a break. A reason that is active no more stays in the history."""

    model, word = BreakReason, "break_reason"
    serializer_class = BreakReasonSerializer
    required = {"GET": Action.READ_PEOPLE, **dict.fromkeys(WRITES, Action.EDIT_QUEUES)}


class SkillLevelSerializer(Whole, serializers.Serializer[Any]):
    skill = Related(Skill)
    level = serializers.IntegerField(min_value=1, max_value=5, default=1)


class MemberSerializer(serializers.Serializer[Any]):
    """A person of the organization; how they work as an agent stands beside who they are."""

    id = serializers.UUIDField(read_only=True)
    email = serializers.EmailField(source="user.email", read_only=True)
    name = serializers.CharField(max_length=120)
    role = serializers.ChoiceField(choices=[role.value for role in Role])
    is_active = serializers.BooleanField()
    capacity = serializers.IntegerField(min_value=0, max_value=1000)
    presence = serializers.CharField(read_only=True, allow_null=True)
    skills = SkillLevelSerializer(many=True)
    created_at = serializers.DateTimeField(read_only=True)

    def to_representation(self, instance: Membership) -> dict[str, Any]:
        agent = getattr(instance, "agent", None)
        skills = [{"skill": item.skill, "level": item.level} for item in agent.skills.all()] if agent else []
        return {
            "id": str(instance.pk),
            "email": instance.user.email,
            "name": instance.name,
            "role": instance.role,
            "is_active": instance.is_active,
            "capacity": agent.capacity if agent else 0,
            "presence": agent.presence if agent else None,
            "skills": SkillLevelSerializer(skills, many=True).data,
            "created_at": serializers.DateTimeField().to_representation(instance.created_at),
        }


class InviteSerializer(serializers.Serializer[Any]):
    email = serializers.EmailField(max_length=254)
    name = serializers.CharField(max_length=120)
    password = serializers.CharField(max_length=1024, trim_whitespace=False, required=False)
    role = serializers.ChoiceField(choices=[role.value for role in Role], default=Role.AGENT.value)
    capacity = serializers.IntegerField(min_value=0, max_value=1000, required=False)
    skills = SkillLevelSerializer(many=True, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("password"):
            user = User(email=attrs["email"], name=attrs["name"])
            try:
                validate_password(attrs["password"], user)
            except Exception as error:
                raise ValidationError({"password": getattr(error, "messages", [str(error)])}) from error
        return attrs


class InvitedSerializer(MemberSerializer):
    initial_password = serializers.CharField(read_only=True, allow_null=True)


class MemberFilter(django_filters.FilterSet):
    role = django_filters.ChoiceFilter(choices=[(role.value, role.value) for role in Role])
    is_active = django_filters.BooleanFilter()
    q = django_filters.CharFilter(method="search")

    class Meta:
        model = Membership
        fields: list[str] = []

    def search(self, rows: Any, name: str, value: str) -> Any:
        return rows.filter(Q(user__name__icontains=value) | Q(user__email__icontains=value))


class Members(Resource):
    """The people of the organization. Retiring one keeps what they did; only owners touch owners."""

    model, word = Membership, "member"
    serializer_class = MemberSerializer
    filterset_class = MemberFilter
    seals_answer = True
    required = {
        "GET": Action.READ_PEOPLE,
        "POST": Action.EDIT_PEOPLE,
        "PUT": Action.EDIT_PEOPLE,
        "PATCH": Action.EDIT_CAPACITY,
        "DELETE": Action.EDIT_PEOPLE,
    }

    def rows(self) -> Any:
        return Membership.objects.select_related("user", "agent").prefetch_related("agent__skills__skill")

    @extend_schema(request=InviteSerializer, responses={201: InvitedSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = read(InviteSerializer, request)
        try:
            invited = services.invite(request.member.organization, actor=request.member, **given)
        except services.AlreadyMember as error:
            raise ValidationError({"email": [_("This person works here already.")]}) from error
        except services.OwnersOnly as error:
            raise PermissionDenied(_("Only an owner makes an owner.")) from error
        answer = self.get_serializer(self.again(invited.member.pk)).data
        return Response({**answer, "initial_password": invited.password or None}, status=201)

    def _change(self, request: Request, *, whole: bool) -> Response:
        row = self.get_object()
        serializer = self.get_serializer(row, data=request.data, partial=not whole)
        serializer.is_valid(raise_exception=True)
        given = serializer.validated_data
        self._refuse_without_right(given)
        self._refuse_renaming_guests(row, given)
        self._apply(row, given)
        return self.answer(self.again(row.pk))

    def _refuse_without_right(self, given: dict[str, Any]) -> None:
        if set(given) - {"capacity", "skills"} and not may(self.request, Action.EDIT_PEOPLE):
            self.permission_denied(self.request)

    def _refuse_renaming_guests(self, row: Membership, given: dict[str, Any]) -> None:
        """A person of several organizations has one name, which is not this organization's to change."""
        elsewhere = Membership.objects.with_scopes_disabled().filter(user=row.user).exclude(pk=row.pk)
        if given.get("name", row.name) != row.name and elsewhere.exists():
            raise PermissionDenied(_("This person sets their own name."))

    def _apply(self, row: Membership, given: dict[str, Any]) -> None:
        try:
            services.change_member(row.pk, actor=self.request.member, **given)
        except services.OwnersOnly as error:
            raise PermissionDenied(_("Only an owner changes an owner.")) from error
        except services.LastOwner as error:
            raise Problem(409, "last_owner", _("The organization needs an owner.")) from error

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        self._apply(self.get_object(), {"is_active": False})
        return Response(status=204)
