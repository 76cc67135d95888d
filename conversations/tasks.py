"""Every background job of this app. Each is a hint: it drains rows, and may run twice or for nothing."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from channels_hub import templates
from conversations import (
    attendance,
    clockwork,
    composing,
    hook_calls,
    housekeeping,
    intake,
    laters,
    overflows,
    reconcile,
    repair,
    router,
    sending,
    settling,
    sla,
)


@shared_task(ignore_result=True)
def drain_inbox() -> None:
    intake.drain()


@shared_task(ignore_result=True)
def drain_outbox() -> None:
    sending.drain()


@shared_task(ignore_result=True)
def drain_deadlines() -> None:
    clockwork.drain_deadlines()


@shared_task(ignore_result=True)
def route() -> None:
    router.drain()


@shared_task(ignore_result=True)
def fetch_media() -> None:
    intake.fetch_media()


@shared_task(ignore_result=True)
def deliver_webhooks() -> None:
    hook_calls.drain()


@shared_task(ignore_result=True, expires=20)
def show_typing(conversation_id: str) -> None:
    composing.show(UUID(conversation_id))


@shared_task(ignore_result=True)
def fetch_templates() -> None:
    """Each hour: what the platforms say of our templates."""
    templates.sync_all()


@shared_task(ignore_result=True)
def sweep() -> None:
    """Beat's tick: what a lost hint or a dead worker left behind."""
    settling.expire_leases()
    intake.drain()
    clockwork.drain_deadlines()
    attendance.sweep()
    router.sweep()
    laters.release_due()
    sending.drain()
    intake.fetch_media()


@shared_task(ignore_result=True)
def seek_evidence() -> None:
    """Twice a minute: messages that no webhook told of, and what nobody confirmed."""
    reconcile.sweep()


@shared_task(ignore_result=True)
def mend() -> None:
    """Each minute: what stands where nothing would ever move it, and clocks that rules changed."""
    repair.sweep()
    overflows.sweep()
    sla.review()


@shared_task(ignore_result=True)
def housekeep() -> None:
    housekeeping.drop_old_raw_bodies()
