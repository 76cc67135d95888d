"""The worked examples of docs/handover.md, run as they stand there against a real server."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import pytest
import requests
from django_scopes import scope

from accounts import tokens
from accounts.models import Membership
from conversations import router
from queues.models import AgentProfile, Queue
from tests.api.caller import outside

pytestmark = pytest.mark.django_db(transaction=True)
DOCUMENT = Path(__file__).parents[2] / "docs" / "handover.md"
Make = Callable[..., Any]


@dataclass(frozen=True)
class Step:
    """One command and what the document says of its answer."""

    command: str
    status: int
    holds: Any


def steps_of(number: int) -> list[Step]:
    chapter = re.split(r"(?m)^### ", DOCUMENT.read_text())[number]
    blocks = re.findall(r"```bash\n(.*?)```", chapter, re.DOTALL)
    found = re.findall(r"(curl .*?)\n# (\d{3}) ?(.*?)\n", "\n".join(blocks) + "\n", re.DOTALL)
    return [Step(command, int(status), holds) for command, status, holds in found]


def carried_out(command: str, names: dict[str, str]) -> requests.Response:
    """What the command line would ask: curl's options that the document uses, and no others."""
    words = iter(shlex.split(Template(command.replace("\\\n", " ")).substitute(names))[1:])
    method, url, headers, body = "GET", "", {}, None
    for word in words:
        match word:
            case "-X":
                method = next(words)
            case "-H":
                name, _colon, value = next(words).partition(": ")
                headers[name] = value
            case "-d":
                body = next(words)
            case "-i":
                pass
            case _:
                assert word.startswith("http"), word
                url = word
    return requests.request(method, url, headers=headers, data=body, timeout=20)


def missing(expected: Any, told: Any) -> Any:
    """What the document promises and the answer does not hold; None when all is there."""
    if isinstance(expected, dict):
        found = {key: missing(value, (told or {}).get(key)) for key, value in expected.items()}
        return {key: value for key, value in found.items() if value is not None} or None
    if isinstance(expected, list):
        found = [missing(value, told[n] if n < len(told) else None) for n, value in enumerate(expected)]
        return [value for value in found if value is not None] or None
    return None if expected == told else {"document": expected, "answer": told}


def access(member: Membership) -> str:
    with scope(organization=member.organization):
        return tokens.open_family(member).access


@pytest.fixture
def names(
    live_server: Any,
    ana: Membership,
    sofia: Membership,
    support: Queue,
    make_queue: Make,
    make_conversation: Make,
) -> dict[str, str]:
    """The cast of the document: one open conversation, the queues it names, who calls."""
    full = make_queue("cheia", max_queue_size=1, overflow_queue=support)
    auto = make_queue("auto", routing_mode="load_balance", auto_assign_conversations=True)
    chat = make_conversation()
    return {
        "API": f"{live_server.url}/api/v1", "TOKEN": access(sofia), "ANAS_TOKEN": access(ana),
        "CHAT": str(chat.pk), "SUPPORT": str(support.pk), "FULL": str(full.pk), "AUTO": str(auto.pk),
        "DEPARTMENT": str(support.department_id), "ANA": str(ana.pk),
    }  # fmt: skip


def prepare(number: int, make_conversation: Make, support: Queue, ana: Membership) -> None:
    """What the sentence above the commands says is so already."""
    if number == 4:
        make_conversation("queued", queue=Queue.objects.get(slug="cheia"))
    if number == 6:
        make_conversation("queued", queue=support)
    if number == 7:
        AgentProfile.objects.filter(member=ana).update(capacity=1)
        make_conversation("human_handoff", agent=ana)
    if number == 8:
        AgentProfile.objects.update(presence="away")


@pytest.mark.parametrize("number", range(1, 9))
def test_the_example_works_as_it_is_written(
    number: int, names: dict[str, str], make_conversation: Make, support: Queue, ana: Membership
) -> None:
    prepare(number, make_conversation, support, ana)
    steps = steps_of(number)
    assert steps, "the example has no command"
    for step in steps:
        with outside():
            answer = carried_out(step.command, names)
            router.drain()  # what the poller does meanwhile
        assert answer.status_code == step.status, answer.text
        if step.holds:
            expected = json.loads(Template(step.holds).substitute(names))
            assert missing(expected, answer.json()) is None, answer.text


def test_there_are_eight_examples_and_none_forgotten() -> None:
    assert [bool(steps_of(n)) for n in range(1, 9)] == [True] * 8
    assert len(re.findall(r"(?m)^### \d", DOCUMENT.read_text())) == 8


def test_a_wrong_promise_would_be_found() -> None:
    assert missing({"a": {"b": 1}}, {"a": {"b": 2}}) == {"a": {"b": {"document": 1, "answer": 2}}}
    assert missing([{"a": 1}], []) is not None
