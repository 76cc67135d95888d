"""Real threads on PostgreSQL, started together; after every race the judge looks at the database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections
from django_scopes import scope

from accounts.models import Organization
from conversations.invariants import findings


@pytest.fixture
def race(acme: Organization) -> Callable[..., list[Any]]:
    """`race(n, act)`: n threads call act(i) at the same moment; results or exceptions in order."""

    def run(n: int, act: Callable[[int], Any]) -> list[Any]:
        results: list[Any] = [None] * n
        barrier = threading.Barrier(n)

        def body(index: int) -> None:
            try:
                with scope(organization=acme):
                    barrier.wait(30)
                    results[index] = act(index)
            except Exception as error:  # the loser's exception is the result
                results[index] = error
            finally:
                connections.close_all()

        threads = [threading.Thread(target=body, args=(index,)) for index in range(n)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads), "a thread is stuck"
        return results

    return run


@pytest.fixture(autouse=True)
def judged(transactional_db: None) -> Iterator[None]:
    """Whatever the race did, no invariant may be broken."""
    yield
    assert [(f.invariant.name, f.count) for f in findings()] == []
