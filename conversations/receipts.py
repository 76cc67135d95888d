"""What platforms tell of our messages: every report is kept, the status only rises."""

from __future__ import annotations

from uuid import UUID

from channels_hub.contract import Delivery as Report
from channels_hub.contract import Outcome, State, merge_state
from channels_hub.models import ChannelAccount
from channels_hub.registry import adapter_for
from contacts.models import Identity
from conversations import bells, outbox, settling
from conversations.models import Conversation, Delivery, Receipt
from conversations.moves import database_now, writing
from conversations.settling import SETTLED


class UnknownDelivery(LookupError):
    """A status for a message we do not know (yet): it is parked and tried again."""


def apply_report(channel: ChannelAccount, report: Report) -> None:
    """Take in a status from the platform: by our reference first, then by its id. It only ever rises.

    Raises UnknownDelivery.
    """
    delivery = _find(channel, report)
    with writing(delivery.conversation_id, cause="status") as conversation:
        delivery = (
            Delivery.objects.select_for_update(no_key=True).select_related("message").get(pk=delivery.pk)
        )
        before = delivery.status
        delivery.status = merge_state(State(before), report.state)
        delivery.provider_id = delivery.provider_id or report.provider_id
        if delivery.status == State.FAILED and report.state == State.FAILED:
            delivery.error_code, delivery.error_detail = (report.code or "failed")[:40], report.detail[:300]
            _note_person(channel, report, conversation)
        elif delivery.status != before:
            delivery.error_code = delivery.error_detail = ""
        delivery.lease_until = None if delivery.status != State.PROCESSING else delivery.lease_until
        delivery.settled_at = delivery.settled_at or database_now()
        delivery.save(update_fields=SETTLED)
        _keep(delivery, report)
        if delivery.status == before:
            conversation.log(
                "status_kept", {"message": str(delivery.message_id), "status": str(report.state)}
            )
        outbox.refresh_status(conversation, delivery.message, at=report.at)
    bells.wake_workers(outbox.DRAIN)


def _note_person(channel: ChannelAccount, report: Report, conversation: Conversation) -> None:
    """A failure that tells of the person: out of reach, or wants to hear no more."""
    adapter = adapter_for(channel)
    if adapter.outcome_of(report.code) is Outcome.UNREACHABLE:
        Identity.objects.filter(pk=conversation.identity_id).update(unreachable_at=database_now())
    settling.note_opt_out(adapter, report.code, conversation)


def _keep(delivery: Delivery, report: Report) -> None:
    Receipt.objects.create(
        organization_id=delivery.organization_id,
        delivery=delivery,
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
