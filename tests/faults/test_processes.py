"""Real processes, really killed: nothing acknowledged is lost, nothing is sent twice, Redis may be away."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from django.utils import timezone

from accounts.models import Membership
from channels_hub.fake_provider import FakeProvider
from channels_hub.fake_script import Callbacks
from channels_hub.models import ChannelAccount, InboundEvent
from conversations import outbox, sending, settling
from conversations.invariants import findings
from conversations.models import Conversation, Delivery, Message
from tests import processes, twilio

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

NO_REDIS = "redis://127.0.0.1:1/0"


def wait_until(true: Callable[[], bool], seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.1)
    return False


def post(url: str, channel: ChannelAccount, fields: dict[str, str]) -> int:
    """One signed webhook to a real server; 0 when nobody answered."""
    path = f"{url}/webhooks/twilio/{channel.public_id}/inbound"
    try:
        return requests.post(
            path, fields, headers={"X-Twilio-Signature": twilio.signature(path, fields)}, timeout=5
        ).status_code
    except requests.RequestException:
        return 0


def test_with_redis_away_webhooks_are_taken_and_work_goes_on(
    twilio_channel: ChannelAccount, tmp_path: Path
) -> None:
    with (
        processes.Nursery(tmp_path, REDIS_URL=NO_REDIS) as desk,
        processes.running(desk.web(), desk.poller()),
    ):
        url = desk.url
        processes.wait_for_page(f"{url}/healthz")
        took = []
        for number in range(20):
            began = time.monotonic()
            assert post(url, twilio_channel, twilio.form(f"m{number}")) == 200
            took.append(time.monotonic() - began)
        assert wait_until(lambda: Message.objects.count() == 20)
        assert sorted(took)[-2] < 1.0, "a webhook waited for Redis"


def test_nothing_acknowledged_is_lost_when_web_and_poller_are_killed(
    twilio_channel: ChannelAccount, tmp_path: Path
) -> None:
    acknowledged: set[str] = set()
    patience = time.monotonic() + 80
    sent = [twilio.form(f"m{n}", sender=f"+55119{80000000 + n % 7}") for n in range(120)]

    def client(share: list[dict[str, str]]) -> None:
        for fields in share:  # a platform repeats what was not answered with 2xx
            while time.monotonic() < patience:
                if post(desk.url, twilio_channel, fields) == 200:
                    acknowledged.add(fields["MessageSid"])
                    break
                time.sleep(0.2)

    with (
        processes.Nursery(tmp_path) as desk,
        processes.running(web := desk.web(), poller := desk.poller()),
    ):
        processes.wait_for_page(f"{desk.url}/healthz")
        clients = [threading.Thread(target=client, args=(sent[n::4],)) for n in range(4)]
        for thread in clients:
            thread.start()
        for _ in range(3):
            time.sleep(random.uniform(0.2, 0.6))
            victim = random.choice([web, poller])
            victim.kill()
            victim.start()
        for thread in clients:
            thread.join(90)
        assert acknowledged == {fields["MessageSid"] for fields in sent}
        assert wait_until(lambda: not InboundEvent.objects.filter(state="new").exists(), 60)
    stored = Message.objects.filter(direction="in").values_list("provider_id", flat=True)
    assert sorted(stored) == sorted(acknowledged)
    assert list(findings()) == []


def test_a_sender_killed_in_mid_call_never_sends_twice(
    twilio_channel: ChannelAccount, make_conversation: Any, ana: Membership, tmp_path: Path
) -> None:
    with FakeProvider(callbacks=Callbacks(statuses=())) as fake:
        allowed = fake.url.removeprefix("http://")
        twilio_channel.config = {**twilio_channel.config, "api_base": fake.url}
        twilio_channel.save(update_fields=["config"])
        fake.script([], then="delay:0.3")
        ana.agent.capacity = 50
        ana.agent.save(update_fields=["capacity"])
        talks = [make_conversation("human_handoff", agent=ana) for _ in range(8)]
        for talk in talks:
            for number in range(3):
                outbox.reply(talk.pk, agent=ana, text=f"{talk.pk}:{number}")
        with (
            processes.Nursery(tmp_path, allowed) as desk,
            processes.running(poller := desk.poller()),
        ):
            for _ in range(4):
                known = len(fake.requests())
                wait_until(lambda known=known: len(fake.requests()) > known + 1, 10)
                poller.kill()
                Delivery.objects.filter(status="processing").update(lease_until=timezone.now())
                settling.expire_leases()
                Delivery.objects.filter(status="unknown").update(
                    settled_at=timezone.now() - sending.UNKNOWN_HOLDS
                )
                poller.start()
            assert wait_until(
                lambda: (
                    not Delivery.objects.filter(status__in=["pending", "retrying", "processing"]).exists()
                ),
                60,
            )
        bodies = [request["body"] for request in fake.requests() if request["taken"]]
        unknown = set(Message.objects.filter(status="unknown").values_list("text", flat=True))
        assert len(bodies) == len(set(bodies)), "the provider took a message twice"
        assert set(bodies) | unknown == set(
            Message.objects.filter(direction="out", sender="agent").values_list("text", flat=True)
        )
        for talk in talks:
            mine = [body for body in bodies if body.startswith(str(talk.pk))]
            assert mine == sorted(mine), "messages of one conversation overtook each other"
        assert Conversation.objects.filter(state="human_handoff").count() == 8
