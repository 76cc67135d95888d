"""`manage.py doctor`: what is wrong with this installation, and what to do about it."""

import http.client
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import redis
from cryptography.fernet import Fernet
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from kombu.exceptions import OperationalError as BrokerError
from redis.backoff import NoBackoff
from redis.retry import Retry

from pytake import home
from pytake.celery import app
from pytake.health import LAG

FACTS = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int,
  current_setting('transaction_read_only')
"""
OLDEST_POSTGRES, OLDEST_REDIS = 130000, (7, 2)
LATE_SECONDS = 60
BEAT_SECONDS = 300  # the scheduler writes its last runs down every three minutes
LOW_DISK, FULL_DISK = 1_000_000_000, 200_000_000
START = "Start PyTake with `python3 manage.py up`."


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    WRONG = "WRONG"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's letter."""

    level: Level
    subject: str
    text: str
    advice: str = ""


class Command(BaseCommand):
    help = "Say what is wrong with this installation and what to do. Exit code 1 when something is."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        findings = list(examine())
        for finding in findings:
            self.stdout.write(f"{finding.level:<8} {finding.subject:<12} {finding.text}")
            if finding.advice:
                self.stdout.write(f"{'':<22}-> {finding.advice}")
        wrong = sum(finding.level is Level.WRONG for finding in findings)
        if wrong:
            raise CommandError(f"{wrong} of {len(findings)} findings need you.")


def examine() -> Iterator[Finding]:
    """Every examination in turn; what stands on something broken is not asked."""
    for look in (environment, secrets_file, disk, web):
        yield from look()
    for base, upon_it in ((broker, workers), (database, work)):
        found = list(base())
        yield from found
        if all(finding.level is not Level.WRONG for finding in found):
            yield from upon_it()


def environment() -> Iterator[Finding]:
    host = urlsplit(settings.PUBLIC_URL).hostname
    if host in {"127.0.0.1", "localhost", "::1"}:
        text = f"{settings.PUBLIC_URL} is reachable from this machine only"
        yield Finding(
            Level.WARNING,
            "PUBLIC_URL",
            text,
            "Fine for a trial; platforms need the address the internet sees.",
        )
    else:
        yield Finding(Level.OK, "PUBLIC_URL", settings.PUBLIC_URL)
    if settings.DEBUG and settings.SECURE:
        yield Finding(Level.WRONG, "DEBUG", "is on behind a public address", "Unset DEBUG.")
    if len(settings.SECRET_KEY) < 32:
        yield Finding(
            Level.WRONG, "SECRET_KEY", "is short enough to guess", "Set at least 50 random characters."
        )
    yield from _field_keys(settings.PYTAKE_FIELD_KEYS)


def _field_keys(keys: Iterable[str]) -> Iterator[Finding]:
    try:
        count = len([Fernet(key) for key in keys])
    except ValueError:
        advice = "A key is 32 random bytes in URL-safe base64; several are separated by commas."
        yield Finding(
            Level.WRONG, "field keys", "PYTAKE_FIELD_KEYS holds something that is no Fernet key", advice
        )
    else:
        yield Finding(Level.OK, "field keys", f"{count} in use")


def secrets_file() -> Iterator[Finding]:
    path = settings.PYTAKE_HOME / home.SECRETS
    if not path.exists():
        yield Finding(Level.OK, "secrets", "come from the environment")
    elif stat.S_IMODE(path.stat().st_mode) != 0o600:
        yield Finding(Level.WRONG, "secrets", f"{path} can be read by others", f"Run `chmod 600 {path}`.")
    else:
        yield Finding(Level.OK, "secrets", f"{path} (back it up with the database)")


def disk() -> Iterator[Finding]:
    free = shutil.disk_usage(settings.PYTAKE_HOME).free
    text = f"{free / 1e9:.1f} GB free in {settings.PYTAKE_HOME}"
    if free > LOW_DISK:
        yield Finding(Level.OK, "disk", text)
    else:
        yield Finding(Level.WRONG if free < FULL_DISK else Level.WARNING, "disk", text, "Free some space.")


