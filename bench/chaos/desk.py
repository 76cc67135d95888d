"""A desk in full work: its processes, customers who write, agents who answer, somebody who looks at pages."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from django.conf import settings
from django.db import connections
from django_scopes import scope
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from bench import live, seeds
from bench.chaos import kit
from bench.kit import LOOPBACK, database_url, free_port, running
from bench.load import new_sid, signature, twilio_form
from channels_hub.fake_provider import FakeProvider
from channels_hub.models import InboundEvent
from conversations import frames, handoff, outbox

SENDERS = 2  # beside the poller and the worker, which send too
WORKER = (
    "-m", "celery", "-A", "pytake.celery", "worker", "--pool=solo", "--loglevel=ERROR", "--without-gossip",
    "--without-mingle", "--queues=interactive,bulk,media,maintenance,whatsapp_outbound",
)  # fmt: skip
PEOPLE, TALKS, CROWD = 200, 20, 300  # who write, who get answers, who get bulk
AHEAD = 20  # bulk messages that always wait
BEHIND = 20  # events that the desk has not looked at yet: nobody writes more than the machine can take
LOST_SHARE = 0.1  # of the webhooks never come
WRITES, ANSWERS, LOOKS = 0.5, 1.0, 1.0  # seconds between two
PATIENCE = 10.0


# ---------------------------------------------------------------- its processes
@dataclass
class Processes:
    """The children by name, and where the web process answers."""

    url: str
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def threads(self) -> dict[str, int]:
        return {name: _threads(child.pid) for name, child in self.children.items()}

    def ended(self) -> list[str]:
        return [
            f"the {name} ended by itself" for name, one in self.children.items() if one.poll() is not None
        ]


def _threads(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Threads:"))


@contextmanager
def processes(redis_url: str, fake: FakeProvider) -> Iterator[Processes]:
    """Web, poller, worker and two senders, each in a process of its own."""
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    own = {
        "DATABASE_URL": database_url(), "REDIS_URL": redis_url, "PORT": str(settings.PORT),
        "PUBLIC_URL": url, "INTERNAL_URL": url, "PYTAKE_LOG_LEVEL": "ERROR", "PYTAKE_TESTING": "1",
        "PYTAKE_ALLOW_PRIVATE_HOSTS": fake.url.removeprefix("http://"),
        "DJANGO_SETTINGS_MODULE": "pytake.settings",
    }  # fmt: skip
    commands = {"poller": ("-m", "django", "poller"), "worker": WORKER} | {
        f"sender {n}": ("-m", "bench.sender") for n in range(SENDERS)
    }
    with ExitStack() as stack:
        found = Processes(url)
        serve = ("-m", "bench.server", "pytake.asgi:application", str(port))
        found.children["web"] = stack.enter_context(running(*serve, port=port, **own))
        for name, command in commands.items():
            found.children[name] = stack.enter_context(running(*command, port=0, **own))
        yield found


# ---------------------------------------------------------------- its people
@dataclass(frozen=True, slots=True)
class Call:
    """One request: when it began by the clock, and how long the answer took."""

    at: float
    seconds: float


@dataclass
class Work:
    """What people do, each in a thread, and how it went. `problems` holds what was not answered well."""

    place: seeds.Desk
    fake: FakeProvider
    url: str
    webhooks: list[Call] = field(default_factory=list)
    pages: list[Call] = field(default_factory=list)
    shown: list[Call] = field(default_factory=list)  # from the webhook's call to a frame on a page
    written: dict[str, str] = field(default_factory=dict)  # sid: text, of all that customers wrote
    untold: set[str] = field(default_factory=set)  # sids of webhooks that never came
    problems: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    _awaited: dict[str, float] = field(default_factory=dict)  # text: when it was called in

    # -------------------------------------------------- customers
    def customer(self) -> None:
        """Writes; a tenth of the platform's calls is lost on the way."""
        path = f"{self.url}/webhooks/twilio/{self.place.channel.public_id}/inbound"
        chance = random.Random(threading.get_ident())
        with requests.Session() as http:
            while not self.over.wait(WRITES):
                if self._is_behind():
                    continue
                sid = new_sid()
                sender = f"+55119{70000000 + chance.randrange(PEOPLE)}"
                form = twilio_form(sid, sender, f"palavra{sid[-12:]}fim", seeds.SID, seeds.ADDRESS)
                self.fake.wrote(form)
                self.written[sid] = form["Body"]
                if chance.random() < LOST_SHARE:
                    self.untold.add(sid)
                    continue
                self._awaited[form["Body"]] = time.time()
                signed = {"X-Twilio-Signature": signature(path, form, seeds.TOKEN)}
                self.webhooks.append(self._call("a webhook", http, "POST", path, data=form, headers=signed))

    def _is_behind(self) -> bool:
        return InboundEvent.objects.filter(state=InboundEvent.State.NEW).count() > BEHIND

    def _call(self, what: str, http: requests.Session, method: str, url: str, **options: Any) -> Call:
        at, began = time.time(), time.monotonic()
        try:
            status: Any = http.request(method, url, timeout=PATIENCE, **options).status_code
        except requests.RequestException as error:
            status = type(error).__name__
        if status not in (200, 201):
            self.problems.append(f"{what} was answered with {status}")
        return Call(at, time.monotonic() - began)

    # -------------------------------------------------- people at the desk
    def agent(self) -> None:
        """Answers in turn to twenty people, as the page does."""
        member, number = self.place.agents[0], 0
        talks = seeds.newcomers(self.place, TALKS)
        for talk in talks:
            handoff.assign_agent(talk, member.pk)
        with self._browser(live.session_of(member)) as http:
            while not self.over.wait(ANSWERS):
                talk, number = talks[number % TALKS], number + 1
                form = {"text": f"{talk}:{number:06d}"}
                self._call("an answer", http, "POST", f"{self.url}/inbox/{talk}/reply/", data=form)

    def reader(self) -> None:
        """Loads the inbox again and again."""
        with self._browser(live.session_of(self.place.supervisor)) as http:
            while not self.over.wait(LOOKS):
                self.pages.append(self._call("a page", http, "GET", f"{self.url}/inbox/?tab=all"))

    def _browser(self, cookie: str) -> requests.Session:
        http, token = requests.Session(), "x" * 32
        http.headers["X-CSRFToken"] = token
        http.headers["Cookie"] = f"{cookie}; {settings.CSRF_COOKIE_NAME}={token}"
        return http

    def watcher(self) -> None:
        """Has a page open and notes when it shows what was written."""
        url = f"{self.url.replace('http', 'ws', 1)}/ws/inbox/?tab=all&since={frames.current_cursor()}"
        cookie = {"Cookie": live.session_of(self.place.supervisor)}
        origin: Any = self.url
        with connect(url, origin=origin, additional_headers=cookie, max_size=None) as page:
            while not self.over.is_set():
                try:
                    self._note(str(page.recv(timeout=0.2)))
                except TimeoutError:
                    continue
                except WebSocketException as error:
                    self.problems.append(f"the socket closed: {error}")
                    return

    def _note(self, frame: str) -> None:
        now = time.time()
        for text in [text for text in tuple(self._awaited) if text in frame]:
            at = self._awaited.pop(text)
            self.shown.append(Call(at, now - at))

    # -------------------------------------------------- bulk
    def integrator(self) -> None:
        """Sees to it that there is always more to send than the rate allows."""
        number = 0
        while not self.over.wait(0.2):
            for _n in range(0 if self._is_behind() else AHEAD - kit.waiting()):
                phone, number = f"+55118{70000000 + number % CROWD}", number + 1
                organization, channel = self.place.organization.pk, self.place.channel.pk
                outbox.add_message(phone, f"{phone}:{number:06d}", organization, channel)


@contextmanager
def at_work(place: seeds.Desk, fake: FakeProvider, url: str) -> Iterator[Work]:
    """Everybody works until the block ends."""
    work = Work(place, fake, url)
    jobs = (work.customer, work.agent, work.reader, work.watcher, work.integrator)
    threads = [threading.Thread(target=_work, args=(work, job), name=job.__name__) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        yield work
    finally:
        work.over.set()
        for thread in threads:
            thread.join()


def _work(work: Work, job: Callable[[], None]) -> None:
    try:
        with scope(organization=work.place.organization):
            job()
    except Exception as error:
        work.problems.append(f"the {job.__name__} gave up: {type(error).__name__} {error}")
    finally:
        connections.close_all()
