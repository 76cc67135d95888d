"""Words of a channel's set-up page: what it asks for, and what the platform has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SetUp:
    """What the set-up page of a kind of channel asks for: titles by the names of settings and secrets."""

    platform: str
    config: Mapping[str, Any]
    secrets: Mapping[str, Any]
    service: str = ""  # the setting that names a pool of senders, which may stand instead of an address


@dataclass(frozen=True, slots=True)
class Sender:
    """One sender that the account has; `address` or, for a pool of several, `service`."""

    name: str
    address: str = ""
    service: str = ""
    state: str = ""  # in the platform's words, where it is not simply there

    @property
    def shown(self) -> str:
        return self.address or self.service


@dataclass(frozen=True, slots=True)
class Hook:
    """An address that the platform is to call; `found` is what it calls now, None where nobody can tell."""

    name: str  # inbound fallback status
    wanted: str
    found: str | None = None

    @property
    def is_set(self) -> bool:
        return self.found == self.wanted

    @property
    def lacks_options(self) -> bool:
        """The right address, without what stands behind it."""
        return not self.is_set and bool(self.found) and self.found == self.wanted.partition("#")[0]


@dataclass(frozen=True, slots=True)
class Found:
    """What the platform says of the account."""

    senders: tuple[Sender, ...]
    hooks: tuple[Hook, ...]
    can_set: bool = False  # whether its API takes the addresses
    note: Any = ""  # what a person must know or do there
