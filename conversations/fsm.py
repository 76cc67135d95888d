"""The state machine's verbs: transitions that work only inside `moving()` and write their own ledger line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from django_fsm import FSMField, transition


class OutsideTheDoor(RuntimeError):
    """A state was about to change outside `conversations.moves.moving`."""


def verb(field: FSMField, *, source: Sequence[str], target: str) -> Callable[..., Any]:
    """A transition named after a business event. Its arguments must be JSON-able ids or models with a pk."""

    def decorate(method: Callable[..., None]) -> Callable[..., None]:
        moved = transition(field, source=list(source), target=target)(method)

        @wraps(moved)
        def run(self: Any, *args: Any, **kwargs: Any) -> None:
            if not self.is_moving:
                raise OutsideTheDoor(f"{method.__name__}: change a state only inside moving()")
            before = self.state
            moved(self, *args, **kwargs)
            self.log(method.__name__, {"from": str(before), "to": str(self.state), **self.whereabouts()})

        return run

    return decorate
