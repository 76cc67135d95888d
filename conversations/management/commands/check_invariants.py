"""Judge the database: every promise that SQL can check."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from conversations.invariants import CHECKS, findings


class Command(BaseCommand):
    help = "Check what must be true of the database; exit code 1 when something is not."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        found = list(findings())
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(found), indent=2))
        else:
            for finding in found:
                self.stdout.write(f"BROKEN {finding.invariant.name}: {finding.count} {finding.examples}")
            self.stdout.write(f"{len(CHECKS) - len(found)} of {len(CHECKS)} invariants hold")
        if found:
            raise CommandError(f"{len(found)} invariants are broken")


def _as_json(found: list[Any]) -> dict[str, Any]:
    return {
        "ok": not found,
        "checked": [check.name for check in CHECKS],
        "broken": [
            {
                "name": f.invariant.name,
                "promise": f.invariant.promise,
                "count": f.count,
                "examples": list(f.examples),
            }
            for f in found
        ],
    }
