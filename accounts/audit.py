"""The audit log: one call per act that changes configuration or access."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accounts.models import AuditEntry, Membership, Organization
from accounts.tenancy import TenantModel


def record(
    action: str,
    *,
    organization: Organization,
    actor: Membership | None,
    target: TenantModel | Membership | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write one entry. `data` holds names of changed fields and ids, never personal values."""
    AuditEntry.objects.create(
        organization=organization,
        actor=actor,
        action=action,
        object_type=target._meta.label_lower if target else "",
        object_id=str(target.pk) if target else "",
        data=dict(data or {}),
    )