def web() -> Iterator[Finding]:
    address = urlsplit(settings.INTERNAL_URL)
    client = http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=3)
    try:
        client.request("GET", "/healthz", headers={"Host": "127.0.0.1"})
        answer = client.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        text = f"nobody answers at {settings.INTERNAL_URL} ({type(error).__name__})"
        yield Finding(Level.WRONG, "web", text, START)
    else:
        level = Level.OK if answer == http.HTTPStatus.OK else Level.WRONG
        advice = "" if level is Level.OK else "Another program holds the port, or see logs/web.log."
        yield Finding(level, "web", f"{settings.INTERNAL_URL}/healthz says {answer}", advice)
    finally:
        client.close()


def broker() -> Iterator[Finding]:
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=3, retry=Retry(NoBackoff(), 0))
    try:
        facts: Any = client.info()
    except redis.RedisError as error:
        text = f"does not answer ({type(error).__name__}); work goes on, slower, from the database"
        yield Finding(Level.WRONG, "redis", text, "Start it, or correct REDIS_URL.")
        return
    version = facts["redis_version"]
    old = tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS
    private = settings.REDIS_URL.startswith("unix:")
    if old and not private:
        yield Finding(Level.WARNING, "redis", f"{version} is old", "Use Redis 7.2 or newer, or Valkey 8.")
    else:
        yield Finding(Level.OK, "redis", version + (", on a private socket" if private else ""))


def workers() -> Iterator[Finding]:
    try:
        answers = app.control.ping(timeout=1.5)
    except (BrokerError, redis.RedisError, OSError):
        answers = []
    if answers:
        yield Finding(Level.OK, "workers", ", ".join(name for answer in answers for name in answer))
    else:
        yield Finding(Level.WRONG, "workers", "none answers", START)


def database() -> Iterator[Finding]:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(FACTS)
            version, number, read_only = cursor.fetchone()
            cursor.execute("CREATE TEMPORARY TABLE doctor_was_here () ON COMMIT DROP")
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        advice = f"{START} Or correct DATABASE_URL; a database without space or rights also ends here."
        yield Finding(Level.WRONG, "database", str(error).strip().splitlines()[0], advice)
        return
    if read_only == "on":
        yield Finding(Level.WRONG, "database", "takes no writes", "DATABASE_URL must name the primary.")
    elif number < OLDEST_POSTGRES:
        yield Finding(Level.WRONG, "database", f"PostgreSQL {version} is too old", "Use 13 or newer.")
    elif plan:
        yield Finding(
            Level.WRONG, "database", f"{len(plan)} migrations are missing", "Run `manage.py migrate`."
        )
    else:
        yield Finding(Level.OK, "database", f"PostgreSQL {version}, migrated, writable")


def work() -> Iterator[Finding]:
    """How far the parts that carry work on are behind."""
    with connection.cursor() as cursor:
        cursor.execute(LAG)
        inbox, outbox, dead, unknown, deadlines, beat = cursor.fetchone()
    for subject, lag in (("inbox", inbox), ("outbox", outbox), ("deadlines", deadlines)):
        yield _lag(subject, float(lag))
    if dead:
        yield Finding(Level.WARNING, "inbox", f"{dead} webhooks could not be read", "See /admin/, raw inbox.")
    if unknown:
        text = f"{unknown} messages may or may not have been sent"
        yield Finding(Level.WARNING, "outbox", text, "Reconcile them under /admin/, outbox.")
    yield _beat(beat)


def _lag(subject: str, seconds: float) -> Finding:
    if seconds < LATE_SECONDS:
        return Finding(Level.OK, subject, f"{seconds:.0f} s behind")
    advice = (
        "Are poller and worker running? See logs/poller.log and logs/worker.log; more PYTAKE_WORKERS help."
    )
    return Finding(Level.WRONG, subject, f"the oldest has waited {seconds:.0f} s", advice)


def _beat(age: float | None) -> Finding:
    if age is not None and age < BEAT_SECONDS:
        return Finding(Level.OK, "beat", f"last seen {age:.0f} s ago")
    seen = "was never seen" if age is None else f"was last seen {age:.0f} s ago"
    return Finding(
        Level.WARNING, "beat", seen, "It writes that every three minutes; later, see logs/beat.log."
    )
