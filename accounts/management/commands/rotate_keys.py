"""Rewrites every encrypted value with the first key, so that older keys can be dropped afterwards."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import models, transaction
from django.db.models import ExpressionWrapper, F, Value
from django_scopes import scopes_disabled

from accounts.models import IdempotencyKey
from accounts.vault import EncryptedBinaryField, EncryptedJSONField, ring

BATCH = 200


class Command(BaseCommand):
    help = (
        "Put the new key first in PYTAKE_FIELD_KEYS, keep the old ones behind it, restart, run this, "
        "then drop the old ones. Safe while the system runs, and to run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--batch", type=int, default=BATCH, help="rows per transaction")

    def handle(self, *args: Any, **options: Any) -> None:
        unreadable = 0
        for model, field in encrypted_fields():
            done, broken = rotate(model, field, options["batch"])
            unreadable += broken
            self.stdout.write(f"{model._meta.label}.{field.name}: {done} rewritten, {broken} unreadable")
        self.stdout.write(f"stored answers: {rotate_answers()} rewritten")
        if unreadable:
            raise CommandError(f"{unreadable} values open with none of the keys: do not drop any key yet.")


def encrypted_fields() -> Iterator[tuple[type[models.Model], models.Field]]:
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, EncryptedBinaryField | EncryptedJSONField):
                yield model, field


def rotate(model: type[models.Model], field: models.Field, batch: int = BATCH) -> tuple[int, int]:
    """Rewrite one column in batches: (how many were rewritten, how many no key opens).

    Each batch is locked while it is rewritten: a value saved meanwhile is never overwritten by an older one.
    """
    stored = ExpressionWrapper(F(field.name), output_field=models.BinaryField())  # as it is, not decrypted
    rows = model._base_manager.annotate(stored=stored).filter(stored__isnull=False).order_by("pk")
    done = broken = 0
    after: Any = None
    while True:
        with transaction.atomic():
            rest = rows.filter(pk__gt=after) if after else rows
            found = list(rest.select_for_update(no_key=True).values_list("pk", "stored")[:batch])
            if not found:
                return done, broken
            fresh, failed = _rewritten(found)
            for pk, token in fresh:
                value = Value(token, output_field=models.BinaryField())
                model._base_manager.filter(pk=pk).update(**{field.name: value})
        done, broken, after = done + len(fresh), broken + failed, found[-1][0]


def _rewritten(rows: list[tuple[Any, Any]]) -> tuple[list[tuple[Any, bytes]], int]:
    first = Fernet(settings.PYTAKE_FIELD_KEYS[0])
    fresh, broken = [], 0
    for pk, value in rows:
        token = bytes(value)
        if _opens(first, token):
            continue
        try:
            fresh.append((pk, ring().rotate(token)))
        except InvalidToken:
            broken += 1
    return fresh, broken


def _opens(key: Fernet, token: bytes) -> bool:
    try:
        key.decrypt(token)
    except InvalidToken:
        return False
    return True


def rotate_answers() -> int:
    """Answers with a secret that are kept for a day (`accounts.idempotency`)."""
    done = 0
    with scopes_disabled():
        for row in IdempotencyKey.objects.filter(body__has_key="sealed").iterator():
            row.body["sealed"] = ring().rotate(row.body["sealed"].encode()).decode()
            row.save(update_fields=["body"])
            done += 1
    return done
