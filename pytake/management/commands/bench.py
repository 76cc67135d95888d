"""`manage.py bench`: measure the desk on stores of its own, beside something plain in the same run."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.core.management.base import BaseCommand
from psycopg import sql

from bench.__main__ import BENCHES
from bench.kit import LOOPBACK, RESULTS, ROOT, free_port
from pytake import embedded


class Durable(embedded.Postgres):
    """Ends with us, but waits for the disk as the real one does."""

    def _command(self) -> list[str]:
        honest = ("fsync", "synchronous_commit", "full_page_writes")
        return [*super()._command(), *(part for name in honest for part in ("-c", f"{name}=on"))]


class Command(BaseCommand):
    help = (
        "Measure webhook, pull, assign, soak, live, outbound, pages, engine, or all. Prints ratios and gates."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("names", nargs="*", metavar="name", help=", ".join(BENCHES))
        self.add_sizes(parser)

    def add_sizes(self, parser: ArgumentParser) -> None:
        parser.add_argument("--quick", action="store_true", help="fewer rounds and requests")
        parser.add_argument("--tiny", action="store_true", help="only prove that it works")
        parser.add_argument("--out", default=str(RESULTS), help="folder for the figures as JSON")
        parser.add_argument("--gate", action="store_true", help="exit code 1 when a target is missed")
        parser.add_argument(
            "--here",
            action="store_true",
            help="a new database on the server of DATABASE_URL, not a server of its own",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        flags = [f"--{name}" for name in ("quick", "tiny", "gate") if options[name]]
        out = Path(options["out"]).resolve()
        with _home() as home, _stores(home, here=options["here"]) as stores:
            port = str(free_port())
            environment = os.environ | stores | {
                "PYTAKE_HOME": str(home), "PORT": port, "PUBLIC_URL": f"http://{LOOPBACK}:{port}",
                "INTERNAL_URL": f"http://{LOOPBACK}:{port}", "PYTAKE_TESTING": "1", "DEBUG": "0",
                "PYTAKE_CHANNEL_CACHE_SECONDS": "3",
                "DJANGO_SETTINGS_MODULE": "pytake.settings", "PYTHONWARNINGS": "ignore",
            }  # fmt: skip
            command = [sys.executable, "-m", "bench", *options["names"], *flags, "--out", str(out)]
            code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode  # noqa: S603
        if code:
            sys.exit(code)


@contextmanager
def _home() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="pytake-bench-"))
    place.chmod(0o711)  # root's PostgreSQL runs as another user, who has to get in
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _stores(home: Path, *, here: bool) -> Iterator[dict[str, str]]:
    """Stores that end with the bench, or a database that is dropped after it."""
    if here:
        with _database(os.environ["DATABASE_URL"]) as url:
            yield {"DATABASE_URL": url}
        return
    servers: list[embedded.Server] = [Durable(home, throwaway=True), embedded.Redis(home, throwaway=True)]
    try:
        for server in servers:
            server.start()
        yield {"DATABASE_URL": servers[0].url, "REDIS_URL": servers[1].url}
    finally:
        embedded.stop_all(servers)


@contextmanager
def _database(url: str) -> Iterator[str]:
    name = f"pytake_bench_{secrets.token_hex(4)}"
    with psycopg.connect(_named(url, "postgres"), autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield _named(url, name)
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _named(url: str, name: str) -> str:
    """The same server, another database."""
    return re.sub(r"^([^:]+://[^/?]*)/[^?]*", rf"\g<1>/{name}", url)
