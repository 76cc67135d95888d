"""Loads the demo once; run again, it only brings the addresses of the demo's channels up to date."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from conversations import demo


class Command(BaseCommand):
    help = "Load the demo organization, or bring the addresses of its channels up to date."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--password", default="", help="of all demo users; default: PYTAKE_DEMO_PASSWORD")

    def handle(self, *args: Any, **options: Any) -> None:
        password = options["password"] or settings.PYTAKE_DEMO_PASSWORD
        if not password and not demo.exists():
            raise CommandError("Give the demo users a password: --password, or PYTAKE_DEMO_PASSWORD.")
        if demo.load(password):
            self.stdout.write(f"The demo is loaded: log in as owner@{demo.DOMAIN} or ana@{demo.DOMAIN}.")
        else:
            self.stdout.write("The demo is there already; its channels' addresses are up to date.")
