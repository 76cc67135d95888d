"""Which channel was called. The only place that looks across organizations: a webhook has no tenant yet."""

from __future__ import annotations

import time
from threading import Lock

from django.conf import settings
from django.db.models import QuerySet
from django_scopes import scopes_disabled

from channels_hub import registry
from channels_hub.models import ChannelAccount
from channels_hub.vocabulary import RawRequest


class _Recent:
    """Accounts that were called a moment ago, secrets and all, in this process's memory only.

    A platform calls the same few channels hundreds of times a second. A changed secret or a channel switched
    off takes effect after PYTAKE_CHANNEL_CACHE_SECONDS at the latest.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = Lock()
        self._known: dict[tuple[str, str], tuple[float, ChannelAccount]] = {}

    def get(self, key: tuple[str, str]) -> ChannelAccount | None:
        until, account = self._known.get(key, (0.0, None))
        return account if time.monotonic() < until else None

    def put(self, key: tuple[str, str], account: ChannelAccount) -> None:
        with self._lock:
            if len(self._known) >= self._size:
                self._known.clear()
            self._known[key] = (time.monotonic() + settings.PYTAKE_CHANNEL_CACHE_SECONDS, account)


_recent = _Recent(size=1000)


def by_public_id(path_kind: str, public_id: str) -> ChannelAccount | None:
    """The account behind /webhooks/<path_kind>/<public_id>/, also when it is switched off."""
    key = (path_kind, public_id)
    if (known := _recent.get(key)) is not None:
        return known
    with scopes_disabled():
        found = _accounts(path_kind).filter(public_id=public_id).first()
    if found is not None:
        _recent.put(key, found)
    return found


def by_body(path_kind: str, request: RawRequest) -> list[ChannelAccount]:
    """Accounts that an app-level URL may have been called for. Verify with each one's own secret first."""
    found: list[ChannelAccount] = []
    for kind in registry.kinds_at(path_kind):
        for key in registry.adapter_class(kind).accounts(request):
            with scopes_disabled():
                rows = _accounts(path_kind).filter(kind=kind, address=key.address)
                candidates = list(rows.filter(config__contains=key.config) if key.config else rows)
            found += [one for one in candidates if registry.adapter_for(one).account_id == key.account]
    return found


def _accounts(path_kind: str) -> QuerySet[ChannelAccount]:
    kinds = registry.kinds_at(path_kind)
    return ChannelAccount.objects.select_related("organization").filter(kind__in=kinds)
