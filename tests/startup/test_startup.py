"""What stands in the environment before Django reads its settings."""

import os
import socket

import pytest

from pytake import startup
from pytake.trouble import Trouble


def test_without_a_named_port_the_next_free_one_is_taken(bare_env):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        bare_env.setattr(startup, "DEFAULT_PORT", number)
        listener = startup.open_listener("127.0.0.1")

    with listener:
        assert number < listener.getsockname()[1] <= number + 100


def test_a_named_port_that_is_taken_is_an_error(bare_env):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bare_env.setenv("PORT", str(taken.getsockname()[1]))

        with pytest.raises(Trouble, match="is taken by another program"):
            startup.open_listener("127.0.0.1")


@pytest.mark.parametrize("port", ["http", "-1", "65536", "80.5"])
def test_a_port_that_is_none_is_named(bare_env, port):
    bare_env.setenv("PORT", port)

    with pytest.raises(Trouble, match=f"PORT={port} is not a port"):
        startup.open_listener("127.0.0.1")


@pytest.mark.parametrize(
    ("bind", "address"),
    [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("192.0.2.1", "192.0.2.1"), ("::1", "[::1]")],
)
def test_the_address_to_reach_what_listens(bind, address):
    assert startup.reachable(bind) == address


def test_a_command_is_pointed_at_the_sockets_of_its_home(tmp_path, bare_env):
    bare_env.setenv("PYTAKE_HOME", str(tmp_path))

    startup.prepare_command()

    assert os.environ["DATABASE_URL"] == f"postgresql://postgres@/pytake?host={tmp_path}/postgres"
    assert os.environ["REDIS_URL"] == f"unix://{tmp_path}/redis/redis.sock?db=0"


def test_a_named_database_is_left_alone(tmp_path, bare_env):
    bare_env.setenv("PYTAKE_HOME", str(tmp_path))
    bare_env.setenv("DATABASE_URL", "postgresql://elsewhere/pytake")

    startup.prepare_command()

    assert os.environ["DATABASE_URL"] == "postgresql://elsewhere/pytake"


def test_own_addresses_join_the_hosts_that_may_be_reached(bare_env):
    bare_env.setenv("PYTAKE_ALLOW_PRIVATE_HOSTS", "10.0.0.5:80")
    bare_env.setenv("PYTAKE_FAKE_PROVIDER_PORT", "20001")
    bare_env.setenv("PORT", "8123")

    startup._allow_own_addresses()

    assert os.environ["PYTAKE_ALLOW_PRIVATE_HOSTS"] == "10.0.0.5:80,127.0.0.1:8123,127.0.0.1:20001"
