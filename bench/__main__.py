"""`python -m bench`: run benches in a prepared environment. `manage.py bench` prepares it."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import django
from django.core.management import call_command

from bench.kit import RESULTS, SIZES

BENCHES = ("engine", "pages", "pull", "assign", "soak", "webhook", "live", "outbound")
CHAOS = ("chaos.sending", "chaos.redis")  # no measurement: run by `manage.py chaos`


def main(arguments: Sequence[str]) -> int:
    """Print each table, write each result; 1 when a gate was missed and gates count."""
    asked = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no child is left behind
    size = SIZES["tiny" if asked.tiny else "quick" if asked.quick else "full"]
    django.setup()
    logging.disable(logging.WARNING)
    call_command("migrate", interactive=False, verbosity=0, skip_checks=True)
    missed = 0
    for name in asked.names or BENCHES:
        report = import_module(f"bench.{name}").run(size)
        print(report.text(), flush=True)
        report.save(size, asked.out)
        missed += sum(not gate.holds for gate in report.gates)
    print(f"\n{missed} gates missed" if missed else "\nall gates hold", flush=True)
    return 1 if missed and asked.gate else 0


def parser() -> argparse.ArgumentParser:
    told = argparse.ArgumentParser(prog="bench", description=__doc__)
    told.add_argument(
        "names", nargs="*", choices=(*BENCHES, *CHAOS, []), help="which benches; all when none is named"
    )
    told.add_argument(
        "--quick", action="store_true", help="fewer rounds and requests: minutes instead of many"
    )
    told.add_argument(
        "--tiny", action="store_true", help="only prove that it works; the figures mean nothing"
    )
    told.add_argument("--gate", action="store_true", help="exit with 1 when a target is missed")
    told.add_argument("--out", type=Path, default=RESULTS, help="folder for the figures as JSON")
    return told


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
