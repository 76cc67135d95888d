"""Which channel was called. The only place that looks across organizations: a webhook has no tenant yet."""

from __future__ import annotations

from django.db.models import QuerySet
from django_scopes import scopes_disabled

from channels_hub import registry
from channels_hub.models import ChannelAccount
from channels_hub.vocabulary import RawRequest


def by_public_id(path_kind: str, public_id: str) -> ChannelAccount | None:
    """The account behind /webhooks/<path_kind>/<public_id>/, also when it is switched off."""
    with scopes_disabled():
        return _accounts(path_kind).filter(public_id=public_id).first()


def by_body(path_kind: str, request: RawRequest) -> list[ChannelAccount]:
    """Accounts an app-level URL may have been called for. Verify with each one's own secret."""
    found: list[ChannelAccount] = []
    for kind in registry.kinds_at(path_kind):
        for key in registry.adapter_class(kind).accounts(request):
            with scopes_disabled():
                candidates = list(_accounts(path_kind).filter(kind=kind, address=key.address))
            found += [one for one in candidates if registry.adapter_for(one).account_id == key.account]
    return found


def _accounts(path_kind: str) -> QuerySet[ChannelAccount]:
    kinds = registry.kinds_at(path_kind)
    return ChannelAccount.objects.select_related("organization").filter(kind__in=kinds)
