"""What every fire needs: a channel that leads to the fake provider, patience, and the judge."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from channels_hub.fake_provider import FakeProvider
from channels_hub.models import ChannelAccount
from conversations.invariants import findings
from conversations.models import Delivery, Message

WAITING = ("pending", "retrying", "processing")
Requests = Sequence[Mapping[str, Any]]  # as fake_provider tells them


def lead_to(fake: FakeProvider, channel: ChannelAccount, *, rate: float | None = None) -> None:
    """Messages of the channel go to this provider, as fast as that."""
    channel.config = {**channel.config, "api_base": fake.url}
    channel.rate_per_second = rate
    channel.save(update_fields=["config", "rate_per_second"])


def waiting() -> int:
    return Delivery.objects.filter(status__in=WAITING).count()


def wait_until(true: Callable[[], bool], seconds: float, *, steady: float = 0.0) -> bool:
    """Whether it came true in that time and stayed so for `steady` seconds."""
    end, since = time.monotonic() + seconds, None
    while True:
        since = (since or time.monotonic()) if true() else None
        if since and time.monotonic() - since >= steady:
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.2)


def taken(fake: FakeProvider) -> Requests:
    return [request for request in fake.requests() if request["taken"]]


# ---------------------------------------------------------------- the judge
def judge(handed: Requests) -> list[str]:
    """What broke: taken twice, nobody knows of it, overtaken, a promise of the rows.

    Nobody is told the same twice by those who write here, so that a second row would show as well.
    """
    times = Counter((one["to"], one["body"]) for one in handed)
    return [
        *(f"taken twice: {body}" for (_to, body), n in times.items() if n > 1),
        *_unaccounted({one["body"] for one in handed}),
        *overtaken(handed),
        *(f"invariant {found.invariant.name}: {found.count}" for found in findings()),
    ]


def _unaccounted(handed: set[str]) -> Iterable[str]:
    """What the desk says of a message and what the provider knows of it."""
    for text, status in Message.objects.filter(direction="out").values_list("text", "status"):
        if text in handed and status not in ("queued", "sent", "delivered"):
            yield f"the provider has {text}, the desk says {status}"
        if text not in handed and status not in ("unknown", "failed", "expired"):
            yield f"the provider never had {text}, the desk says {status}"


def overtaken(handed: Requests) -> Iterable[str]:
    """Texts are "<conversation>:<number>", numbered in the order in which they were written."""
    last: dict[str, str] = {}
    for request in sorted(handed, key=lambda one: one["at"]):
        talk, _colon, number = request["body"].partition(":")
        if number < last.get(talk, ""):
            yield f"{talk}: {number} came after {last[talk]}"
        last[talk] = max(number, last.get(talk, ""))


def fullest_second(moments: Iterable[float]) -> int:
    """The most that came within one second, wherever it begins."""
    came, first, most = sorted(moments), 0, 0
    for number, at in enumerate(came, start=1):
        while at - came[first] >= 1.0:
            first += 1
        most = max(most, number - first)
    return most
