"""Who calls the API: a bearer of an access token, a machine with a key, or a person logged in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts import tokens
from accounts.models import Membership, User


class HeaderAuthentication(authentication.BaseAuthentication, ABC):
    """`Authorization: <keyword> <credentials>`; sets `request.member`."""

    keyword: str

    def authenticate(self, request: Request) -> tuple[User, Any] | None:
        keyword, _space, text = request.headers.get("Authorization", "").strip().partition(" ")
        if keyword.lower() != self.keyword.lower():
            return None
        try:
            member, credentials = self.look_up(text.strip())
        except tokens.Refused as error:
            raise AuthenticationFailed(_("The credentials are not valid or have ended.")) from error
        return _enter(request, member), credentials

    @abstractmethod
    def look_up(self, text: str) -> tuple[Membership, Any]:
        """The member and the credentials behind a text. Raises tokens.Refused."""

    def authenticate_header(self, request: Request) -> str:
        return f'{self.keyword} realm="api"'


class BearerAuthentication(HeaderAuthentication):
    keyword = "Bearer"

    def look_up(self, text: str) -> tuple[Membership, Any]:
        return tokens.bearer(text)


class ApiKeyAuthentication(HeaderAuthentication):
    keyword = "Api-Key"

    def look_up(self, text: str) -> tuple[Membership, Any]:
        key = tokens.api_key(text)
        return key.creator, key


class SessionAuthentication(authentication.SessionAuthentication):
    """A person logged in to the pages, with the membership they chose there; writes need the CSRF token."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        member = getattr(request._request, "member", None)
        found = super().authenticate(request)
        return found if found and member is not None else None


def _enter(request: Request, member: Membership) -> User:
    request._request.member = member
    member.user.member = member
    return member.user


class BearerScheme(OpenApiAuthenticationExtension):
    target_class = BearerAuthentication
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class ApiKeyScheme(OpenApiAuthenticationExtension):
    target_class = ApiKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Api-Key <key>`",
        }


class SessionScheme(OpenApiAuthenticationExtension):
    target_class = SessionAuthentication
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}
