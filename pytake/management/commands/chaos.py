"""`manage.py chaos`: break what can break, on stores of its own, and let the judge look afterwards."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from bench.__main__ import CHAOS
from pytake.management.commands import bench


class Command(bench.Command):
    help = "Kill and stop senders at every point of sending, 300 times each; --quick: 75 times, --tiny: 6."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--only", choices=["sending"], default="sending", help="what is put under fire")
        self.add_sizes(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        super().handle(*args, **{**options, "names": [CHAOS], "gate": True})
