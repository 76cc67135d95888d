"""`/metrics`: who may read it, what it counts, and that it names nobody."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Membership
from channels_hub.models import ChannelAccount
from conversations import outbox
from conversations.models import Attempt, Delivery

pytestmark = pytest.mark.django_db
Make = Callable[..., Any]
LINE = re.compile(r'^pytake_[a-z0-9_]+(\{([a-z]+="[^"]*",?)*\})? -?[0-9.e+-]+$')


def figures(**headers: str) -> dict[str, float]:
    answer = Client().get("/metrics", headers=headers)
    assert answer.status_code == 200
    lines = [line for line in answer.content.decode().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not LINE.match(line)] == []
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_this_machine_reads_and_nobody_else() -> None:
    assert Client().get("/metrics").status_code == 200
    assert Client(REMOTE_ADDR="203.0.113.9").get("/metrics").status_code == 403
    assert Client(REMOTE_ADDR="").get("/metrics").status_code == 403
    assert Client().get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 403


@pytest.mark.parametrize(
    ("given", "status"), [("", 403), ("Bearer wrong", 403), ("Bearer é", 403), ("Bearer s3", 200)]
)
def test_with_a_token_only_who_shows_it(settings: Any, given: str, status: int) -> None:
    settings.PYTAKE_METRICS_TOKEN = "s3"

    answer = Client(REMOTE_ADDR="203.0.113.9").get("/metrics", headers={"Authorization": given})

    assert answer.status_code == status


def test_what_waits_is_counted_by_channel_and_state(
    make_conversation: Make, ana: Membership, twilio_channel: ChannelAccount
) -> None:
    talk = make_conversation("human_handoff", agent=ana)
    for text in ("a", "b"):
        outbox.reply(talk.pk, agent=ana, text=text)
    Delivery.objects.filter(message__text="a").update(due_at=timezone.now() - timedelta(minutes=2))

    found = figures()

    here = f'channel="{twilio_channel.pk}"'
    assert found[f'pytake_outbox_deliveries{{{here},state="pending"}}'] == 2
    assert 119 < found[f'pytake_outbox_oldest_seconds{{{here},state="pending"}}'] < 180
    assert found[f'pytake_channel_rests{{{here},kind="twilio_whatsapp"}}'] == 0
    assert found["pytake_sockets"] == 0


def test_calls_are_counted_by_outcome_and_their_times_add_up(
    make_conversation: Make, ana: Membership, twilio_channel: ChannelAccount
) -> None:
    talk = make_conversation("human_handoff", agent=ana)
    message, _new = outbox.reply(talk.pk, agent=ana, text="a")
    now = timezone.now()
    for number, (milliseconds, ago) in enumerate([(80, 1), (300, 1), (30_000, 1), (50, 600)]):
        Attempt.objects.create(
            organization_id=talk.organization_id, delivery=message.deliveries.get(), channel=twilio_channel,
            number=number, started_at=now, ended_at=now - timedelta(seconds=ago), outcome="accepted",
            milliseconds=milliseconds,
        )  # fmt: skip

    found = figures()

    here = f'channel="{twilio_channel.pk}"'
    bucket = {
        top: found[f'pytake_attempt_seconds_5m_bucket{{{here},le="{top}"}}']
        for top in ("0.1", "0.25", "0.5", "20", "+Inf")
    }
    assert found[f'pytake_attempts_5m{{{here},outcome="accepted"}}'] == 3
    assert bucket == {"0.1": 1, "0.25": 1, "0.5": 2, "20": 2, "+Inf": 3}
    assert found[f"pytake_attempt_seconds_5m_sum{{{here}}}"] == pytest.approx(30.38, abs=0.01)


def test_it_names_nobody_and_costs_the_same_every_day(make_conversation: Make, ana: Membership) -> None:
    costs = []
    for _ in range(2):
        for _more in range(2):
            talk = make_conversation("human_handoff", agent=ana)
            outbox.reply(talk.pk, agent=ana, text="Segredo")
        with CaptureQueriesContext(connection) as queries:
            text = Client().get("/metrics").content.decode()
        costs.append(len(queries))

    assert costs[0] == costs[1]
    assert not [word for word in ("Mariana", "Segredo", "+55", "WhatsApp", "acme", "ana") if word in text]
