"""What must stand before Django reads its settings: home, secrets, address, stores."""

import atexit
import errno
import os
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

import environ
from django.core.management import execute_from_command_line
from django.db.utils import OperationalError

from pytake import embedded, home
from pytake.home import RunLock
from pytake.trouble import Trouble, from_oserror, from_output

DEFAULT_PORT = 8000
VARIABLES = ("DATABASE_URL", "REDIS_URL", "PORT", "BIND", "PUBLIC_URL", "INTERNAL_URL", "DEBUG")
LOOPBACK = "127.0.0.1"
ANYWHERE = {"0.0.0.0", "::"}  # noqa: S104
NOT_RUNNING = (
    "PyTake is not running here: start it with `python3 manage.py up`, or set DATABASE_URL and REDIS_URL."
)


@dataclass
class Launch:
    """One run of `up`, from the lock to the stores."""

    home: Path
    lock: RunLock
    listener: socket.socket
    demo: bool
    workers: int
    port_moved: bool = False  # the usual port was taken, so that people have to be told
    stores: list[embedded.Server] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.listener.getsockname()[1]

    @property
    def address(self) -> str:
        bind = self.listener.getsockname()[0]
        return f"http://{reachable(bind)}:{self.port}"

    def leave_to_parent(self, *, keep_listener: bool) -> None:
        """What a forked child lets go of: the port and the lock belong to the supervisor."""
        self.lock.release()
        if not keep_listener:
            self.listener.close()


# The command `up` runs inside Django and finds here what was prepared before it.
current: Launch | None = None


def run(argv: list[str]) -> None:
    """Prepare, then hand over to Django's commands; what people can put right becomes one sentence."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pytake.settings")
    command = argv[1] if len(argv) > 1 else "help"
    try:
        environ.Env.read_env(home.ROOT / ".env", overwrite=False)
        if command == "up" and not {"-h", "--help"} & set(argv):
            prepare_up()
        else:
            prepare_command()
        execute_from_command_line(argv)
    except Trouble as trouble:
        sys.exit(f"PyTake: {trouble}")
    except KeyboardInterrupt:
        sys.exit(130)
    except OperationalError as error:
        _explain_database(error)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}:
            raise
        sys.exit(f"PyTake: {from_oserror(error, os.environ.get('PYTAKE_HOME', '.pytake'))}")


def prepare_command() -> None:
    """Any other command: reach what `up` started, start nothing."""
    place = _export_home()
    running = RunLock(place).holder() or {}
    if running.get("port"):
        os.environ.setdefault("PORT", str(running["port"]))
    os.environ.setdefault("DATABASE_URL", embedded.Postgres(place).url)
    os.environ.setdefault("REDIS_URL", embedded.Redis(place).url)
    if port := home.kept_port(place, "fake_provider"):
        os.environ.setdefault("PYTAKE_FAKE_PROVIDER_PORT", str(port))
    _allow_own_addresses()


def prepare_up() -> Launch:
    """Everything below Django, in the order in which it can be refused most cheaply."""
    global current
    place = _export_home()
    demo, workers = _switch("PYTAKE_DEMO", default=True), _count("PYTAKE_WORKERS", default=2)
    port_is_named = bool(os.environ.get("PORT"))
    lock = RunLock(place)
    if not lock.take():
        running = home.read_json(lock.note)
        who = f"process {running.get('pid', '?')} at {running.get('address', '?')}"
        raise Trouble(f"it already runs from {place} ({who}): stop that one, or choose another PYTAKE_HOME.")
    current = Launch(place, lock, open_listener(os.environ.get("BIND") or LOOPBACK), demo, workers)
    current.port_moved = not port_is_named and current.port != DEFAULT_PORT
    _export_addresses(current)
    home.write_json(lock.note, {"pid": os.getpid(), "port": current.port, "address": current.address})
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _leave)
    _stop_stores_at_exit(current)
    current.stores += embedded.start_all(place)
    return current


def open_listener(bind: str) -> socket.socket:
    """The web address, held from the first moment: nobody can take it while we get ready.

    A named PORT is meant; without one the next free port from 8000 does.
    """
    named = os.environ.get("PORT", "")
    if named:
        return _listen(bind, _port_number(named))
    for number in range(DEFAULT_PORT, DEFAULT_PORT + 100):
        try:
            return _listen(bind, number)
        except _Taken:
            continue
    raise Trouble("All ports from 8000 to 8099 are taken: choose one with PORT=.")


def reachable(bind: str) -> str:
    """The address under which this machine reaches what listens there."""
    if bind in ANYWHERE:
        return LOOPBACK
    return f"[{bind}]" if ":" in bind else bind


class _Taken(Trouble):
    """The port is somebody else's."""


