"""Organizations, people and their ways in. Every other model points here."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.ids import new_id
from accounts.roles import Action, Role, may
from accounts.tenancy import TenantModel


class Organization(models.Model):
    """A company that uses the desk: the tenant."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    slug = models.SlugField(unique=True)
    name = models.CharField(_("name"), max_length=120)
    timezone = models.CharField(_("time zone"), max_length=64, default="America/Sao_Paulo")
    locale = models.CharField(_("language"), max_length=10, default="pt-br")
    raw_retention_days = models.PositiveSmallIntegerField(_("days raw webhooks are kept"), default=30)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("organization")
        verbose_name_plural = _("organizations")

    def __str__(self) -> str:
        return self.name


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save()
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """A person who logs in by e-mail; what they may do follows from their membership."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    email = models.EmailField(_("e-mail"), unique=True)
    name = models.CharField(_("name"), max_length=120)
    locale = models.CharField(_("language"), max_length=10, blank=True)
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = UserManager()
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["name"]

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")

    def __str__(self) -> str:
        return self.name or self.email

    def get_full_name(self) -> str:
        return self.name

    @property
    def is_staff(self) -> bool:
        """May enter the admin: by the role of the membership the request runs under."""
        member = getattr(self, "member", None)
        return self.is_active and member is not None and member.may(Action.USE_ADMIN)

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """The admin asks by `accounts.roles` (see pytake.admin); Django's own permissions are unused."""
        return False

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_staff


class Membership(TenantModel):
    """A person inside an organization. Its id is the person's id in the API: agent, author, actor."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(
        _("role"), max_length=12, choices=[(r.value, r.value) for r in Role], default=Role.AGENT.value
    )
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        constraints = [
            models.UniqueConstraint(fields=["organization", "user"], name="one_membership_per_person"),
        ]

    def __str__(self) -> str:
        return str(self.user)

    @property
    def name(self) -> str:
        return str(self.user)

    def may(self, action: Action) -> bool:
        return self.is_active and may(self.role, action)


class ApiKey(TenantModel):
    """A machine's way in. Only a hash is kept; never more rights than its creator has today."""

    name = models.CharField(_("name"), max_length=80)
    prefix = models.CharField(max_length=12, unique=True, editable=False)
    digest = models.BinaryField(max_length=32, editable=False)
    creator = models.ForeignKey(Membership, on_delete=models.PROTECT, related_name="+", editable=False)
    scopes = models.JSONField(_("scopes"), default=list)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class RefreshFamily(TenantModel):
    """One log-in of an API client. Its refresh token rotates; a token used twice kills the family."""

    member = models.ForeignKey(Membership, on_delete=models.CASCADE, related_name="+")
    serial = models.PositiveIntegerField(default=1)  # the only refresh token that is good
    revoked_at = models.DateTimeField(null=True)
    revoked_reason = models.CharField(max_length=40, blank=True)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())


class IdempotencyKey(TenantModel):
    """The stored answer of a POST, so that a repeated request has one effect and the same answer."""

    principal = models.CharField(max_length=60)
    route = models.CharField(max_length=200)
    key = models.CharField(max_length=120)
    body_digest = models.BinaryField(max_length=32)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(null=True)
    created_at = models.DateTimeField(db_default=Now(), db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "principal", "route", "key"], name="one_answer_per_idempotency_key"
            )
        ]


class AuditEntry(TenantModel):
    """Who did what to which object: names of fields, never their values. Append-only."""

    actor = models.ForeignKey(Membership, null=True, on_delete=models.PROTECT, related_name="+")
    action = models.CharField(max_length=60)
    object_type = models.CharField(max_length=60, blank=True)
    object_id = models.CharField(max_length=60, blank=True)
    data = models.JSONField(default=dict)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        indexes = [models.Index(fields=["organization", "-at"], name="audit_by_time")]

    def __str__(self) -> str:
        return f"{self.action} {self.object_type}"
