"""What can be done with the phones: add one, write on it, take what the desk sends, confirm it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Max, Q
from django.utils import timezone

from channels_hub.models import ChannelAccount
from channels_hub.simulated import SimMessage, SimPhone
from channels_hub.simulator import platform, wire

MAX_PHONES = 12
KEPT = 200  # messages per phone
REPORTS_AT_ONCE = 20
TYPING = timedelta(seconds=25)
FIRST_PHONES = ("Mariana Souza", "João Pereira", "Beatriz Nunes")
State = SimMessage.State
LADDER = (State.SENT, State.DELIVERED, State.READ)


class TooMany(Exception):
    """The account has as many phones as fit on a page."""


class NothingToSay(ValueError):
    """A message needs a text, a choice, a place or a photo."""


# ------------------------------------------------------------------ phones
def add_phone(account: ChannelAccount, name: str) -> SimPhone:
    """A new phone with a number nobody else has. Raises TooMany."""
    with transaction.atomic():
        ChannelAccount.objects.select_for_update(no_key=True).get(pk=account.pk)
        taken = set(SimPhone.objects.filter(account=account).values_list("number", flat=True))
        if len(taken) >= MAX_PHONES:
            raise TooMany
        return SimPhone.objects.create(
            organization_id=account.organization_id,
            account=account,
            name=name or _free_name(account),
            number=_free_number(taken),
            created_at=timezone.now(),
        )


def _free_name(account: ChannelAccount) -> str:
    used = set(SimPhone.objects.filter(account=account).values_list("name", flat=True))
    free = [name for name in FIRST_PHONES if name not in used]
    return free[0] if free else f"{FIRST_PHONES[0]} {len(used) + 1}"


def _free_number(taken: set[str]) -> str:
    """A mobile of São Paulo: +55 11 9XXXX-XXXX."""
    while (number := f"+55119{secrets.randbelow(10**8):08d}") in taken:
        continue
    return number


def set_phone(phone_id: UUID, *, receives: bool, reads: bool, always_on: bool) -> None:
    SimPhone.objects.filter(pk=phone_id).update(
        receives=receives, reads=reads, always_on=always_on, revision=F("revision") + 1
    )


# ------------------------------------------------------------------ the customer writes
@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a customer puts into one message."""

    text: str = ""
    choice: Mapping[str, str] | None = None
    reply_to: str = ""
    location: Mapping[str, Any] | None = None
    photo: bytes | None = None
    photo_type: str = ""


def write(account: ChannelAccount, phone_id: UUID, written: Written) -> tuple[SimMessage, int]:
    """Put a message into the chat and tell the desk; the message and the status of the desk's answer.

    Raises NothingToSay, SimPhone.DoesNotExist.
    """
    if not (written.text or written.choice or written.location or written.photo):
        raise NothingToSay
    at = platform.clock(account)
    with transaction.atomic():
        phone = _locked(phone_id)
        message = _append(
            phone,
            is_mine=True,
            at=at,
            state=State.SENDING,
            text=written.text,
            choice=dict(written.choice) if written.choice else None,
            reply_to=written.reply_to,
            location=dict(written.location) if written.location else None,
            photo=written.photo,
            photo_type=written.photo_type,
        )
        phone.wrote_at = at
        _touch(phone, "wrote_at")
    status = wire.post(account, wire.message_event(account, phone, message))
    _settle(message, status)
    return message, status


def _settle(message: SimMessage, status: int) -> None:
    if 200 <= status < 300:
        message.state = State.SENT
    else:
        message.state, message.trouble = State.FAILED, f"http_{status}" if status else "no_answer"
    with transaction.atomic():
        _touch(_locked(message.phone_id))
        # Gone already when the phone was very busy: then there is nothing to settle.
        mine = SimMessage.objects.filter(pk=message.pk, state=State.SENDING)
        mine.update(state=message.state, trouble=message.trouble)


def option_of(phone: SimPhone, message_id: UUID, option_id: str) -> dict[str, str] | None:
    """The button or list row that the customer taps; None when the desk never offered it."""
    offered = phone.messages.filter(pk=message_id, is_mine=False).first()
    if offered is None:
        return None
    kind = "list" if is_list(offered) else "button"
    titles = {option["id"]: option["title"] for option in offered.options}
    return {"id": option_id, "title": titles[option_id], "kind": kind} if option_id in titles else None


def is_list(message: SimMessage) -> bool:
    """More than three answers open as a list, as on WhatsApp."""
    return message.options_style == "list" or len(message.options) > 3