def _listen(bind: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    try:
        return socket.create_server((bind, port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _Taken(
                f"port {port} on {bind} is taken by another program: stop it, or choose another with PORT=."
            ) from error
        if error.errno == errno.EACCES:
            raise Trouble(f"port {port} is reserved for root: choose one above 1023 with PORT=.") from error
        raise Trouble(f"BIND={bind} is not an address of this machine.") from error


def _port_number(text: str) -> int:
    if text.isdecimal() and int(text) < 65536:
        return int(text)
    raise Trouble(f"PORT={text} is not a port: give a number from 1 to 65535.")


def _switch(name: str, *, default: bool) -> bool:
    text = os.environ.get(name, "").strip().lower()
    if text in {"", "0", "1", "true", "false", "yes", "no", "on", "off"}:
        return default if not text else text in {"1", "true", "yes", "on"}
    raise Trouble(f"{name}={text} is neither 1 nor 0.")


def _count(name: str, *, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise Trouble(f"{name}={text} is not a number above 0.")


def _export_home() -> Path:
    place = home.locate()
    os.environ["PYTAKE_HOME"] = str(place)
    for name in VARIABLES:
        if not os.environ.get(name):
            os.environ.pop(name, None)  # an empty line of .env means "not set"
    home.export_secrets(place)
    return place


def _export_addresses(launch: Launch) -> None:
    os.environ["PORT"] = str(launch.port)
    if launch.address != f"http://{LOOPBACK}:{launch.port}":
        for name in ("PUBLIC_URL", "INTERNAL_URL"):
            os.environ.setdefault(name, launch.address)
    if launch.demo:
        os.environ["PYTAKE_FAKE_PROVIDER_PORT"] = str(home.steady_port(launch.home, "fake_provider"))
    _allow_own_addresses()


def _allow_own_addresses() -> None:
    """Outgoing HTTP may reach this installation itself (the simulator) and the fake provider."""
    hosts = [host for host in os.environ.get("PYTAKE_ALLOW_PRIVATE_HOSTS", "").split(",") if host]
    own = [f"{reachable(os.environ.get('BIND') or LOOPBACK)}:{os.environ.get('PORT') or DEFAULT_PORT}"]
    if port := os.environ.get("PYTAKE_FAKE_PROVIDER_PORT"):
        own.append(f"{LOOPBACK}:{port}")
    os.environ["PYTAKE_ALLOW_PRIVATE_HOSTS"] = ",".join(dict.fromkeys([*hosts, *own]))


def _stop_stores_at_exit(launch: Launch) -> None:
    owner = os.getpid()

    def stop() -> None:
        if os.getpid() == owner:
            embedded.stop_all(launch.stores)
            launch.lock.note.unlink(missing_ok=True)

    atexit.register(stop)


def _leave(signum: int, frame: FrameType | None) -> NoReturn:
    """Told to stop before the supervisor took over: end through the exit handlers."""
    raise SystemExit(128 + signum)


def _explain_database(error: OperationalError) -> None:
    said = str(error)
    if current is not None:
        sys.exit(
            f"PyTake: {from_output(said, current.home, f'the database refused: {said.splitlines()[0]}')}"
        )
    place = Path(os.environ["PYTAKE_HOME"])
    if os.environ["DATABASE_URL"] != embedded.Postgres(place).url:
        sys.exit(f"PyTake: the database of DATABASE_URL refused: {said.splitlines()[0]}")
    if not embedded.Postgres(place).answers():
        sys.exit(f"PyTake: {NOT_RUNNING}")
    raise error
