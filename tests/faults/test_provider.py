"""What each fault of a provider leads to, over real HTTP: tried again politely, or never by the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership
from bench.chaos import kit
from bench.kit import free_port
from channels_hub.fake_provider import FakeProvider
from channels_hub.fake_script import Callbacks
from channels_hub.http import Client
from channels_hub.models import ChannelAccount
from conversations import outbox, sending
from conversations.models import Attempt, Conversation, Delivery, Message, Pace

pytestmark = pytest.mark.django_db(transaction=True)

MESSAGES = 6  # to as many people
DELAY = 5.0  # retry_delay of a message
SURELY_NOT_SENT = ("503", "refused", "no such name", "no TLS")
PERHAPS_SENT: dict[str, Any] = {
    "read time-out": {"delay": 0.6, "accept": False},
    "200 after we gave up": "delay:0.6",
    "reset before it was read": "drop_before",
    "reset after it was read": "drop_after",
    "half an answer": "half",
}


@pytest.fixture
def fake(twilio_channel: ChannelAccount, settings: Any) -> Iterator[FakeProvider]:
    with FakeProvider(callbacks=Callbacks(statuses=())) as provider:
        settings.PYTAKE_ALLOW_PRIVATE_HOSTS = [provider.url.removeprefix("http://")]
        lead_to(twilio_channel, provider.url)
        yield provider


def lead_to(channel: ChannelAccount, url: str) -> None:
    channel.config = {**channel.config, "api_base": url}
    channel.save(update_fields=["config"])


def breaks(kind: str, fake: FakeProvider, channel: ChannelAccount, settings: Any) -> None:
    closed = f"127.0.0.1:{free_port()}"
    settings.PYTAKE_ALLOW_PRIVATE_HOSTS = [*settings.PYTAKE_ALLOW_PRIVATE_HOSTS, closed]
    fake.script([], then="503")
    places = {
        "503": fake.url,
        "refused": f"http://{closed}",
        "no such name": "http://nowhere.invalid",
        "no TLS": fake.url.replace("http:", "https:"),
    }
    lead_to(channel, places[kind])


@pytest.fixture
def texts(make_conversation: Callable[..., Conversation], ana: Membership) -> list[str]:
    """Replies that wait, each to somebody else."""
    ana.agent.capacity = MESSAGES
    ana.agent.save(update_fields=["capacity"])
    talks = [make_conversation("human_handoff", agent=ana) for _n in range(MESSAGES)]
    return [outbox.reply(talk.pk, agent=ana, text=f"Resposta {n}")[0].text for n, talk in enumerate(talks)]


def a_round() -> list[float]:
    """Everything is due now and the channel does not rest; the seconds that each row then waits."""
    Delivery.objects.filter(status="retrying").update(due_at=timezone.now())
    Pace.objects.update(failures=0, rests_until=None)
    sending.drain(threads=MESSAGES, limit=MESSAGES)
    ended = dict(Attempt.objects.order_by("number").values_list("delivery_id", "ended_at"))
    return [
        (row.due_at - ended[row.pk]).total_seconds() for row in Delivery.objects.filter(status="retrying")
    ]


def statuses() -> set[str]:
    return set(Message.objects.filter(direction="out").values_list("status", flat=True))


@pytest.mark.parametrize("kind", SURELY_NOT_SENT)
def test_what_was_surely_not_sent_is_tried_again_with_full_jitter_and_arrives_once(
    kind: str, fake: FakeProvider, twilio_channel: ChannelAccount, texts: list[str], settings: Any
) -> None:
    breaks(kind, fake, twilio_channel, settings)
    for number in range(3):
        waits = a_round()
        longest = DELAY * 2**number
        assert len(waits) == MESSAGES
        assert all(0 <= wait <= longest for wait in waits)
        assert max(waits) - min(waits) > longest / 20, "all at once is no jitter"
    assert Attempt.objects.count() == 3 * MESSAGES
    fake.script()
    lead_to(twilio_channel, fake.url)
    assert a_round() == []
    assert sorted(one["body"] for one in fake.requests() if one["taken"]) == texts
    assert statuses() == {"queued"}


def test_too_fast_waits_as_long_as_the_platform_says_each_time_and_burns_no_attempt(
    fake: FakeProvider, texts: list[str]
) -> None:
    fake.script([], then={"status": 429, "retry_after": 40})
    for number in range(1, 7):
        assert a_round() == [40.0] * MESSAGES
        rests = Pace.objects.get().rests_until - timezone.now()
        assert timedelta(seconds=35) < rests <= timedelta(seconds=40)
        assert sending.drain() == 0
        assert len(fake.requests()) == number * MESSAGES
    assert set(Delivery.objects.values_list("attempts", flat=True)) == {0}


@pytest.mark.parametrize("kind", PERHAPS_SENT)
def test_what_was_perhaps_sent_is_unconfirmed_and_never_sent_again(
    kind: str, fake: FakeProvider, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(Client.request.__kwdefaults__, "read_seconds", 0.2)
    fake.script([PERHAPS_SENT[kind]] * MESSAGES)
    assert a_round() == []
    assert statuses() == {"unknown"}
    long_ago = timezone.now() - timedelta(hours=1)
    Delivery.objects.update(settled_at=long_ago, due_at=long_ago)
    assert a_round() == []
    assert kit.wait_until(lambda: len(fake.requests()) >= MESSAGES, 5), (
        "the provider notes them when it answers"
    )
    assert Attempt.objects.count() == len(fake.requests()) == MESSAGES
    assert statuses() == {"unknown"}
