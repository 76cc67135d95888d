"""Ways in for programs: token pairs whose refresh token rotates, API keys, a limit on wrong passwords."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth import authenticate
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django_scopes import scope, scopes_disabled
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import Token

from accounts import audit, throttle
from accounts.middleware import membership_of
from accounts.models import ApiKey, Membership, RefreshFamily, User

SEEN_EVERY = timedelta(minutes=1)


class Refused(Exception):
    """The token, key or password gives no way in; why is nobody's business."""


class TooMany(Exception):
    """Too many wrong passwords for this account from this place; `wait` is in seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__("too_many")
        self.wait = wait


class Access(Token):
    token_type = "access"  # noqa: S105
    lifetime = api_settings.ACCESS_TOKEN_LIFETIME


class Refresh(Token):
    token_type = "refresh"  # noqa: S105
    lifetime = api_settings.REFRESH_TOKEN_LIFETIME


# ---------------------------------------------------------------- token pairs
@dataclass(frozen=True, slots=True)
class Pair:
    access: str
    refresh: str


def open_family(member: Membership) -> Pair:
    """A new log-in of an API client."""
    family = RefreshFamily.objects.create(
        organization=member.organization, member=member, expires_at=timezone.now() + Refresh.lifetime
    )
    return _pair(family, member, family.serial)


def _pair(family: RefreshFamily, member: Membership, serial: int) -> Pair:
    access, refresh = Access(), Refresh()
    for token in (access, refresh):
        token["sub"] = str(member.user_id)
        token["member"] = str(member.pk)
        token["organization"] = str(member.organization_id)
        token["family"] = str(family.pk)
        token["pw"] = _fingerprint(member.user)
    refresh["serial"] = serial
    return Pair(str(access), str(refresh))


def _fingerprint(user: User) -> str:
    """Changes with the password, so that older tokens end with it."""
    return salted_hmac("accounts.tokens", user.password, algorithm="sha256").hexdigest()[:16]


def bearer(text: str) -> tuple[Membership, RefreshFamily]:
    """Who an access token belongs to. Raises Refused."""
    try:
        token = Access(text)
    except TokenError as error:
        raise Refused from error
    return _alive(token)


def _alive(token: Token) -> tuple[Membership, RefreshFamily]:
    """The member and family behind a token that still count: one query for all that may have ended."""
    with scopes_disabled():
        family = (
            RefreshFamily.objects.select_related("member__user", "member__organization")
            .filter(pk=_uuid(token.get("family")), revoked_at__isnull=True)
            .first()
        )
    if family is None:
        raise Refused
    member = family.member
    claims = (str(member.user_id), str(member.pk), str(member.organization_id), _fingerprint(member.user))
    if claims != (token.get("sub"), token.get("member"), token.get("organization"), token.get("pw")):
        raise Refused
    if not member.is_active or not member.user.is_active:
        raise Refused
    return member, family


def _uuid(text: Any) -> UUID:
    try:
        return UUID(str(text))
    except ValueError as error:
        raise Refused from error


def rotate(text: str) -> Pair:
    """A new pair for a refresh token, once: a token that was used before kills its family. Raises Refused.

    The guarded UPDATE lets exactly one of several equal requests through.
    """
    try:
        token = Refresh(text)
    except TokenError as error:
        raise Refused from error
    serial = token.get("serial")
    if not isinstance(serial, int):
        raise Refused
    member, family = _alive(token)
    with scope(organization=member.organization):
        good = Q(pk=family.pk, serial=serial, revoked_at__isnull=True, expires_at__gt=Now())
        if RefreshFamily.objects.filter(good).update(serial=F("serial") + 1):
            return _pair(family, member, serial + 1)
        revoke(family, "reused")
    raise Refused


def revoke(family: RefreshFamily, reason: str) -> None:
    """End a log-in; the first reason stays on record."""
    member = family.member
    with scope(organization=family.organization), transaction.atomic():
        open_ones = RefreshFamily.objects.filter(pk=family.pk, revoked_at__isnull=True)
        if open_ones.update(revoked_at=Now(), revoked_reason=reason):
            audit.record(
                f"token.{reason}", organization=member.organization, actor=member, target=family, data={}
            )


# ---------------------------------------------------------------- passwords
def log_in(email: str, password: str, address: str) -> Membership:
    """The member behind a right password; tries are counted together with those of the log-in page.

    Raises Refused, TooMany, throttle.Unavailable.
    """
    if wait := throttle.count_try(email, address):
        raise TooMany(wait)
    user = authenticate(email=email.strip().lower(), password=password)
    member = membership_of(user) if user is not None else None
    if member is None:
        _note_failure(email)
        raise Refused
    throttle.forget(email, address)
    with scope(organization=member.organization):
        audit.record("login.succeeded", organization=member.organization, actor=member)
    return member


def _note_failure(email: str) -> None:
    """On record where there is somebody to warn; a stranger's address is kept nowhere."""
    user = User.objects.filter(email=email.strip().lower()).first()
    if user is not None and (member := membership_of(user)):
        with scope(organization=member.organization):
            audit.record("login.failed", organization=member.organization, actor=member)


# ---------------------------------------------------------------- API keys
def new_key() -> tuple[str, str, bytes]:
    """A fresh key, shown once: (the key, its public prefix, the digest that is stored)."""
    prefix = f"pk{secrets.token_hex(5)}"
    key = f"{prefix}.{secrets.token_urlsafe(32)}"
    return key, prefix, _digest(key)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def api_key(text: str) -> ApiKey:
    """The key behind a text, its creator loaded. Raises Refused."""
    with scopes_disabled():
        key = (
            ApiKey.objects.select_related("creator__user", "creator__organization")
            .filter(Q(expires_at__isnull=True) | Q(expires_at__gt=Now()))
            .filter(prefix=text.partition(".")[0][:12], revoked_at__isnull=True)
            .first()
        )
        if key is None or not hmac.compare_digest(bytes(key.digest), _digest(text)):
            raise Refused
        if not key.creator.is_active or not key.creator.user.is_active:
            raise Refused
        if key.last_used_at is None or key.last_used_at < timezone.now() - SEEN_EVERY:
            ApiKey.objects.filter(pk=key.pk).update(last_used_at=Now())
    return key
