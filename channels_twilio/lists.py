"""Reading Twilio's Messages list: what we surely sent, and what customers wrote and no webhook told."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

from channels_hub.contract import Delivery, HttpResponse, NotSent, OutMessage, RawRequest, State
from channels_twilio.codes import STATES

MOST_PAGES = 50  # of 200: a bound against a list that never ends
LISTED_AT = "DateCreated"  # our name for the time of a listed message; Twilio's webhooks have none
Row = Mapping[str, Any]


def answered(answer: HttpResponse) -> Row:
    """The answer's object. Raises NotSent for anything but a good one."""
    listed = answer.json()
    if answer.status != 200 or not isinstance(listed, Mapping):
        raise NotSent(f"the list answered {answer.status}")
    return listed


def not_before(since: datetime) -> dict[str, str]:
    """The filter of the list; it knows whole days of UTC only."""
    return {"DateSent>": since.astimezone(UTC).date().isoformat()}


def made(row: Row) -> datetime | None:
    """When a listed message was made. Twilio's times are whole seconds."""
    return _moment(str(row.get("date_created") or row.get("date_sent") or ""))


def made_at(form: Mapping[str, str]) -> datetime | None:
    """When the message of a webhook made by `as_webhook` came; None for Twilio's own."""
    return _moment(form.get(LISTED_AT, ""))


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# ------------------------------------------------------------------ what we sent
def sent_like(
    rows: Sequence[Row], part: OutMessage, since: datetime, known: Collection[str]
) -> Delivery | None:
    """The oldest listed message of ours with this content; `known` ids belong to other messages."""
    for row in reversed(rows):
        moment = made(row)
        if moment is None or moment < since.replace(microsecond=0) or _incoming(row):
            continue  # a message without a time is no evidence
        if row.get("sid") not in known and _same(row, part):
            state = STATES.get(str(row.get("status")), State.QUEUED)
            code, detail = str(row.get("error_code") or ""), str(row.get("error_message") or "")
            return Delivery(str(row["sid"]), state, moment, part.client_ref, code, detail[:300])
    return None


def _same(row: Row, part: OutMessage) -> bool:
    if int(row.get("num_media") or 0) != len(part.media):
        return False
    expected = part.text or (part.location[2] if part.location else "")
    # A template's text is compared with its variables filled in, and those hold no line breaks.
    return bool(expected or part.media) and _words(str(row.get("body") or "")) == _words(expected)


def _words(text: str) -> list[str]:
    return text.split()


def _incoming(row: Row) -> bool:
    return str(row.get("direction", "")).startswith("inbound")


# ------------------------------------------------------------------ what customers wrote
def received(rows: Sequence[Row], since: datetime) -> Iterator[Row]:
    """Messages to us since then, the oldest of the page first."""
    for row in reversed(rows):
        moment = made(row)
        if _incoming(row) and row.get("sid") and moment and moment >= since:
            yield row


def as_webhook(row: Row, files: Sequence[tuple[str, str]], url: str) -> RawRequest:
    """The call that Twilio would have made, as far as the list tells."""
    form = {
        "MessageSid": row["sid"],
        "AccountSid": row.get("account_sid") or "",
        "From": row.get("from") or "",
        "To": row.get("to") or "",
        "Body": row.get("body") or "",
        "NumMedia": str(len(files)),
        LISTED_AT: row.get("date_created") or row.get("date_sent") or "",
    }
    if service := row.get("messaging_service_sid"):
        form["MessagingServiceSid"] = service
    for index, (address, mime) in enumerate(files):
        form |= {f"MediaUrl{index}": address, f"MediaContentType{index}": mime}
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return RawRequest("POST", url, headers, urlencode(form).encode())
