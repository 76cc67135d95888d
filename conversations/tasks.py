"""Every background job of this app. Each is a hint: it drains rows, and may run twice or for nothing."""

from __future__ import annotations

from celery import shared_task

from conversations import attendance, clockwork, housekeeping, intake, overflows, repair, router, sending, sla


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
def sweep() -> None:
    """Beat's tick: what a lost hint or a dead worker left behind."""
    sending.expire_leases()
    intake.drain()
    clockwork.drain_deadlines()
    attendance.sweep()
    router.sweep()
    sending.drain()
    intake.fetch_media()


@shared_task(ignore_result=True)
def mend() -> None:
    """Each minute: what stands where nothing would ever move it, and clocks that rules changed."""
    repair.sweep()
    overflows.sweep()
    sla.review()


@shared_task(ignore_result=True)
def housekeep() -> None:
    housekeeping.drop_old_raw_bodies()
