"""What the doctor finds, and that it says what to do."""

import http.server
import io
import json
import threading
import time
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from channels_hub.models import ChannelAccount
from conversations.models import Pace, WebhookEndpoint
from pytake.management.commands import doctor
from pytake.management.commands.doctor import Level
from tests import processes
from tests.conftest import another_session
from tests.startup.conftest import eventually, free_port


def levels(findings) -> list[Level]:
    return [finding.level for finding in findings]


def test_an_address_of_this_machine_is_only_good_for_a_trial(settings):
    settings.PUBLIC_URL = "http://127.0.0.1:8000"

    first = next(doctor.environment())

    assert first.level is Level.WARNING
    assert first.advice


@pytest.mark.parametrize(
    ("name", "value", "subject"),
    [("SECRET_KEY", "short", "SECRET_KEY"), ("PYTAKE_FIELD_KEYS", ["no key"], "field keys")],
)
def test_a_weak_or_broken_secret_is_wrong(settings, name, value, subject):
    setattr(settings, name, value)

    assert subject in [found.subject for found in doctor.environment() if found.level is Level.WRONG]


@pytest.mark.parametrize(("mode", "level"), [(0o600, Level.OK), (0o644, Level.WRONG)])
def test_secrets_that_others_can_read_are_wrong(settings, tmp_path, mode, level):
    settings.PYTAKE_HOME = tmp_path
    (tmp_path / "secrets.json").write_text("{}")
    (tmp_path / "secrets.json").chmod(mode)

    assert levels(doctor.secrets_file()) == [level]


@pytest.mark.parametrize(
    ("free", "level"), [(5_000_000_000, Level.OK), (500_000_000, Level.WARNING), (1_000, Level.WRONG)]
)
def test_a_disk_that_fills_up_is_told_before_it_is_full(monkeypatch, free, level):
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)

    assert levels(doctor.disk()) == [level]


def test_a_web_that_does_not_answer_is_wrong(settings):
    settings.INTERNAL_URL = f"http://127.0.0.1:{free_port()}"

    assert levels(doctor.web()) == [Level.WRONG]


def test_another_program_on_our_port_is_wrong(settings):
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.handle_request, daemon=True).start()
    settings.INTERNAL_URL = f"http://127.0.0.1:{server.server_port}"

    found = list(doctor.web())
    server.server_close()

    assert levels(found) == [Level.WRONG]
    assert "another program" in found[0].advice.lower()


def test_a_redis_that_is_away_is_wrong_and_said_at_once(settings):
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"

    assert levels(doctor.broker()) == [Level.WRONG]


def test_the_redis_of_this_run_answers():
    assert Level.WRONG not in levels(doctor.broker())


@pytest.mark.django_db
def test_a_migrated_database_is_fine():
    assert levels(doctor.database()) == [Level.OK]


@pytest.mark.django_db
def test_missing_migrations_are_wrong(monkeypatch):
    monkeypatch.setattr(doctor.MigrationExecutor, "migration_plan", lambda *args: ["one", "two"])

    found = list(doctor.database())

    assert levels(found) == [Level.WRONG]
    assert "2 migrations" in found[0].text


@pytest.mark.django_db
def test_an_empty_desk_is_not_late():
    found = {finding.subject: finding.level for finding in doctor.work()}

    assert (found["inbox"], found["outbox"], found["deadlines"]) == (Level.OK, Level.OK, Level.OK)


def test_work_that_waits_too_long_is_wrong():
    assert doctor._lag("outbox", 59).level is Level.OK
    assert doctor._lag("outbox", 61).level is Level.WRONG


@pytest.mark.parametrize(("age", "level"), [(None, Level.WARNING), (10, Level.OK), (400, Level.WARNING)])
def test_a_clock_that_stands_still_is_told(age, level):
    assert doctor._beat(age).level is level


@pytest.mark.django_db
def test_the_command_fails_when_something_is_wrong_and_says_what_to_do(monkeypatch):
    monkeypatch.setattr(doctor.app.control, "ping", lambda timeout: [])
    output = io.StringIO()

    with pytest.raises(CommandError, match="need you"):
        call_command("doctor", stdout=output)

    assert "none answers" in output.getvalue()
    assert "manage.py up" in output.getvalue()


