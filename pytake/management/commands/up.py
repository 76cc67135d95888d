"""`manage.py up`: database, static files, demo, then everything under one supervisor."""

import http.client
import io
import logging
import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn
from celery.apps import beat, worker  # noqa: F401 (loaded before the fork, once for all children)
from celery.concurrency import prefork  # noqa: F401
from celery.exceptions import SecurityWarning
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor
from django.urls import get_resolver
from django.utils.module_loading import import_string
from django_celery_beat import schedulers  # noqa: F401

from accounts.models import Organization, User
from pytake import home, startup
from pytake.celery import app
from pytake.supervisor import Child, Supervisor

DEMO = "demo"
DEMO_OWNER = "owner@demo.pytake"
DEMO_PEOPLE = (
    DEMO_OWNER,
    *(f"{name}@demo.pytake" for name in ("admin", "supervisor", "ana", "bruno", "viewer")),
)
QUEUES = ("interactive", "bulk", "media", "maintenance", "whatsapp_outbound")
STOP_SENDING = 30.0  # seconds for what is under way to a provider


class Command(BaseCommand):
    help = "Start PyTake: stores, web, workers, clock. Ctrl-C stops all of it."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        if startup.current is None:
            raise CommandError("Start it from the checkout: python3 manage.py up")
        self.launch = startup.current
        if self.launch.port_moved:
            self.say(f"port {startup.DEFAULT_PORT} is taken by another program; using {self.launch.port}")
        self.migrate()
        call_command("collectstatic", interactive=False, verbosity=0, skip_checks=True)
        self.demo = self.launch.demo and self.load_demo()
        # Loaded before the fork, and after the static files: WhiteNoise lists them when it is made.
        self.application = import_string("pytake.asgi.application")
        get_resolver().url_patterns  # noqa: B018
        connections.close_all()
        self.supervise()

    def migrate(self) -> None:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            self.say("preparing the database")
            call_command("migrate", interactive=False, verbosity=0, skip_checks=True)

    def load_demo(self) -> bool:
        """On the first start; later ones only tell its channels today's ports."""
        if not Organization.objects.exists():
            self.say("loading the demo")
            call_command("load_demo", stdout=io.StringIO())
            home.keep_secret(self.launch.home, "PYTAKE_DEMO_PASSWORD")
        elif Organization.objects.filter(slug=DEMO).exists():
            call_command("load_demo", stdout=io.StringIO())
        else:
            return False
        return True

    def supervise(self) -> None:
        Supervisor(
            children=self.children(),
            logs=self.launch.home / "logs",
            say=self.say,
            ready=self.answers,
            announce=self.announce,
            in_child=self.in_child,
            changed=self.write_note,
            stores=self.launch.stores,
        ).run()

    def children(self) -> list[Child]:
        """The web first: people wait for it. Who sends stops later, and what they send to stops last."""
        parts = [
            Child("web", self.run_web),
            Child("worker", self.run_worker, phase=1, grace=STOP_SENDING),
            Child("beat", _celery("beat", "--pidfile=")),
            Child("poller", lambda: call_command("poller"), phase=1, grace=STOP_SENDING),
        ]
        if self.demo:
            port = os.environ["PYTAKE_FAKE_PROVIDER_PORT"]
            parts.append(Child("provider", lambda: call_command("fake_provider", port=int(port)), phase=2))
        return parts

    def run_web(self) -> None:
        config = uvicorn.Config(
            self.application, lifespan="off", access_log=False, log_config=None, timeout_graceful_shutdown=5
        )
        uvicorn.Server(config).run(sockets=[self.launch.listener])

    def run_worker(self) -> None:
        queues = dict.fromkeys([app.conf.task_default_queue, *QUEUES])
        options = ["--concurrency", str(self.launch.workers), "--queues", ",".join(queues)]
        _celery("worker", "--without-gossip", "--without-mingle", *options)()

    def in_child(self, name: str) -> None:
        self.launch.leave_to_parent(keep_listener=name == "web")
        warnings.filterwarnings("ignore", category=SecurityWarning)  # a trial may run as root
        if "PYTAKE_LOG_LEVEL" not in os.environ:
            for chatty in ("celery", "uvicorn", "django_celery_beat"):
                logging.getLogger(chatty).setLevel(logging.WARNING)

    def answers(self) -> bool:
        """Whether the first page comes; the port itself is open from the start."""
        host = startup.reachable(self.launch.listener.getsockname()[0])
        client = http.client.HTTPConnection(host, self.launch.port, timeout=1)
        try:
            client.request("GET", "/healthz")
            return client.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            client.close()

    def write_note(self, pids: dict[str, int]) -> None:
        """For `doctor`, for a second `up`, and for whoever looks for a process."""
        mine = {"pid": os.getpid(), "port": self.launch.port, "address": self.launch.address}
        with suppress(OSError):
            home.write_json(self.launch.lock.note, {**mine, "children": pids})

    def announce(self) -> None:
        address, logs = self.launch.address, self.launch.home / "logs"
        lines = ["", f"PyTake is ready: {address}/", ""]
        lines += (
            self.demo_lines(address)
            if self.demo
            else [
                "  First      python3 manage.py create_organization SLUG --name NAME --owner-email MAIL "
                "--owner-password PASSWORD",
            ]
        )
        self.write("\n".join([*lines, f"  Logs       {logs}", "  Stop       Ctrl-C", ""]))

    def demo_lines(self, address: str) -> list[str]:
        return [
            f"  Log in     {', '.join(DEMO_PEOPLE)}",
            f"  Password   {self.demo_password()}",
            f"  First      open {address}/simulator/ and write as a customer,",
            f"             then {address}/inbox/ in a private window as ana@demo.pytake and answer.",
        ]

    def demo_password(self) -> str:
        """Never a password that does not work: it may have been changed since."""
        owner = User.objects.filter(email=DEMO_OWNER).first()
        password = os.environ["PYTAKE_DEMO_PASSWORD"]
        works = owner is not None and owner.check_password(password)
        connections.close_all()
        return password if works else "(changed since the demo was loaded)"

    def say(self, text: str) -> None:
        self.write(f"up       | {text}")

    def write(self, text: str) -> None:
        with suppress(OSError):  # the terminal may have been closed
            self.stdout.write(text)
            self.stdout.flush()


def _celery(*arguments: str) -> Callable[[], object]:
    level = os.environ.get("PYTAKE_LOG_LEVEL", "WARNING")
    return lambda: app.start(["--quiet", *arguments, "--loglevel", level])