# ------------------------------------------------------------------ the desk writes
def take(account: ChannelAccount, phone_id: UUID, payload: Mapping[str, Any], failure: str) -> SimMessage:
    """Store what the desk sent to a phone. The same reference again gives the first message."""
    ref = str(payload.get("client_ref") or "")[:64]
    with transaction.atomic():
        phone = _locked(phone_id)
        if ref and (known := phone.messages.filter(client_ref=ref).first()):
            return known
        broken = failure == platform.Failure.UNDELIVERABLE
        # Who got no answer does not know the message: it hears of it by the first report.
        unheard = failure == platform.Failure.LOST
        message = _append(
            phone,
            is_mine=False,
            at=platform.clock(account),
            client_ref=ref,
            state=State.FAILED if broken else State.SENT,
            reported="" if unheard else State.SENT,
            trouble="undeliverable" if broken else "",
            **_content(payload),
        )
        phone.typing_until = None
        _touch(phone, "typing_until")
    return message


def _content(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "text": str(payload.get("text") or ""),
        "media": _named(payload.get("media"), "kind", "mime", "filename", "url"),
        "options": _named(payload.get("options"), "id", "title", "description"),
        "options_style": str(payload.get("options_style") or "")[:16],
        "location": payload.get("location") if isinstance(payload.get("location"), dict) else None,
        "reply_to": str(payload.get("reply_to") or "")[:64],
    }


def _named(listed: Any, *names: str) -> list[dict[str, str]]:
    """Only the named texts of each entry."""
    entries = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [{name: str(one.get(name) or "") for name in names} for one in entries]


def show_signal(phone_id: UUID, what: str) -> None:
    """The desk types, or has read everything this customer wrote."""
    with transaction.atomic():
        phone = _locked(phone_id)
        if what == "typing":
            phone.typing_until = timezone.now() + TYPING
        else:
            phone.messages.filter(is_mine=True, state=State.SENT).update(state=State.READ)
        _touch(phone, "typing_until")


# ------------------------------------------------------------------ confirmations
def confirm_all(account: ChannelAccount, focused: UUID | None) -> None:
    """Confirm on every phone that has something to confirm; `focused` is the one being looked at."""
    theirs = SimMessage.objects.filter(phone__account=account, is_mine=False)
    waiting = theirs.filter(
        ~Q(state=F("reported"))
        | Q(state=State.SENT, phone__receives=True)
        | Q(state=State.DELIVERED, phone__reads=True, phone_id=focused)
    )
    for phone_id in set(waiting.order_by().values_list("phone_id", flat=True)):
        confirm(account, phone_id, is_seen=phone_id == focused)


def confirm(account: ChannelAccount, phone_id: UUID, *, is_seen: bool) -> None:
    """Mark what arrived on a phone that is switched on, and what its owner looks at; tell the desk."""
    with transaction.atomic():
        phone = _locked(phone_id)
        theirs = phone.messages.filter(is_mine=False)
        changed = 0
        if phone.receives:
            changed += theirs.filter(state=State.SENT).update(state=State.DELIVERED)
        if phone.reads and is_seen:
            changed += theirs.filter(state=State.DELIVERED).update(state=State.READ)
        if changed:
            _touch(phone)
        waiting = list(theirs.exclude(state=F("reported")).defer("photo")[:REPORTS_AT_ONCE])
    report(account, phone, waiting)


def report(account: ChannelAccount, phone: SimPhone, messages: Sequence[SimMessage]) -> None:
    """Send the states that the desk was not told yet, step by step; what fails is told at the next poll."""
    at = platform.clock(account)
    for message in messages:
        for state in steps(message):
            status = wire.post(account, wire.status_event(phone, message, state, at))
            if not 200 <= status < 300:
                break
            SimMessage.objects.filter(pk=message.pk).update(reported=state)


def steps(message: SimMessage) -> tuple[str, ...]:
    """The states between what the desk knows and what is."""
    if message.state == State.FAILED:
        return (State.FAILED,)
    known = LADDER.index(State(message.reported)) + 1 if message.reported in LADDER else 0
    return LADDER[known : LADDER.index(State(message.state)) + 1]


# ------------------------------------------------------------------ storage
def _locked(phone_id: UUID) -> SimPhone:
    return SimPhone.objects.select_for_update(no_key=True).get(pk=phone_id)


def _append(phone: SimPhone, **fields: Any) -> SimMessage:
    """The next bubble; the oldest ones leave."""
    last = phone.messages.aggregate(last=Max("place"))["last"] or 0
    message = SimMessage.objects.create(
        organization_id=phone.organization_id,
        phone=phone,
        place=last + 1,
        created_at=timezone.now(),
        **fields,
    )
    phone.messages.filter(place__lte=message.place - KEPT).delete()
    return message


def _touch(phone: SimPhone, *fields: str) -> None:
    """Pages look at the revision to see that something changed."""
    phone.revision += 1
    phone.save(update_fields=["revision", *fields])
