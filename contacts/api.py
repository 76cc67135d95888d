"""Contacts and the addresses they are known by."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import audit
from accounts.problems import Problem
from accounts.resources import Lister, Resource, RowSerializer, TenantAPIView, Whole, find, read
from accounts.roles import Action
from contacts.addresses import InvalidAddress, canonical, equivalence
from contacts.models import Contact, Identity

READ_AND_EDIT = {
    "GET": Action.READ_CONTACTS,
    **dict.fromkeys(("POST", "PUT", "PATCH", "DELETE"), Action.EDIT_CONTACTS),
}


class IdentitySerializer(Whole, serializers.ModelSerializer):
    scheme = serializers.RegexField(r"^[a-z][a-z0-9_]{0,11}$")
    value = serializers.CharField(max_length=200)

    class Meta:
        model = Identity
        fields = ["id", "scheme", "value", "unreachable_at", "created_at"]
        read_only_fields = ["id", "unreachable_at", "created_at"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            return {
                "scheme": attrs["scheme"],
                "value": canonical(attrs["scheme"], attrs["value"]),
                "equivalence": equivalence(attrs["scheme"], attrs["value"]),
                "raw": attrs["value"],
            }
        except InvalidAddress as error:
            raise ValidationError({"value": [str(error)]}) from error


class ContactSerializer(RowSerializer):
    identities = IdentitySerializer(many=True, required=False)

    class Meta:
        model = Contact
        fields = [
            "id", "name", "email", "language", "fields", "identities", "blocked_at", "opted_out_at",
            "created_at",
        ]  # fmt: skip
        read_only_fields = ["id", "blocked_at", "opted_out_at", "created_at"]

    def validate_fields(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError(_("This is an object of names and values."))
        return value

    def validate_identities(self, value: list[dict[str, str]]) -> list[dict[str, str]]:
        if self.instance is not None:
            raise ValidationError(_("Addresses are changed at contacts/<id>/identities."))
        return value

    def create(self, validated_data: dict[str, Any]) -> Contact:
        identities = validated_data.pop("identities", [])
        contact = super().create(validated_data)
        for identity in identities:
            attach(contact, identity)
        return contact


def attach(contact: Contact, identity: dict[str, str]) -> Identity:
    """Give a contact an address. Raises 409 when somebody else has it; a race ends in the same 409."""
    same = {"scheme": identity["scheme"], "equivalence": identity["equivalence"]}
    if Identity.objects.filter(**same).exists():
        raise Problem(409, "conflict", _("Another contact is known by this address."))
    return Identity.objects.create(organization_id=contact.organization_id, contact=contact, **identity)


class ContactFilter(django_filters.FilterSet):
    q = django_filters.CharFilter(method="search")

    class Meta:
        model = Contact
        fields: list[str] = []

    def search(self, rows: Any, name: str, value: str) -> Any:
        known = Identity.objects.filter(value__icontains=value).values("contact_id")
        return rows.filter(Q(name__icontains=value) | Q(email__icontains=value) | Q(pk__in=known))


class Contacts(Resource):
    """The people the company talks to. One with conversations is kept: see the erasure of personal data."""

    model, word = Contact, "contact"
    serializer_class = ContactSerializer
    filterset_class = ContactFilter
    required = READ_AND_EDIT

    def rows(self) -> Any:
        return Contact.objects.prefetch_related("identities")


class Identities(Lister):
    """The addresses of one contact."""

    serializer_class = IdentitySerializer
    required = READ_AND_EDIT

    def get_queryset(self) -> Any:
        if getattr(self, "swagger_fake_view", False):
            return Identity._base_manager.none()
        return find(Contact.objects.all(), self.kwargs["pk"]).identities.all()

    @extend_schema(request=IdentitySerializer, responses={201: IdentitySerializer})
    def post(self, request: Request, pk: Any) -> Response:
        contact = find(Contact.objects.all(), pk)
        identity = read(IdentitySerializer, request)
        with transaction.atomic():
            row = attach(contact, identity)
            _note(request, "contact.identity_added", contact)
        return Response(IdentitySerializer(Identity.objects.get(pk=row.pk)).data, status=201)


class IdentityView(TenantAPIView):
    """Take an address away from a contact."""

    required = {"DELETE": Action.EDIT_CONTACTS}

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: Any, identity: Any) -> Response:
        contact = find(Contact.objects.all(), pk)
        with transaction.atomic():
            find(contact.identities.all(), identity).delete()
            _note(request, "contact.identity_removed", contact)
        return Response(status=204)


class BlockView(TenantAPIView):
    """Stop talking with a contact, or begin again: nothing is sent to somebody who is blocked."""

    required = {"POST": Action.EDIT_CONTACTS, "DELETE": Action.EDIT_CONTACTS}

    @extend_schema(request=None, responses=ContactSerializer)
    def post(self, request: Request, pk: Any) -> Response:
        return self._set(request, pk, Now(), "contact.blocked")

    @extend_schema(responses=ContactSerializer)
    def delete(self, request: Request, pk: Any) -> Response:
        return self._set(request, pk, None, "contact.unblocked")

    def _set(self, request: Request, pk: Any, at: Any, word: str) -> Response:
        contact = find(Contact.objects.all(), pk)
        with transaction.atomic():
            contact.blocked_at = at
            contact.save(update_fields=["blocked_at"])
            _note(request, word, contact)
        shown = find(Contact.objects.prefetch_related("identities"), pk)
        return Response(ContactSerializer(shown, context={"request": request}).data)


def _note(request: Request, word: str, contact: Contact) -> None:
    audit.record(word, organization=request.member.organization, actor=request.member, target=contact)
