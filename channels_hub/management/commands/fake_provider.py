"""Run the fake provider beside the system, for the demo and for fault runs."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from channels_hub.fake_provider import FakeProvider, is_loopback


class Command(BaseCommand):
    help = "A provider in Twilio's shape on this machine: takes messages, fails on command, reports back."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=settings.PYTAKE_FAKE_PROVIDER_PORT or 8010)
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--token", default="", help="signs callbacks (default: the sender's password)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not is_loopback(options["host"]):
            raise CommandError("The fake provider serves this machine only: use 127.0.0.1.")
        try:
            provider = FakeProvider(host=options["host"], port=options["port"], token=options["token"])
        except OSError as error:
            raise CommandError(f"Port {options['port']} cannot be opened: {error.strerror}.") from error
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_received: stop.set())
        with provider:
            self.stdout.write(f"Fake provider at {provider.url}")
            self.stdout.flush()
            stop.wait()
