"""The hint to the workers of `whatsapp_outbound`: a real worker hears it, and nothing waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.models import Membership
from channels_hub.fake_provider import FakeProvider
from channels_hub.fake_script import Callbacks
from channels_hub.models import ChannelAccount
from channels_twilio.worker import QUEUE, SEND
from conversations import bells, outbox, receipts, settling
from conversations.models import Conversation, Delivery
from tests import processes
from tests.faults.test_processes import NO_REDIS, wait_until

pytestmark = [pytest.mark.django_db(transaction=True)]
Make = Callable[..., Conversation]


@pytest.fixture
def fake(twilio_channel: ChannelAccount) -> Iterator[FakeProvider]:
    with FakeProvider(callbacks=Callbacks(statuses=())) as provider:
        twilio_channel.config = {**twilio_channel.config, "api_base": provider.url}
        twilio_channel.save(update_fields=["config"])
        yield provider


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tasks that are hinted at."""
    heard: list[str] = []
    monkeypatch.setattr(bells, "_ring", lambda kind, name: heard.append(name) if kind == "work" else None)
    return heard


def test_each_kind_of_channel_calls_its_own_workers(
    rung: list[str], make_conversation: Make, ana: Membership, phone_channel: ChannelAccount
) -> None:
    for channel, task in ((None, SEND), (phone_channel, outbox.DRAIN)):
        talk = make_conversation("human_handoff", agent=ana, channel=channel)
        rung.clear()
        message, _new = outbox.reply(talk.pk, agent=ana, text="oi")
        assert task in rung
        message.deliveries.update(status="failed")
        rung.clear()
        outbox.retry(message.pk, actor=ana)
        assert task in rung
    assert {SEND, outbox.DRAIN} & set(rung) == {outbox.DRAIN}


def test_what_frees_the_next_message_calls_them_too(
    rung: list[str], make_conversation: Make, ana: Membership, twilio_channel: ChannelAccount
) -> None:
    talk = make_conversation("human_handoff", agent=ana)
    message, _new = outbox.reply(talk.pk, agent=ana, text="oi")
    rows = Delivery.objects.filter(message=message)
    rows.update(status="processing", lease_until=message.created_at)
    rung.clear()
    settling.expire_leases()
    assert rung == [SEND]
    rung.clear()
    report = receipts.Report("SM1", receipts.State.SENT, message.created_at, str(rows.get().pk))
    receipts.apply_report(twilio_channel, report)
    assert SEND in rung


def test_nobody_waits_for_a_broker_that_does_not_answer(
    make_conversation: Make, ana: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Broker:
        def send_task(self, name: str, **_options: Any) -> None:
            asked.append(name)
            time.sleep(3)
            raise ConnectionError

    monkeypatch.setattr(bells, "current_app", Broker())
    talk = make_conversation("human_handoff", agent=ana)
    wait_until(lambda: bool(asked), 5)  # the ringing thread is held up from here on
    began = time.monotonic()
    outbox.reply(talk.pk, agent=ana, text="oi")
    assert time.monotonic() - began < 1
    assert Delivery.objects.get().status == "pending"


@pytest.mark.slow
def test_the_row_leaves_by_a_worker_of_the_queue(
    fake: FakeProvider, make_conversation: Make, ana: Membership, tmp_path: Path
) -> None:
    arguments = ["-m", "celery", "-A", "pytake", "worker", "-Q", QUEUE, "--pool=solo"]
    arguments += ["--without-gossip", "--without-mingle", "-l", "INFO"]
    allowed = fake.url.removeprefix("http://")
    log = tmp_path / "worker.log"
    talk = make_conversation("human_handoff", agent=ana)
    worker = processes.Process(arguments, log, PYTAKE_ALLOW_PRIVATE_HOSTS=allowed)
    with processes.running(worker):
        assert wait_until(lambda: " ready." in log.read_text(), 60)
        outbox.reply(talk.pk, agent=ana, text="pela fila")
        assert wait_until(lambda: Delivery.objects.get().status == "queued", 20), log.read_text()[-2000:]
    assert [request["body"] for request in fake.requests()] == ["pela fila"]
    assert SEND in log.read_text()


@pytest.mark.slow
def test_without_redis_the_poller_sends_it(
    fake: FakeProvider, twilio_channel: ChannelAccount, tmp_path: Path
) -> None:
    allowed = fake.url.removeprefix("http://")
    own = {"REDIS_URL": NO_REDIS, "PYTAKE_ALLOW_PRIVATE_HOSTS": allowed}
    settings = {"DJANGO_SETTINGS_MODULE": "pytake.settings"}
    poller = processes.poller(tmp_path / "poller.log", **own)
    arguments = ["-m", "django", "send_message", "acme", "+5511987654321", "sem Redis"]
    with processes.running(poller):
        writer = processes.Process(arguments, tmp_path / "writer.log", **own, **settings)
        assert writer.child is not None
        assert writer.child.wait(30) == 0, (tmp_path / "writer.log").read_text()
        assert wait_until(lambda: len(fake.requests()) == 1, 20), (tmp_path / "poller.log").read_text()
    assert Delivery.objects.get().status == "queued"
