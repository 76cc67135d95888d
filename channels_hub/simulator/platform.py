"""The simulated platform as a whole: its clock, its delay and the ways in which it can fail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from channels_hub.models import ChannelAccount

KIND = "phone"
DAY = timedelta(hours=24)
MAX_LATENCY_MS = 30_000  # longer than the desk waits for an answer: a real time-out
RETRY_AFTER_SECONDS = 2


class Failure(models.TextChoices):
    """How the send API answers."""

    NONE = "ok", _("works")
    BUSY = "429", _("429, try again in 2 s")
    BROKEN = "500", _("500, internal error")
    LOST = "lost", _("takes the message, loses the answer")
    UNDELIVERABLE = "failed", _("takes the message, reports it failed")


@dataclass(frozen=True, slots=True)
class Switches:
    """What is set now. `failures_left` None means: until it is switched off."""

    latency_ms: int = 0
    failure: str = Failure.NONE
    failures_left: int | None = None


def account_of_scope() -> ChannelAccount | None:
    """The phone channel of the organization in scope: the oldest one."""
    phones = ChannelAccount.objects.select_related("organization").filter(kind=KIND)
    return phones.order_by("created_at", "id").first()


def switches_of(account: ChannelAccount) -> Switches:
    return _switches(account.config)


def _switches(config: Mapping[str, Any]) -> Switches:
    kept = config.get("simulator", {})
    return Switches(**{name: kept[name] for name in Switches.__dataclass_fields__ if name in kept})


def set_switches(account_id: UUID, *, latency_ms: int, failure: str, failures_left: int | None) -> None:
    """Decide how the send API behaves from now on."""
    left = failures_left if failure != Failure.NONE else None
    with _config(account_id) as config:
        config["simulator"] = {"latency_ms": latency_ms, "failure": str(failure), "failures_left": left}


def next_call(account: ChannelAccount) -> Switches:
    """How the call that just came in is to be answered; counts a limited number of failures down."""
    seen = switches_of(account)
    if seen.failure == Failure.NONE or seen.failures_left is None:
        return seen
    with _config(account.pk) as config:
        now = _switches(config)
        if now.failure != Failure.NONE and now.failures_left is not None:
            config["simulator"] = _one_less(now)
    return now


def _one_less(now: Switches) -> dict[str, Any]:
    left = (now.failures_left or 0) - 1
    if left <= 0:
        return {"latency_ms": now.latency_ms, "failure": str(Failure.NONE), "failures_left": None}
    return {"latency_ms": now.latency_ms, "failure": str(now.failure), "failures_left": left}


def clock(account: ChannelAccount) -> datetime:
    """The platform's time; the adapter reads the same setting."""
    return timezone.now() + offset(account)


def offset(account: ChannelAccount) -> timedelta:
    return timedelta(seconds=float(account.config.get("clock_offset_seconds") or 0))


def move_clock(account_id: UUID, by: timedelta | None) -> None:
    """Move the platform's clock forward, or back to the real time with None."""
    with _config(account_id) as config:
        before = float(config.get("clock_offset_seconds") or 0)
        config["clock_offset_seconds"] = before + by.total_seconds() if by else 0


@contextmanager
def _config(account_id: UUID) -> Iterator[dict[str, Any]]:
    """The channel's settings under a lock: an admin may be saving others of them."""
    with transaction.atomic():
        account = ChannelAccount.objects.select_for_update(no_key=True).get(pk=account_id)
        yield account.config
        account.save(update_fields=["config"])