@pytest.mark.parametrize("url", ["http://desk.example.com", "https://desk.example.com"])
def test_a_public_address_wants_encryption_and_an_answer(settings, monkeypatch, url):
    settings.PUBLIC_URL = url
    monkeypatch.setattr(doctor, "_status_of", lambda root: 502)

    assert levels(doctor.public_address()) == [Level.WRONG] * (2 if url.startswith("http:") else 1)


def test_a_public_address_that_is_not_reached_from_here_is_only_a_warning(settings, monkeypatch):
    settings.PUBLIC_URL = f"https://127.0.0.2:{free_port()}"

    found = list(doctor.public_address())

    assert levels(found) == [Level.WARNING]
    assert found[0].advice


@pytest.mark.django_db
@pytest.mark.parametrize(("ahead", "level"), [(0, Level.OK), (90, Level.WRONG)])
def test_clocks_that_disagree_are_told(monkeypatch, ahead, level):
    now = time.time()
    monkeypatch.setattr(doctor.time, "time", lambda: now + ahead)

    assert levels(doctor.clock()) == [level]


@pytest.mark.django_db(transaction=True)
def test_a_poller_is_seen_by_its_connection_and_its_absence_too(monkeypatch):
    assert levels(doctor.poller()) == [Level.WRONG]
    monkeypatch.setenv("PGAPPNAME", doctor.APPLICATION)

    with another_session() as session:
        session.execute("SELECT 1")
        assert levels(doctor.poller()) == [Level.OK]
        monkeypatch.setattr(doctor, "POLLER_SECONDS", 0)  # it hangs: its last question is too long ago
        assert levels(doctor.poller()) == [Level.WRONG]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_real_poller_and_a_real_worker_are_seen_and_missed_again(tmp_path):
    """Started as `up` starts them, and killed."""
    named = {"DJANGO_SETTINGS_MODULE": "pytake.settings"}
    worker = ["-m", "celery", "-A", "pytake", "worker", "--pool=solo", "--without-gossip", "--without-mingle"]
    assert levels([*doctor.poller(), *doctor.workers()]) == [Level.WRONG, Level.WRONG]
    at_work = (
        processes.poller(tmp_path / "poller.log"),
        processes.Process(worker, tmp_path / "worker.log", **named),
    )
    with processes.running(*at_work):
        for look in (doctor.poller, doctor.workers):
            assert eventually(lambda look=look: levels(look()) == [Level.OK])
        for process in at_work:
            process.kill()
        for look in (doctor.poller, doctor.workers):
            assert eventually(lambda look=look: levels(look()) == [Level.WRONG])


def test_each_channel_is_looked_at(twilio_channel):
    def found():
        return [(one.level, one.text.partition(": ")[2]) for one in doctor.channels()]

    now = timezone.now()
    assert found() == [(Level.WARNING, "last heard from never")]
    ChannelAccount.objects.update(last_inbound_at=now)
    assert found()[0][0] is Level.OK
    Pace.objects.create(
        organization=twilio_channel.organization,
        channel=twilio_channel,
        rests_until=now + timedelta(minutes=1),
        rests_because="unreachable",
    )
    assert found()[0][0] is Level.WARNING
    twilio_channel.mark("attention", "20003 Authenticate")
    assert found() == [(Level.WRONG, "20003 Authenticate")]
    ChannelAccount.objects.update(secrets={})
    assert found() == [(Level.WRONG, "lacks auth_token")]
    ChannelAccount.objects.update(is_active=False)
    assert levels(doctor.channels()) == [Level.WARNING]


def test_keys_that_do_not_open_the_secrets_are_wrong(twilio_channel, settings):
    settings.PYTAKE_FIELD_KEYS = [Fernet.generate_key().decode()]

    found = list(doctor.channels())

    assert levels(found) == [Level.WRONG]
    assert "PYTAKE_FIELD_KEYS" in found[0].advice


def test_what_did_not_arrive_is_told(acme):
    assert levels(doctor.sending()) == [Level.OK]
    WebhookEndpoint.objects.create(
        organization=acme, url="https://example.com/", is_active=False, disabled_because="gone"
    )

    assert levels(doctor.sending()) == [Level.WARNING, Level.OK]


@pytest.mark.django_db
def test_programs_get_the_findings_as_json(monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda: iter([doctor.Finding(Level.WRONG, "web", "x", "y")]))
    output = io.StringIO()

    with pytest.raises(CommandError):
        call_command("doctor", "--json", stdout=output)

    assert json.loads(output.getvalue()) == [{"level": "wrong", "subject": "web", "text": "x", "advice": "y"}]
