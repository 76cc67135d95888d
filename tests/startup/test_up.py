"""The start command, run for real: what a new user meets, and what happens when parts of it die."""

import os
import signal
import socket
import stat

import psutil
import pytest

from pytake.embedded import Postgres, Redis, Server
from pytake.home import read_json
from tests.startup.conftest import Installation, eventually, is_running

pytestmark = pytest.mark.slow


def test_it_prints_address_logins_password_and_logs(installation: Installation):
    said = installation.said()
    password = read_json(installation.home / "secrets.json")["PYTAKE_DEMO_PASSWORD"]

    for expected in (installation.address, "ana@demo.pytake", password, "/simulator/", "logs"):
        assert expected in said


def test_everything_runs_under_one_supervisor(installation: Installation):
    assert all(is_running(pid) for pid in installation.complete().values())


def test_what_it_keeps_is_for_the_owner_only(installation: Installation):
    for name in ("secrets.json", "postgres", "redis"):
        assert not stat.S_IMODE((installation.home / name).stat().st_mode) & 0o077, name


def test_other_commands_reach_the_running_database(installation: Installation):
    done = installation.command("migrate", "--check")

    assert done.returncode == 0, done.stderr


def test_a_second_start_in_the_same_home_gets_one_sentence(installation: Installation):
    done = installation.command("up")

    assert done.returncode == 1
    assert "already runs" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_killed_child_comes_back(installation: Installation):
    before = installation.complete()
    for name in ("web", "worker"):
        os.kill(before[name], signal.SIGKILL)

    assert eventually(lambda: before.items() & installation.children().items() == untouched(before))
    assert all(is_running(pid) for pid in installation.complete().values())
    assert eventually(installation.answers)


def untouched(children: dict[str, int]) -> set[tuple[str, int]]:
    return {(name, pid) for name, pid in children.items() if name not in {"web", "worker"}}


@pytest.mark.parametrize("kind", [Postgres, Redis])
def test_a_killed_store_comes_back(installation: Installation, kind: type[Server]):
    before = kind(installation.home).pid
    os.kill(before, signal.SIGKILL)

    assert eventually(lambda: kind(installation.home).pid not in {None, before})
    assert eventually(kind(installation.home).answers)


def test_a_killed_supervisor_takes_its_children_and_the_next_adopts_the_stores(
    installation: Installation,
):
    database, children = Postgres(installation.home).pid, installation.complete()
    installation.process.kill()
    installation.process.wait()
    assert eventually(lambda: not any(is_running(pid) for pid in children.values()))

    installation.start()

    assert Postgres(installation.home).pid == database


def test_a_stop_after_all_that_leaves_no_process(installation: Installation):
    os.kill(installation.complete()["beat"], signal.SIGKILL)
    pids = installation.pids() | {kind(installation.home).pid for kind in (Postgres, Redis)}

    assert installation.stop() == 0
    assert eventually(lambda: not any(is_running(pid) for pid in pids), patience=5)
    assert not any(str(installation.home) in str(p.info["cmdline"]) for p in psutil.process_iter(["cmdline"]))


def test_a_command_without_the_system_says_how_to_start_it(installation: Installation):
    done = installation.command("migrate", "--check")

    assert done.returncode == 1
    assert done.stderr.strip().startswith("PyTake: PyTake is not running here: start it with")


def test_a_taken_port_gets_one_sentence_and_starts_nothing(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        installation = Installation(tmp_path)
        done = installation.command("up", PORT=str(other.getsockname()[1]))

    assert done.returncode == 1
    assert "is taken by another program" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (installation.home / "postgres").exists()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PORT", "http"), ("PYTAKE_DEMO", "maybe"), ("PYTAKE_WORKERS", "-1"), ("BIND", "203.0.113.7")],
)
def test_a_wrong_value_fails_loudly(tmp_path, variable: str, value: str):
    done = Installation(tmp_path).command("up", **{variable: value})

    assert done.returncode == 1
    assert f"{variable}={value}" in done.stderr
    assert "Traceback" not in done.stderr
