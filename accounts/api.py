"""Auth, the caller, and API keys."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import throttle, tokens
from accounts.models import ApiKey, RefreshFamily
from accounts.problems import Problem, ProblemSerializer
from accounts.resources import AlwaysJSON, Related, Resource, RowSerializer, TenantAPIView, read
from accounts.roles import Action, scope_of
from accounts.strict_json import StrictJSON

BAD_LOGIN = gettext_lazy("E-mail or password is wrong.")


class OpenView(APIView):
    """A way in: nobody is known yet."""

    authentication_classes = ()
    permission_classes = ()
    parser_classes = (StrictJSON,)
    content_negotiation_class = AlwaysJSON
    metadata_class = None

    def get_authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'

    @property
    def default_response_headers(self) -> dict[str, str]:
        return {**super().default_response_headers, "Cache-Control": "no-store"}


class LoginSerializer(serializers.Serializer[Any]):
    email = serializers.EmailField(max_length=254)
    password = serializers.CharField(max_length=1024, trim_whitespace=False)


class PairSerializer(serializers.Serializer[Any]):
    access = serializers.CharField()
    refresh = serializers.CharField()


class RefreshSerializer(serializers.Serializer[Any]):
    refresh = serializers.CharField(max_length=4096)


class TokenView(OpenView):
    """Log in with e-mail and password."""

    @extend_schema(request=LoginSerializer, responses={200: PairSerializer, 401: ProblemSerializer})
    def post(self, request: Request) -> Response:
        given = read(LoginSerializer, request)
        try:
            address = request.META.get("REMOTE_ADDR", "")
            member = tokens.log_in(given["email"], given["password"], address)
        except tokens.TooMany as error:
            text = _("Too many wrong passwords; wait before you try again.")
            raise Problem(429, "too_many_tries", text, wait=error.wait) from error
        except throttle.Unavailable as error:
            raise Problem(
                503, "unavailable", _("Logging in is not possible for a moment."), wait=5
            ) from error
        except tokens.Refused as error:
            raise AuthenticationFailed(BAD_LOGIN) from error
        return Response(_shown(tokens.open_family(member)))


class RefreshView(OpenView):
    """A new pair for a refresh token. A token that was used before ends its log-in."""

    @extend_schema(request=RefreshSerializer, responses={200: PairSerializer, 401: ProblemSerializer})
    def post(self, request: Request) -> Response:
        try:
            return Response(_shown(tokens.rotate(read(RefreshSerializer, request)["refresh"])))
        except tokens.Refused as error:
            raise AuthenticationFailed(_("The refresh token is not valid or has ended.")) from error


def _shown(pair: tokens.Pair) -> dict[str, str]:
    return {"access": pair.access, "refresh": pair.refresh}


class LogoutView(TenantAPIView):
    """End the log-in of this access token."""

    required = {"POST": None}
    once_per_key = False

    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        if isinstance(request.auth, RefreshFamily):
            tokens.revoke(request.auth, "logged_out")
        return Response(status=204)


class MeSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    email = serializers.EmailField(source="user.email")
    name = serializers.CharField()
    role = serializers.CharField()
    organization = Related(read_only=True)


class MeView(TenantAPIView):
    """The caller; the id is that of the membership, as everywhere."""

    required = {"GET": None}

    @extend_schema(responses=MeSerializer)
    def get(self, request: Request) -> Response:
        return Response(MeSerializer(request.member).data)


SCOPES = sorted({scope_of(action) for action in Action})


class ApiKeySerializer(RowSerializer):
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=SCOPES), allow_empty=False)
    creator = Related(read_only=True)

    class Meta:
        model = ApiKey
        fields = ["id", "name", "prefix", "scopes", "creator", "expires_at", "last_used_at", "created_at"]
        read_only_fields = ["id", "prefix", "last_used_at", "created_at"]

    def validate_scopes(self, scopes: list[str]) -> list[str]:
        """A key makes no key that may do more than itself."""
        key = self.context["request"].auth
        if isinstance(key, ApiKey) and (beyond := set(scopes) - set(key.scopes)):
            raise serializers.ValidationError(_("This key may not grant: %s.") % ", ".join(sorted(beyond)))
        return sorted(set(scopes))


class NewApiKeySerializer(ApiKeySerializer):
    """The answer to making one: the only time the key itself is shown."""

    key = serializers.CharField(read_only=True)

    class Meta(ApiKeySerializer.Meta):
        fields = [*ApiKeySerializer.Meta.fields, "key"]

    def create(self, validated_data: dict[str, Any]) -> ApiKey:
        key, prefix, digest = tokens.new_key()
        creator = self.context["request"].member
        row = super().create({**validated_data, "creator": creator, "prefix": prefix, "digest": digest})
        row.key = key
        return row


class ApiKeys(Resource):
    """Machines' ways in. A key never has more rights than its creator has today."""

    model, word = ApiKey, "api_key"
    serializer_class = ApiKeySerializer
    seals_answer = True
    required = dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), Action.EDIT_API_KEYS)

    def rows(self) -> Any:
        return ApiKey.objects.filter(revoked_at__isnull=True).select_related("creator__user")

    @extend_schema(request=ApiKeySerializer, responses={201: NewApiKeySerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        serializer = NewApiKeySerializer(data=request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            row = serializer.save()
            self.note("created", row, serializer.validated_data)
        key, row = row.key, self.again(row.pk)
        row.key = key
        return Response(NewApiKeySerializer(row, context=self.get_serializer_context()).data, status=201)

    def remove(self, row: ApiKey) -> None:
        """Revoked, not deleted: the audit log points at it."""
        row.revoked_at = Now()
        row.save(update_fields=["revoked_at"])
