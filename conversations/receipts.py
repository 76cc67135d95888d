"""What platforms tell of our messages: every report is kept, the status only rises.

It rises within one try, for each try is a message of its own at the platform. A failure that is told late and
that another try may mend (the platform says that nothing was delivered) puts the row back into the outbox, at
most once for each of the platform's messages: the receipts say which of them have failed. From then on that
try is over; only proof that it was delivered after all still counts.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from channels_hub.contract import Adapter, Outcome, State, merge_state
from channels_hub.contract import Delivery as Report
from channels_hub.models import ChannelAccount
from channels_hub.registry import adapter_for
from contacts.models import Identity
from conversations import outbox, pacing, settling
from conversations.models import Conversation, Delivery, Receipt
from conversations.moves import database_now, writing
from conversations.settling import SETTLED

HANDED = (State.PROCESSING, State.UNKNOWN, State.QUEUED, State.SENT)
PROOF = (State.DELIVERED, State.READ)
MENDABLE = (Outcome.RETRYABLE, Outcome.RATE_LIMITED)


class UnknownDelivery(LookupError):
    """A status for a message we do not know (yet): it is parked and tried again."""


def apply_report(channel: ChannelAccount, report: Report) -> None:
    """Take in a status from the platform: by our reference first, then by its id. It only ever rises.

    Raises UnknownDelivery.
    """
    adapter, delivery = adapter_for(channel), _find(channel, report)
    with writing(delivery.conversation_id, cause="status") as conversation:
        delivery = (
            Delivery.objects.select_for_update(no_key=True).select_related("message").get(pk=delivery.pk)
        )
        before, now = delivery.status, database_now()
        told = {"message": str(delivery.message_id)}
        if not _is_over(delivery, report):
            if _try_again(delivery, adapter, report, now):
                conversation.log("message_retried", told | {"code": report.code})
            else:
                _rise(delivery, report, now)
                if delivery.status == State.FAILED == report.state:
                    _note_person(adapter, report, conversation)
            delivery.save(update_fields=[*SETTLED, "attempt_id"])
        _keep(delivery, report)
        if delivery.status == before:
            conversation.log("status_kept", told | {"status": str(report.state)})
        outbox.refresh_status(conversation, delivery.message, at=report.at)
    outbox.wake_senders(channel)


def _is_over(delivery: Delivery, report: Report) -> bool:
    """Whether it tells of an earlier try: that one failed, or this row waits for its next."""
    if report.state == State.FAILED and delivery.status in outbox.NOT_HANDED:
        return True
    if report.state in PROOF or report.provider_id in ("", delivery.provider_id):
        return False
    return delivery.receipts.filter(provider_id=report.provider_id, state=State.FAILED).exists()


def _rise(delivery: Delivery, report: Report, now: datetime) -> None:
    before = delivery.status
    delivery.status = merge_state(State(before), report.state)
    delivery.provider_id = delivery.provider_id or report.provider_id
    if delivery.status == State.FAILED and report.state == State.FAILED:
        delivery.error_code, delivery.error_detail = (report.code or "failed")[:40], report.detail[:300]
    elif delivery.status != before:
        delivery.error_code = delivery.error_detail = ""
    delivery.lease_until = None if delivery.status != State.PROCESSING else delivery.lease_until
    delivery.settled_at = delivery.settled_at or now


def _try_again(delivery: Delivery, adapter: Adapter, report: Report, now: datetime) -> bool:
    """Back into the outbox after a failure that another try may mend; whether it goes there.

    A retry counts as it does after a refused call, and none is made that would come too late.
    """
    outcome = adapter.outcome_of(report.code)
    if report.state != State.FAILED or outcome not in MENDABLE or not report.provider_id:
        return False
    if delivery.status not in HANDED:
        return False
    wait = adapter.wait_of(report.code)
    due_at = now + settling.backoff(delivery, wait)
    most = min(delivery.max_retries, 1) if report.code in adapter.once_codes else delivery.max_retries
    if delivery.attempts > most or (delivery.expires_at and due_at >= delivery.expires_at):
        return False
    delivery.status, delivery.due_at, delivery.settled_at = State.RETRYING, due_at, None
    # The answer of the call may still be on its way: it is no longer this row's.
    delivery.attempt_id, delivery.lease_until, delivery.provider_id = None, None, ""
    delivery.error_code, delivery.error_detail = report.code[:40], report.detail[:300]
    if outcome is Outcome.RATE_LIMITED:
        rest = timedelta(seconds=wait) if wait else settling.RATE_REST
        pacing.rest(delivery.channel_id, now + rest, "rate_limited")
    return True


def _note_person(adapter: Adapter, report: Report, conversation: Conversation) -> None:
    """A failure that tells of the person: out of reach, or wants to hear no more."""
    if adapter.outcome_of(report.code) is Outcome.UNREACHABLE:
        Identity.objects.filter(pk=conversation.identity_id).update(unreachable_at=database_now())
    settling.note_opt_out(adapter, report.code, conversation)


def _keep(delivery: Delivery, report: Report) -> None:
    Receipt.objects.create(
        organization_id=delivery.organization_id,
        delivery=delivery,
        provider_id=report.provider_id[:255],
        state=report.state,
        code=report.code[:40],
        detail=report.detail[:300],
        at=report.at,
    )


def _find(channel: ChannelAccount, report: Report) -> Delivery:
    rows = Delivery.objects.filter(channel=channel)
    try:
        if report.client_ref and (found := rows.filter(pk=UUID(report.client_ref)).first()):
            return found
    except ValueError:
        pass  # somebody else's reference: the platform's id may still tell
    if report.provider_id and (found := rows.filter(provider_id=report.provider_id).first()):
        return found
    raise UnknownDelivery(report.provider_id)
