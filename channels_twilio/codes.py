"""Twilio's words: delivery states and error codes (https://www.twilio.com/docs/api/errors)."""

from __future__ import annotations

from collections.abc import Mapping

from channels_hub.contract import Outcome, State

STATES: Mapping[str, State] = {
    "accepted": State.QUEUED,
    "scheduled": State.QUEUED,
    "queued": State.QUEUED,
    "sending": State.QUEUED,
    "sent": State.SENT,
    "delivered": State.DELIVERED,
    "partially_delivered": State.DELIVERED,
    "read": State.READ,
    "failed": State.FAILED,
    "undelivered": State.FAILED,
    "canceled": State.FAILED,
}

_BY_OUTCOME: Mapping[Outcome, str] = {
    Outcome.WINDOW_CLOSED: "63016",
    Outcome.RATE_LIMITED: "20429 14107 63017 63018 30022 30023 30027 21611 30001 63038",
    Outcome.RETRYABLE: "20500 20503 30008 30017 63009 63010 63012 63019",
    Outcome.UNREACHABLE: """
        21610 21211 21214 21217 21612 21614 30003 30005 30006 63003 63014 63015 63024 63032 63033
        63035 63036
    """,
    Outcome.AUTH: """
        20003 20005 20006 20010 21212 21408 21603 21606 21607 21608 21701 21702 21703 21704 21705
        30002 30032 30034 63001 63002 63007 63008 63020 90010
    """,
    Outcome.CONTENT: """
        21602 21617 21620 21621 21623 21654 21655 21656 21658 30004 30007 30011 30019 63005 63006 63013
        63021 63026 63027 63028 63029 63030 63034 63037 63040 63041 63049 92002 92003 92004 92005
        92006 92007 92008
    """,
}
OUTCOMES: Mapping[str, Outcome] = {
    code: outcome for outcome, codes in _BY_OUTCOME.items() for code in codes.split()
}

DAY = 24 * 3600
WAITS: Mapping[str, float] = {"21611": 600, "30001": 600, "30023": DAY, "30027": DAY, "63038": DAY}
"""Seconds to wait where Twilio does not say: the sender's queue is full, the daily cap is reached."""

ONCE = frozenset({"30008", "63019"})
"""Nobody knows why, or our file could not be fetched: a second failure would not be the last."""

OPTED_OUT = frozenset({"21610"})
"""The person told the carrier or Twilio to stop: that is their word to us too."""
