"""Which class speaks for which kind of channel. Nobody else imports an adapter."""

from __future__ import annotations

from functools import cache
from typing import Any, Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from channels_hub.contract import Adapter


class Account(Protocol):
    """What the registry needs to know of a ChannelAccount."""

    kind: Any
    config: Any
    address: Any

    def webhook_base(self) -> str: ...


@cache
def _load(path: str) -> type[Adapter]:
    found = import_string(path)
    if not issubclass(found, Adapter):
        raise ImproperlyConfigured(f"{path} is not a channel adapter")
    return found


def kinds() -> tuple[str, ...]:
    """Every kind of channel this installation offers."""
    return tuple(settings.CHANNEL_ADAPTERS)


def adapter_class(kind: str) -> type[Adapter]:
    """The class for a kind; KeyError when the installation has none."""
    return _load(settings.CHANNEL_ADAPTERS[kind])


def adapter_for(account: Account) -> Adapter:
    """The adapter that speaks for this account."""
    made = adapter_class(account.kind)
    return made(account.config, account.address, callback_url=account.webhook_base())


def url_kind(kind: str) -> str:
    """First part of the webhook path: several kinds may share one ("twilio")."""
    return adapter_class(kind).url_kind or kind


def kinds_at(path_kind: str) -> tuple[str, ...]:
    """The kinds whose webhooks arrive under /webhooks/<path_kind>/."""
    return tuple(kind for kind in kinds() if url_kind(kind) == path_kind)
