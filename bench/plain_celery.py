"""What the outbox is measured against: a Celery task per message, its row read and written by the ORM."""

from __future__ import annotations

import django
import requests
from celery import Celery
from django.apps import apps
from django.conf import settings
from django_scopes import scopes_disabled

django.setup()
app = Celery("plain", broker=settings.CELERY_BROKER_URL)
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=4)
session = requests.Session()
session.trust_env = False
session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=64))


@app.task(name="bench.send")
def send(pk: str) -> None:
    deliveries = apps.get_model("conversations.Delivery").objects
    with scopes_disabled():
        delivery = deliveries.select_related("message", "channel").get(pk=pk)
        form = {"To": "whatsapp:+5511", "Body": delivery.message.text}
        answer = session.post(f"{delivery.channel.config['api_base']}/Messages.json", data=form, timeout=20)
        delivery.provider_id, delivery.status = answer.json()["sid"], "queued"
        delivery.save(update_fields=["provider_id", "status"])
