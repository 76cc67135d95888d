"""Secrets, ports and the lock of a home."""

import os
import socket
import stat

import pytest
from cryptography.fernet import Fernet

from pytake import home
from pytake.trouble import Trouble


def test_secrets_are_made_once_and_kept_for_the_owner(tmp_path, bare_env):
    home.export_secrets(tmp_path)
    first = {name: os.environ.pop(name) for name in home.GENERATED}
    home.export_secrets(tmp_path)

    assert {name: os.environ[name] for name in home.GENERATED} == first
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_the_generated_field_key_is_a_fernet_key(tmp_path, bare_env):
    home.export_secrets(tmp_path)
    key = Fernet(os.environ["PYTAKE_FIELD_KEYS"])

    assert key.decrypt(key.encrypt(b"token")) == b"token"


def test_the_environment_wins_over_the_file(tmp_path, bare_env):
    home.export_secrets(tmp_path)
    bare_env.setenv("SECRET_KEY", "from the operator")

    home.export_secrets(tmp_path)

    assert os.environ["SECRET_KEY"] == "from the operator"
    assert "from the operator" not in (tmp_path / "secrets.json").read_text()


def test_lost_keys_of_an_existing_database_are_not_replaced_silently(tmp_path, bare_env):
    (tmp_path / "postgres").mkdir()

    with pytest.raises(Trouble, match="does not hold the keys"):
        home.export_secrets(tmp_path)


def test_two_homes_get_different_secrets(tmp_path, bare_env):
    made = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        home.export_secrets(tmp_path / name)
        made.add(os.environ.pop("SECRET_KEY"))

    assert len(made) == 2


def test_a_damaged_file_gets_one_sentence(tmp_path, bare_env):
    (tmp_path / "secrets.json").write_text("{")

    with pytest.raises(Trouble, match="is damaged"):
        home.export_secrets(tmp_path)


def test_a_port_stays_the_same_across_starts(tmp_path):
    assert home.steady_port(tmp_path, "provider") == home.steady_port(tmp_path, "provider")
    assert home.kept_port(tmp_path, "provider") == home.steady_port(tmp_path, "provider")


def test_a_port_that_somebody_took_is_given_up(tmp_path):
    port = home.steady_port(tmp_path, "provider")
    with socket.create_server(("127.0.0.1", port)):
        other = home.steady_port(tmp_path, "provider")

    assert other != port
    assert home.steady_port(tmp_path, "provider") == other


def test_a_relative_home_counts_from_the_checkout(tmp_path, bare_env):
    bare_env.chdir(tmp_path)
    bare_env.setattr(home, "ROOT", tmp_path / "checkout")
    bare_env.setenv("PYTAKE_HOME", "data")

    assert home.locate() == tmp_path / "checkout" / "data"


def test_only_one_run_holds_a_home(tmp_path):
    first, second = home.RunLock(tmp_path), home.RunLock(tmp_path)
    assert first.take()
    home.write_json(first.note, {"pid": 7})

    assert not second.take()
    assert second.holder() == {"pid": 7}


def test_a_note_of_a_run_that_ended_counts_for_nothing(tmp_path):
    lock = home.RunLock(tmp_path)
    lock.take()
    home.write_json(lock.note, {"pid": 7})
    lock.release()

    assert home.RunLock(tmp_path).holder() is None
