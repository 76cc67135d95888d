"""What every view of the API shares: tenant scope, rights, one effect per key, revisions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, ClassVar

from django.db import models, transaction
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django_scopes import scope
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from rest_framework import exceptions, generics, mixins, serializers, viewsets
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import audit, idempotency
from accounts.models import ApiKey
from accounts.problems import Problem
from accounts.roles import Action
from accounts.strict_json import UNSTORABLE, StrictJSON


class AlwaysJSON(BaseContentNegotiation):
    """There is one representation; what a client says it accepts changes nothing."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        wanted = request.content_type.partition(";")[0].strip().lower()
        return next((p for p in parsers if p.media_type == wanted), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class TenantMixin:
    """Runs a view in the scope of the caller's organization, rendering included.

    `required` names the action that each method needs; None means any member; a method that is not listed is
    refused. Writes with an Idempotency-Key happen once.
    """

    required: ClassVar[Mapping[str, Action | None]] = {}
    once_per_key = True  # False for POSTs that neither create nor send, or that call out
    seals_answer = False  # the answer holds a secret that is shown once
    parser_classes = (StrictJSON,)
    content_negotiation_class = AlwaysJSON
    metadata_class = None
    http_method_names = ("get", "head", "post", "put", "patch", "delete")

    request: Request

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        with ExitStack() as self.inside:
            response = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
            if hasattr(response, "render"):
                response.render()
            response.headers.setdefault("Cache-Control", "no-store")
            return response

    def perform_authentication(self, request: Request) -> None:
        super().perform_authentication(request)  # type: ignore[misc]
        if request.user is None:
            return
        self.inside.enter_context(scope(organization=request.member.organization))

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        for name, values in request.query_params.lists():
            if UNSTORABLE.search(name) or any(UNSTORABLE.search(value) for value in values):
                raise exceptions.ParseError(_("The text holds a character that cannot be stored."))
        key = request.headers.get("Idempotency-Key", "")
        if request.method == "POST" and key and self.once_per_key and hasattr(self, "post"):
            # dispatch() looks the handler up after this: the instance's own attribute comes first.
            self.post = partial(self._once, self.post, idempotency.checked(key))

    def _once(
        self, handler: Callable[..., Response], key: str, request: Request, *args: Any, **kwargs: Any
    ) -> Response:
        call = idempotency.Call(
            organization=request.member.organization,
            principal=principal_of(request),
            route=f"POST {request.path.rstrip('/')}"[:200],
            key=key,
            digest=idempotency.digest_of(request.data),
        )
        with transaction.atomic():
            row, ours = idempotency.begin(call)
            if not ours:
                return idempotency.replay(row, call)
            response = self._rendered(handler, request, *args, **kwargs)
            if response.status_code == 400 or response.status_code >= 500:
                transaction.set_rollback(True)
            else:
                idempotency.remember(row, response, sealed=self.seals_answer)
        return response

    def _rendered(
        self, handler: Callable[..., Response], request: Request, *args: Any, **kwargs: Any
    ) -> Response:
        """The handler's answer or its refusal; what a refused handler wrote is undone."""
        try:
            with transaction.atomic():
                response = handler(request, *args, **kwargs)
        except Exception as error:
            response = self.handle_exception(error)  # type: ignore[attr-defined]
        return self.finalize_response(request, response, *args, **kwargs)  # type: ignore[attr-defined]

    def permission_denied(self, request: Request, message: Any = None, code: Any = None) -> None:
        """A missing right is put on record: who asked for what."""
        if request.user is not None:
            audit.record(
                "access.denied",
                organization=request.member.organization,
                actor=request.member,
                data={"method": request.method, "view": type(self).__name__},
            )
        super().permission_denied(request, message, code)  # type: ignore[misc]


class TenantAPIView(TenantMixin, APIView):
    """A view of its own: one address, one act."""


class NotHere(APIView):
    """Any address under /api/v1/ that nobody serves."""

    authentication_classes = ()
    permission_classes = ()
    content_negotiation_class = AlwaysJSON
    metadata_class = None
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise exceptions.NotFound


def principal_of(request: Request) -> str:
    """Whose keys these are: a person's and those of an API key do not mix."""
    return f"key:{request.auth.pk}" if isinstance(request.auth, ApiKey) else f"member:{request.member.pk}"


def find(rows: Any, pk: Any) -> Any:
    """A row of this organization, else 404."""
    return get_object_or_404(rows, pk=pk)


def read(serializer: type[serializers.Serializer[Any]], request: Request, **context: Any) -> dict[str, Any]:
    """The checked body of a request; raises 400 with the fields that are wrong."""
    checked = serializer(data=request.data, context={"request": request, **context})
    checked.is_valid(raise_exception=True)
    return checked.validated_data


class Related(serializers.RelatedField):
    """Written as an id, read as {id, name}; knows only rows of the caller's organization."""

    def __init__(self, model: Any = None, **kwargs: Any) -> None:
        self.model = model
        super().__init__(**kwargs)

    def get_queryset(self) -> Any:
        return self.model.objects.all()

    def to_internal_value(self, data: Any) -> Any:
        pk = data.get("id") if isinstance(data, Mapping) else data
        try:
            return self.get_queryset().get(pk=serializers.UUIDField().to_internal_value(pk))
        except (self.model.DoesNotExist, exceptions.ValidationError) as error:
            raise exceptions.ValidationError(_("There is no such object."), "does_not_exist") from error

    def to_representation(self, value: Any) -> dict[str, str]:
        return {"id": str(value.pk), "name": value.name}


class RelatedExtension(OpenApiSerializerFieldExtension):
    target_class = Related
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        pk = {"type": "string", "format": "uuid"}
        if direction == "request":
            return pk
        return {
            "type": "object",
            "properties": {"id": pk, "name": {"type": "string"}},
            "required": ["id", "name"],
        }


class Whole:
    """For objects inside a body: needed fields are needed inside a PATCH too, where DRF waives them."""

    fields: Mapping[str, serializers.Field]

    def to_internal_value(self, data: Any) -> Any:
        needed = (name for name, field in self.fields.items() if field.required and not field.read_only)
        if isinstance(data, Mapping) and (lacking := [name for name in needed if name not in data]):
            text = _("This field is required.")
            raise serializers.ValidationError({name: [text] for name in lacking})
        return super().to_internal_value(data)  # type: ignore[misc]


class RowSerializer(serializers.ModelSerializer):
    """A row of the caller's organization: checked by the model too, saved field by field."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        row = self.Meta.model(organization=self.context["request"].member.organization)
        if self.instance is not None:
            row = self.Meta.model.objects.get(pk=self.instance.pk)
        for name, value in attrs.items():
            if name in {field.name for field in row._meta.concrete_fields}:
                setattr(row, name, value)
        row.clean()
        self._refuse_doubles(row)
        return attrs

    def _refuse_doubles(self, row: Any) -> None:
        """Unique within the organization: said at the field; a race is caught by the database (409)."""
        for constraint in row._meta.constraints:
            if not isinstance(constraint, models.UniqueConstraint) or "organization" not in constraint.fields:
                continue
            names = [name for name in constraint.fields if name != "organization"]
            if constraint.condition is not None and not getattr(row, names[-1]):
                continue
            same = type(row).objects.filter(**{name: getattr(row, name) for name in names})
            if same.exclude(pk=row.pk).exists():
                raise serializers.ValidationError({names[-1]: [_("This value is taken.")]})

    def create(self, validated_data: dict[str, Any]) -> Any:
        organization = self.context["request"].member.organization
        return self.Meta.model.objects.create(organization=organization, **validated_data)

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        for name, value in validated_data.items():
            setattr(instance, name, value)
        changed = list(validated_data)
        if hasattr(instance, "revision"):
            instance.revision += 1
            changed.append("revision")
        if changed:
            instance.save(update_fields=changed)
        return instance


class Lister(TenantMixin, generics.ListAPIView):
    """A list of its own, without the create and change of a resource."""


class Resource(
    TenantMixin,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    viewsets.GenericViewSet,
):
    """List, create, read, change and delete the rows of one model, each change on record.

    A model with a `revision` answers with an ETag and is changed only under If-Match.
    """

    model: ClassVar[Any]
    word: ClassVar[str]  # of the audit log: "queue" gives queue.created, queue.updated, queue.deleted
    changes_by_revision = True
    audited = True

    def get_queryset(self) -> Any:
        if getattr(self, "swagger_fake_view", False):
            return self.model._base_manager.none()
        return self.rows()

    def rows(self) -> Any:
        return self.model.objects.all()

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.answer(self.get_object())

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            row = serializer.save()
            self.note("created", row, serializer.validated_data)
        return self.answer(self.again(row.pk), status=201)

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._change(request, whole=True)

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._change(request, whole=False)

    def _change(self, request: Request, *, whole: bool) -> Response:
        with transaction.atomic():
            row = self.locked()
            serializer = self.get_serializer(row, data=request.data, partial=not whole)
            serializer.is_valid(raise_exception=True)
            self.note("updated", serializer.save(), serializer.validated_data)
        return self.answer(self.again(row.pk))

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with transaction.atomic():
            row = self.locked()
            self.note("deleted", row)
            self.remove(row)
        return Response(status=204)

    def remove(self, row: Any) -> None:
        row.delete()

    def locked(self) -> Any:
        """The row to change, locked, in the revision that the caller has seen."""
        found = self.get_object()
        row = find(self.model.objects.select_for_update(of=("self",)), found.pk)
        check_revision(self.request, row)
        return row

    def again(self, pk: Any) -> Any:
        """The row as it reads now, with everything that its answer shows."""
        return self.get_queryset().get(pk=pk)

    def answer(self, row: Any, *, status: int = 200) -> Response:
        return Response(self.get_serializer(row).data, status=status, headers=etag_of(row))

    def note(self, what: str, row: Any, changed: Collection[str] = ()) -> None:
        if self.audited:
            audit.record(
                f"{self.word}.{what}",
                organization=self.request.member.organization,
                actor=self.request.member,
                target=row,
                data={"fields": sorted(changed)} if changed else {},
            )


def etag_of(row: Any) -> dict[str, str]:
    return {"ETag": f'"{row.revision}"'} if hasattr(row, "revision") else {}


def wanted_revision(request: Request, *, needed: bool = True) -> int | None:
    """The revision in If-Match; None for `*`. Raises 428 when it is missing though needed."""
    header = request.headers.get("If-Match", "").strip()
    if not header:
        if needed:
            raise Problem(428, "if_match_missing", _("Send If-Match with the ETag of what you have seen."))
        return None
    if header == "*":
        return None
    text = header.removeprefix("W/").strip('"')  # a proxy that compresses makes the tag weak
    return int(text) if text.isdecimal() and len(text) < 10 else -1


def check_revision(request: Request, row: Any) -> None:
    """Refuse to change what somebody else has changed since the caller looked (412)."""
    if not hasattr(row, "revision"):
        return
    wanted = wanted_revision(request)
    if wanted is not None and wanted != row.revision:
        raise stale(row.revision)


def stale(revision: int) -> Problem:
    return Problem(412, "stale", _("Somebody changed this since you read it."), revision=revision)
