"""Several sweeps of the net at once, and verbs beside them: a thing is mended once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from accounts.models import Membership
from conversations import handoff, repair
from conversations.models import Conversation, Deadline, Event, Stay
from queues.models import Queue

Race = Callable[..., list[Any]]


def repaired() -> list[Any]:
    return list(Event.objects.filter(type="repaired").values_list("conversation_id", flat=True))


def test_eight_sweeps_mend_each_thing_once(
    race: Race, make_conversation: Callable[..., Conversation], make_queue: Callable[..., Queue]
) -> None:
    off, other = make_queue("off"), make_queue("other")
    waiting = [make_conversation("queued", queue=off) for _ in range(5)]
    lost = [make_conversation("queued", queue=other) for _ in range(5)]
    Stay.objects.filter(conversation__in=lost).delete()
    Queue.objects.filter(pk=off.pk).update(is_active=False)

    done = race(8, lambda _i: repair.sweep())

    assert sum(done) == 10
    assert sorted(repaired()) == sorted(one.pk for one in waiting + lost)
    assert Conversation.objects.filter(queue=other, state="queued").count() == 10


def test_a_sweep_and_the_people_beside_it(
    race: Race, make_conversation: Callable[..., Conversation], support: Queue, ana: Membership
) -> None:
    waiting = [make_conversation("queued", queue=support) for _ in range(4)]
    Deadline.objects.all().delete()

    def act(i: int) -> None:
        if i % 2:
            repair.sweep()
        else:
            handoff.claim(waiting[i // 2].pk, agent_id=ana.pk)

    race(8, act)

    assert Conversation.objects.filter(state="human_handoff", assigned_agent=ana).count() == 4
    assert len(repaired()) == len(set(repaired()))
