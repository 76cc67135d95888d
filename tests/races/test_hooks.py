"""Several workers tell the same endpoints: each message once, no endpoint with more calls than it may get."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from django.db import transaction

from accounts.models import Organization
from conversations import hook_calls, hooks
from conversations.models import HookEvent, WebhookAttempt, WebhookEndpoint, WebhookMessage
from conversations.moves import database_now
from tests.receiver import receiving

pytestmark = pytest.mark.race


def new_endpoint(acme: Organization, url: str) -> WebhookEndpoint:
    return WebhookEndpoint.objects.create(
        organization=acme, url=url, secrets={"current": hooks.new_secret()}, events=[]
    )


def tell(acme: Organization, n: int) -> None:
    told = [hooks.Told({"n": number}) for number in range(n)]
    hooks.emit(acme.pk, HookEvent.MESSAGE_STATUS, *told, at=database_now())


def work(_index: int) -> int:
    """What a drain does, without the lock that keeps a process from draining twice."""
    handled = 0
    while claimed := hook_calls.claim(3):
        for one in claimed:
            hook_calls.settle(hook_calls.call(one))
        handled += len(claimed)
    return handled


@pytest.mark.parametrize("workers", [2, 6])
def test_workers_at_once_tell_each_message_once(
    acme: Organization, race: Callable[..., list[Any]], settings: Any, workers: int
) -> None:
    with receiving() as receiver:
        settings.PYTAKE_ALLOW_PRIVATE_HOSTS = [urlsplit(receiver.url).netloc]
        new_endpoint(acme, receiver.url)
        tell(acme, 40)
        results = race(workers, work)
        results.append(work(0))  # what a worker left because another had the endpoint's row

        assert sum(results) == 40
        assert sorted(receiver.ids()) == sorted(
            str(pk) for pk in WebhookMessage.objects.values_list("pk", flat=True)
        )
        assert receiver.most_at_once <= hook_calls.AT_ONCE
    assert WebhookAttempt.objects.filter(status=200).count() == 40


def test_claims_at_once_never_exceed_what_an_endpoint_may_get(
    acme: Organization, race: Callable[..., list[Any]]
) -> None:
    new_endpoint(acme, "https://example.com/")
    tell(acme, 40)

    claimed = [one for found in race(8, lambda _i: hook_calls.claim(16)) for one in found]

    assert len(claimed) == hook_calls.AT_ONCE
    assert len({one.message_id for one in claimed}) == len(claimed)


def test_an_event_beside_a_deletion_never_breaks_what_it_tells_of(
    acme: Organization, race: Callable[..., list[Any]]
) -> None:
    for _ in range(15):
        endpoint = new_endpoint(acme, "https://example.com/")

        def act(index: int, pk: UUID = endpoint.pk) -> None:
            with transaction.atomic():
                if index == 0:
                    tell(acme, 1)
                else:  # as the API and the admin do it
                    WebhookEndpoint.objects.select_for_update().get(pk=pk).delete()

        assert race(2, act) == [None, None]
