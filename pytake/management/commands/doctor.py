"""`manage.py doctor`: what is wrong with this installation, and what to do about it."""

import http.client
import json
import shutil
import stat
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import redis
from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django_scopes import scopes_disabled
from kombu.exceptions import OperationalError as BrokerError
from redis.backoff import NoBackoff
from redis.retry import Retry

from accounts.models import Organization
from channels_hub import registry
from channels_hub.models import ChannelAccount
from conversations.management.commands.poller import APPLICATION
from conversations.models import Pace
from conversations.moves import database_now
from pytake import home
from pytake.celery import app
from pytake.health import LAG

FACTS = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int,
  current_setting('transaction_read_only')
"""
# The poller looks for work several times a second: its last question is its sign of life.
POLLER = """
SELECT extract(epoch FROM now() - max(state_change)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = %s
"""
SENDING = """
SELECT
 (SELECT count(*) FROM conversations_delivery
   WHERE status = 'failed' AND settled_at > now() - interval '1 day'),
 (SELECT count(*) FROM conversations_webhookendpoint WHERE NOT is_active AND disabled_because <> ''),
 (SELECT coalesce(extract(epoch FROM now() - min(m.next_at)), 0) FROM conversations_webhookmessage m
   JOIN conversations_webhookendpoint e ON e.id = m.endpoint_id
   WHERE e.is_active AND e.failing_since IS NULL AND m.state = 'pending' AND m.next_at <= now())
"""
OLDEST_POSTGRES, OLDEST_REDIS = 130000, (7, 2)
LATE_SECONDS = 60
BEAT_SECONDS = 300  # the scheduler writes its last runs down every three minutes
POLLER_SECONDS = 15
SKEW_SECONDS = 5
QUIET = timedelta(days=7)  # without a word from any customer
LOW_DISK, FULL_DISK = 1_000_000_000, 200_000_000
OWN_NAMES = {"127.0.0.1", "localhost", "::1"}
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

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the findings as a JSON list")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = list(examine())
        if options["json"]:
            found = [{**asdict(one), "level": one.level.lower()} for one in findings]
            self.stdout.write(json.dumps(found, indent=2, ensure_ascii=False))
        else:
            self._tell(findings)
        wrong = sum(finding.level is Level.WRONG for finding in findings)
        if wrong:
            raise CommandError(f"{wrong} of {len(findings)} findings need you.")

    def _tell(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self.stdout.write(f"{finding.level:<8} {finding.subject:<12} {finding.text}")
            if finding.advice:
                self.stdout.write(f"{'':<22}-> {finding.advice}")


def examine() -> Iterator[Finding]:
    """Every examination in turn; what stands on something broken is not asked."""
    for look in (environment, public_address, secrets_file, disk, web):
        yield from look()
    for base, upon_it in ((broker, (workers,)), (database, (clock, poller, work, sending, channels))):
        found = list(base())
        yield from found
        if all(finding.level is not Level.WRONG for finding in found):
            for look in upon_it:
                yield from look()


def environment() -> Iterator[Finding]:
    host = urlsplit(settings.PUBLIC_URL).hostname
    if host in OWN_NAMES:
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


def public_address() -> Iterator[Finding]:
    """Whether platforms can call us. From inside a network that may fail although they can."""
    address = urlsplit(settings.PUBLIC_URL)
    if address.hostname in OWN_NAMES:
        return
    if address.scheme != "https":
        text = "is not encrypted: log-ins and messages can be read on their way"
        yield Finding(Level.WRONG, "PUBLIC_URL", text, "Put TLS in front and write https://.")
    try:
        answer = _status_of(settings.PUBLIC_URL)
    except (OSError, http.client.HTTPException) as error:
        text = f"{settings.PUBLIC_URL}/healthz cannot be reached from here ({type(error).__name__})"
        advice = "Open it from a telephone that is not in your network; if that works, all is well."
        yield Finding(Level.WARNING, "PUBLIC_URL", text, advice)
    else:
        if answer != http.HTTPStatus.OK:
            text = f"{settings.PUBLIC_URL}/healthz says {answer}"
            yield Finding(Level.WRONG, "PUBLIC_URL", text, "Does your proxy pass the Host header and TLS on?")


def _status_of(root: str, **headers: str) -> int:
    """What /healthz answers. Raises OSError, HTTPException."""
    address = urlsplit(root)
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    client = kind(address.hostname or "", address.port, timeout=3)
    try:
        client.request("GET", "/healthz", headers=headers)
        return client.getresponse().status
    finally:
        client.close()


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
    try:
        answer = _status_of(settings.INTERNAL_URL, Host="127.0.0.1")
    except (OSError, http.client.HTTPException) as error:
        text = f"nobody answers at {settings.INTERNAL_URL} ({type(error).__name__})"
        yield Finding(Level.WRONG, "web", text, START)
    else:
        level = Level.OK if answer == http.HTTPStatus.OK else Level.WRONG
        advice = "" if level is Level.OK else "Another program holds the port, or see logs/web.log."
        yield Finding(level, "web", f"{settings.INTERNAL_URL}/healthz says {answer}", advice)


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


def clock() -> Iterator[Finding]:
    """Signatures and log-ins carry a time: machines that disagree refuse each other."""
    skew = abs((database_now() - datetime.fromtimestamp(time.time(), UTC)).total_seconds())
    if skew < SKEW_SECONDS:
        yield Finding(Level.OK, "clock", "this machine and the database agree")
    else:
        text = f"this machine and the database are {skew:.0f} s apart"
        yield Finding(Level.WRONG, "clock", text, "Run a time service (chrony, systemd-timesyncd) on both.")


def poller() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute(POLLER, [APPLICATION])
        age = cursor.fetchone()[0]
    if age is not None and age < POLLER_SECONDS:
        yield Finding(Level.OK, "poller", "at work")
    else:
        seen = "is not running" if age is None else f"has not asked for work for {age:.0f} s"
        yield Finding(Level.WRONG, "poller", seen, f"{START} Or see logs/poller.log.")


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


def sending() -> Iterator[Finding]:
    """What did not arrive, at customers and at the systems that our webhooks tell."""
    with connection.cursor() as cursor:
        cursor.execute(SENDING)
        failed, switched_off, behind = cursor.fetchone()
    if failed:
        text = f"{failed} messages failed within a day"
        yield Finding(Level.WARNING, "outbox", text, "Their error codes are under /admin/, outbox.")
    if switched_off:
        text = f"{switched_off} outgoing webhooks were switched off after failures"
        yield Finding(Level.WARNING, "webhooks", text, "Test them under /admin/, then switch them on.")
    yield _lag("webhooks", float(behind))


def channels() -> Iterator[Finding]:
    """Each active channel: its settings, what the platform said last, whether it rests."""
    with scopes_disabled():
        try:
            found = list(ChannelAccount.objects.filter(is_active=True).select_related("organization"))
        except InvalidToken:
            advice = "Put the key that encrypted them back into PYTAKE_FIELD_KEYS, behind the new one."
            yield Finding(Level.WRONG, "field keys", "do not open the secrets of the channels", advice)
            return
        paces = {pace.channel_id: pace for pace in Pace.objects.all()}
        now = database_now()
        for channel in found:
            yield _channel(channel, paces.get(channel.pk), now)
    if not found and Organization.objects.exists():
        yield Finding(Level.WARNING, "channels", "none is active", "Add one under /admin/, channels.")


def _channel(channel: ChannelAccount, pace: Pace | None, now: datetime) -> Finding:
    where = f"{channel.organization.slug}/{channel.name}"
    settings_page = "See its page under /admin/, channels."
    if channel.kind not in registry.kinds():
        return Finding(Level.WRONG, "channel", f"{where}: no adapter for {channel.kind}", settings_page)
    adapter = registry.adapter_class(channel.kind)
    lacking = [name for name in adapter.required_config if not channel.config.get(name)]
    lacking += [name for name in adapter.required_secrets if not channel.keys().get(name)]
    if lacking:
        return Finding(Level.WRONG, "channel", f"{where}: lacks {', '.join(lacking)}", settings_page)
    if channel.health == ChannelAccount.Health.ATTENTION:
        return Finding(Level.WRONG, "channel", f"{where}: {channel.health_detail}", "Test it there.")
    if pace is not None and pace.rests_until is not None and pace.rests_until > now:
        text = f"{where}: rests until {pace.rests_until:%H:%M:%S} UTC ({pace.rests_because})"
        return Finding(Level.WARNING, "channel", text, "It goes on by itself. If often, lower its rate.")
    if channel.last_inbound_at is None or now - channel.last_inbound_at > QUIET:
        seen = f"{channel.last_inbound_at:%Y-%m-%d}" if channel.last_inbound_at else "never"
        advice = "If customers write, check the webhook address at the platform."
        return Finding(Level.WARNING, "channel", f"{where}: last heard from {seen}", advice)
    return Finding(Level.OK, "channel", f"{where}: heard from {channel.last_inbound_at:%Y-%m-%d %H:%M} UTC")
