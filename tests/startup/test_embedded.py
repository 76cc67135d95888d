"""Our own PostgreSQL and Redis: addresses, places, and lives."""

import os
import signal
import subprocess
import sys

import psycopg
import pytest

from pytake import embedded, places
from pytake.home import ROOT
from pytake.trouble import Trouble
from tests.startup.conftest import eventually


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("unix:///run/redis.sock?db=0", "redis+socket:///run/redis.sock?virtual_host=0"),
        ("unix:///run/redis.sock?db=3", "redis+socket:///run/redis.sock?virtual_host=3"),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock?virtual_host=0"),
        ("redis://:secret@cache:6379/1", "redis://:secret@cache:6379/1"),
        ("rediss://cache:6380/0", "rediss://cache:6380/0"),
    ],
)
def test_celery_gets_the_address_it_understands(url, expected):
    assert embedded.celery_url(url) == expected


@pytest.mark.parametrize("name", ["x" * 120, "with space", "per%cent", "amper&sand", "ação"])
def test_a_path_that_fits_no_socket_address_gets_a_short_one(tmp_path, name):
    short = places.socket_dir(tmp_path / name)

    assert len(str(short)) < 60
    assert short == places.socket_dir(tmp_path / name)
    assert short != places.socket_dir(tmp_path / f"{name}2")


def test_a_copied_home_does_not_share_the_database_of_the_original(tmp_path):
    original, copy = tmp_path / "original", tmp_path / "copy"
    for home in (original, copy):
        home.mkdir()
        (home / "postgres").symlink_to(f"/var/lib/pytake/{places.mark(original)}-ab12cd")

    assert places.postgres_dir(original).parent == places.SYSTEM_DIR
    assert places.postgres_dir(copy) == copy / "postgres"


def test_a_directory_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "theirs")

    with pytest.raises(Trouble, match="belongs to somebody else"):
        places.own_dir(tmp_path / "link")


def test_a_number_that_now_belongs_to_another_program_is_not_ours(tmp_path):
    server = embedded.Redis(tmp_path)
    server.data.mkdir()
    (server.data / "redis.pid").write_text(str(os.getpid()))

    assert server.pid is None


@pytest.mark.slow
def test_a_store_starts_is_adopted_keeps_its_data_and_stops(open_place, bare_env):
    first = embedded.Postgres(open_place, throwaway=True)
    first.start()
    try:
        with psycopg.connect(first.url) as connection:
            connection.execute("CREATE TABLE kept ()")
        second = embedded.Postgres(open_place, throwaway=True)
        second.start()
        assert second.pid == first.pid
    finally:
        first.stop()
    assert not first.alive()
    assert not second.answers()

    second.start()
    try:
        with psycopg.connect(second.url) as connection:
            connection.execute("SELECT FROM kept")
    finally:
        second.stop()


@pytest.mark.slow
def test_throwaway_stores_end_with_the_process_that_started_them(tmp_path, bare_env):
    script = (
        "import os, signal; from pathlib import Path; from pytake import embedded;"
        f"server = embedded.Redis(Path({str(tmp_path)!r}), throwaway=True); server.start();"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)

    assert done.returncode == -signal.SIGKILL
    assert eventually(lambda: not embedded.Redis(tmp_path).answers())


def test_a_server_that_cannot_start_says_why(tmp_path, bare_env):
    server = embedded.Redis(tmp_path, throwaway=True)
    bare_env.setattr(server, "_command", lambda: ["/bin/sh", "-c", "echo 'No space left on device'; exit 1"])

    with pytest.raises(Trouble, match="disk is full"):
        server.start()
