"""One effect per Idempotency-Key: the stored answer is written in the transaction of the work.

A concurrent twin waits on the unique index and then gets the stored answer. Kept for 24 hours
(`conversations.housekeeping` deletes them). Not stored: 5xx, and 400, where nothing was carried out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from accounts.models import IdempotencyKey, Organization
from accounts.problems import CONTENT_TYPE, Problem
from accounts.vault import ring

KEPT = timedelta(hours=24)
KEPT_HEADERS = ("ETag", "X-Pull-Reason", "Retry-After")
LONGEST_KEY = 120


@dataclass(frozen=True, slots=True)
class Call:
    """Who asked for what under which key."""

    organization: Organization
    principal: str
    route: str
    key: str
    digest: bytes


def digest_of(data: Any) -> bytes:
    """Equal for equal bodies, however their keys are ordered."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).digest()


def checked(key: str) -> str:
    if not key.isascii() or not key.isprintable() or len(key) > LONGEST_KEY:
        raise ValidationError(
            {"Idempotency-Key": [_("At most %d printable ASCII characters.") % LONGEST_KEY]}
        )
    return key


def begin(call: Call) -> tuple[IdempotencyKey, bool]:
    """The row of this key and whether it is ours. Waits for a twin that is still at work."""
    IdempotencyKey.objects.filter(**_name(call), created_at__lt=Now() - KEPT).delete()
    mine = IdempotencyKey(organization=call.organization, body_digest=call.digest, **_name(call))
    IdempotencyKey.objects.bulk_create([mine], ignore_conflicts=True)
    row = IdempotencyKey.objects.get(**_name(call))
    return row, row.pk == mine.pk


def _name(call: Call) -> dict[str, str]:
    return {"principal": call.principal, "route": call.route, "key": call.key}


def remember(row: IdempotencyKey, response: Response, *, sealed: bool) -> None:
    """Keep a rendered answer; sealed (encrypted) when it holds a secret that is shown once."""
    content = response.rendered_content.decode() if response.data is not None else ""
    headers = {name: response[name] for name in KEPT_HEADERS if name in response}
    kept = {"sealed": ring().encrypt(content.encode()).decode()} if sealed else {"content": content}
    row.status, row.body = response.status_code, {**kept, "headers": headers}
    row.save(update_fields=["status", "body"])


def replay(row: IdempotencyKey, call: Call) -> Response:
    """The stored answer again. Raises 422 when the key was used for another body."""
    if bytes(row.body_digest) != call.digest or row.status is None:
        raise Problem(422, "idempotency_mismatch", _("This Idempotency-Key was used for another request."))
    headers = {**row.body["headers"], "Idempotent-Replayed": "true"}
    data = json.loads(content) if (content := _content(row.body)) else None
    content_type = CONTENT_TYPE if row.status >= 400 else None
    return Response(data, status=row.status, headers=headers, content_type=content_type)


def _content(body: Mapping[str, Any]) -> str:
    return ring().decrypt(body["sealed"].encode()).decode() if "sealed" in body else body["content"]
