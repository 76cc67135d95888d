"""What went wrong with a sending, in plain words, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy

from channels_hub import registry
from channels_hub.contract import Outcome, State
from channels_hub.models import ChannelAccount
from conversations import thread
from conversations.models import DEAD

OUTCOMES: Mapping[str, Any] = {
    Outcome.ACCEPTED: gettext_lazy("accepted by the platform"),
    Outcome.PERMANENT: gettext_lazy("refused for good"),
    Outcome.RETRYABLE: gettext_lazy("could not be taken, tried again"),
    Outcome.RATE_LIMITED: gettext_lazy("too fast, tried again"),
    Outcome.AMBIGUOUS: gettext_lazy("no answer: sent or not?"),
    Outcome.WINDOW_CLOSED: gettext_lazy("the window is closed"),
    Outcome.UNREACHABLE: gettext_lazy("this person cannot be reached"),
    Outcome.AUTH: gettext_lazy("credentials refused"),
    Outcome.CONTENT: gettext_lazy("content refused"),
}
MEANINGS: Mapping[str, Any] = {
    **thread.REASONS,
    "late": gettext_lazy("The worker was held up and let the message go to another."),
    "worker_died": gettext_lazy("The worker stopped during the call. It may have arrived."),
}
# Our own codes, which no adapter knows, as the outcome they amount to.
CLASSES: Mapping[str, Outcome] = {
    "window_closed": Outcome.WINDOW_CLOSED,
    "no_address": Outcome.UNREACHABLE,
    "media_unsupported": Outcome.CONTENT,
    "template_unsupported": Outcome.CONTENT,
    "not_sent": Outcome.RETRYABLE,
    "late": Outcome.RETRYABLE,
    **{str(outcome): outcome for outcome in Outcome},
}
UNSURE = frozenset({"no_answer", "worker_died", "adapter_error"})
_NO_MORE = gettext_lazy("Do not send it again: the person does not want it.")
BY_CODE: Mapping[str, Any] = {
    "expired": gettext_lazy("Decide whether it still matters, then send it again."),
    "opted_out": _NO_MORE,
    "21610": _NO_MORE,
    "blocked": gettext_lazy("Unblock the contact first, if it should go out."),
    "channel_inactive": gettext_lazy("Switch the channel on, then send it again."),
}
_LATER = gettext_lazy("Send it again when the channel is well; its health page shows how it fares.")
BY_OUTCOME: Mapping[Outcome, Any] = {
    Outcome.PERMANENT: gettext_lazy("Read what the platform said; the same message would be refused again."),
    Outcome.RETRYABLE: _LATER,
    Outcome.RATE_LIMITED: _LATER,
    Outcome.WINDOW_CLOSED: gettext_lazy("Send an approved template, or wait until the customer writes."),
    Outcome.UNREACHABLE: gettext_lazy("Check the address, or reach the person in another way."),
    Outcome.AUTH: gettext_lazy("Correct the channel's credentials, then send it again."),
    Outcome.CONTENT: gettext_lazy("Write it differently: the same content would be refused again."),
}
UNCONFIRMED = gettext_lazy(
    "Wait for the platform's report. If none comes, ask the customer; sent again, it may arrive twice."
)
BY_ITSELF = gettext_lazy("Nothing: it is tried again by itself.")


def meaning(code: str, outcome: str = "") -> str:
    """A code in plain words; where nobody knows it, the words of how the call ended."""
    return str(MEANINGS.get(code) or OUTCOMES.get(code) or OUTCOMES.get(outcome, ""))


def explained(channel: ChannelAccount, code: str) -> str:
    """What the channel's adapter tells an admin about a code; nothing of unsure calls, for "try again" is no
    advice there."""
    if code in UNSURE or not _is_offered(channel):
        return ""
    return registry.adapter_for(channel).explain(code)


def next_step(status: str, code: str, channel: ChannelAccount) -> str:
    """What a person can do about a delivery; empty where there is nothing to do."""
    if status == State.RETRYING:
        return str(BY_ITSELF)
    if status == State.UNKNOWN:
        return str(UNCONFIRMED)
    if status not in DEAD:
        return ""
    return str(BY_CODE.get(code) or BY_OUTCOME.get(_class_of(code, channel), ""))


def _class_of(code: str, channel: ChannelAccount) -> Outcome:
    known = CLASSES.get(code)
    if known is None and _is_offered(channel):
        return registry.adapter_for(channel).outcome_of(code)
    return known or Outcome.PERMANENT


def _is_offered(channel: ChannelAccount) -> bool:
    """Whether this installation still has the channel's adapter."""
    return channel.kind in registry.kinds()
