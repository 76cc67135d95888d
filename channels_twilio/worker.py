"""The worker behind the Celery queue `whatsapp_outbound`: a hint that something of Twilio's is to be sent."""

from __future__ import annotations

from celery import Task

QUEUE = "whatsapp_outbound"
SEND = "channels_twilio.tasks.send_outbound"
DRAIN = "conversations.tasks.drain_outbox"  # by name: adapters know nothing of conversations


class TwilioOutboundWorker(Task):
    """Sends nothing itself: it drains the one outbox, here and now, as every other hint does."""

    abstract = True
    queue = QUEUE
    ignore_result = True

    def drain(self) -> None:
        self.app.tasks[DRAIN].run()
