"""Every background job of this app."""

from __future__ import annotations

from celery import shared_task

from channels_twilio.worker import TwilioOutboundWorker


@shared_task(bind=True, base=TwilioOutboundWorker)
def send_outbound(self: TwilioOutboundWorker) -> None:
    self.drain()
