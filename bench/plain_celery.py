"""What the outbox is measured against: a Celery task per message, its row read and written by the ORM."""

from __future__ import annotations

import django
import requests
from celery import Celery

django.setup()

from django.conf import settings  # noqa: E402
from django_scopes import scopes_disabled  # noqa: E402

from conversations.models import Delivery  # noqa: E402

app = Celery("plain", broker=settings.CELERY_BROKER_URL)
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=4)
session = requests.Session()
session.trust_env = False
session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=64))


@app.task(name="bench.send")
def send(pk: str) -> None:
    with scopes_disabled():
        delivery = Delivery.objects.select_related("message", "channel").get(pk=pk)
        form = {"To": "whatsapp:+5511", "Body": delivery.message.text}
        answer = session.post(f"{delivery.channel.config['api_base']}/Messages.json", data=form, timeout=20)
        delivery.provider_id, delivery.status = answer.json()["sid"], "queued"
        delivery.save(update_fields=["provider_id", "status"])
