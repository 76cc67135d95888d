"""Encryption at rest: field types whose value is readable only with PYTAKE_FIELD_KEYS.

The first key encrypts, all keys decrypt; `manage.py rotate_keys` rewrites every value with the
first key, so that an old key can be dropped from the list afterwards.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.db import models


@lru_cache(maxsize=4)
def _ring(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def ring() -> MultiFernet:
    return _ring(tuple(settings.PYTAKE_FIELD_KEYS))


class EncryptedBinaryField(models.BinaryField):
    """Bytes, encrypted in the database (authenticated, with key rotation)."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> bytes | None:
        return None if value is None else ring().decrypt(bytes(value))

    def get_prep_value(self, value: Any) -> bytes | None:
        return None if value is None else ring().encrypt(bytes(value))


class EncryptedJSONField(models.BinaryField):
    """A JSON object, encrypted in the database. Never a target of a query."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("default", dict)
        kwargs.setdefault("editable", False)
        super().__init__(*args, **kwargs)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return {} if value is None else json.loads(ring().decrypt(bytes(value)))

    def get_prep_value(self, value: Any) -> bytes:
        return ring().encrypt(json.dumps(value or {}).encode())

    def value_to_string(self, obj: models.Model) -> str:
        """Dumps never carry the clear text."""
        return ""
