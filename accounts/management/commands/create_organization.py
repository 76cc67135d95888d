"""A new organization with its first owner."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email, validate_slug
from django.db import transaction
from django_scopes import scope

from accounts import audit
from accounts.models import Membership, Organization, User
from accounts.roles import Role


class Command(BaseCommand):
    help = "Create an organization and the owner who can invite everybody else."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--name", required=True)
        parser.add_argument("--owner-email", required=True)
        parser.add_argument("--owner-password", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        slug, email = options["slug"], options["owner_email"].strip().lower()
        try:
            validate_slug(slug)
            validate_email(email)
            member = _create(slug, options["name"], email, options["owner_password"])
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(f"Organization {slug} ({member.organization_id}) with owner {email}.")


@transaction.atomic
def _create(slug: str, name: str, email: str, password: str) -> Membership:
    if Organization.objects.filter(slug=slug).exists():
        raise ValidationError(f"There is an organization {slug} already.")
    user = User.objects.filter(email=email).first()
    if user is not None and not user.check_password(password):
        raise ValidationError(f"{email} has a password already; give that one to make them owner here too.")
    if user is None:
        validate_password(password, User(email=email))
        user = User.objects.create_user(email, password, name=email.partition("@")[0])
    organization = Organization.objects.create(slug=slug, name=name)
    with scope(organization=organization):
        member = Membership.objects.create(organization=organization, user=user, role=Role.OWNER)
        audit.record("organization.created", organization=organization, actor=member, target=member)
    return member
