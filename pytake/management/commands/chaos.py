"""`manage.py chaos`: break what can break, on stores of its own, and let the judge look afterwards."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from bench.__main__ import CHAOS
from pytake.management.commands import bench

KINDS = {name.removeprefix("chaos."): name for name in CHAOS}


class Command(bench.Command):
    help = (
        "sending: kill and stop senders at every point, 300 times each. redis: take it away in four ways, "
        "for a minute each, while all works. --quick does a quarter, --tiny only shows that it works."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--only", choices=KINDS, help="what is put under fire; all when not said")
        parser.add_argument("--full", action="store_true", help="the whole of it, as without --quick")
        self.add_sizes(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        names = [KINDS[options["only"]]] if options["only"] else list(CHAOS)
        super().handle(*args, **{**options, "names": names, "gate": True})
