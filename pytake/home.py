"""What PyTake keeps for itself under PYTAKE_HOME: secrets, the ports that stay, who is running."""

import base64
import fcntl
import hashlib
import json
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytake.trouble import Trouble

ROOT = Path(__file__).resolve().parent.parent
SECRETS = "secrets.json"
PORTS = "ports.json"
# Below the range from which Linux takes ports for outgoing connections.
_QUIET_PORTS = range(20000, 30000)


def _field_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


GENERATED: dict[str, Callable[[], str]] = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(48),
    "PYTAKE_FIELD_KEYS": _field_key,
    "PYTAKE_DEMO_PASSWORD": lambda: f"{secrets.token_hex(3)}-{secrets.token_hex(3)}",
}


def locate() -> Path:
    """PYTAKE_HOME as an absolute path; a relative one counts from the checkout, not from where one stands."""
    home = ROOT / Path(os.environ.get("PYTAKE_HOME") or ".pytake").expanduser()
    home.mkdir(parents=True, exist_ok=True)
    return home.resolve()


def export_secrets(home: Path) -> None:
    """Give the environment the secrets it does not name: the kept ones, else new ones."""
    missing = [name for name in GENERATED if not os.environ.get(name)]
    if not missing:
        return
    with _locked(home / ".secrets.lock"):
        kept = read_json(home / SECRETS)
        new = {name: GENERATED[name]() for name in missing if name not in kept}
        if "PYTAKE_FIELD_KEYS" in new and (home / "postgres").exists():
            raise Trouble(
                f"{home / SECRETS} does not hold the keys of the database beside it: "
                "put the file back, or set PYTAKE_FIELD_KEYS and SECRET_KEY."
            )
        if new:
            write_json(home / SECRETS, kept | new)
    os.environ.update({name: (kept | new)[name] for name in missing})


def keep_secret(home: Path, name: str) -> None:
    """Keep a value that the environment gave, because something was built with it."""
    with _locked(home / ".secrets.lock"):
        write_json(home / SECRETS, read_json(home / SECRETS) | {name: os.environ[name]})


def steady_port(home: Path, name: str) -> int:
    """A free port of the loopback that this home keeps from now on."""
    ports = read_json(home / PORTS)
    start = int(hashlib.sha256(f"{home} {name}".encode()).hexdigest(), 16) % len(_QUIET_PORTS)
    candidates = [ports[name]] if name in ports else []
    candidates += [_QUIET_PORTS[(start + step) % len(_QUIET_PORTS)] for step in range(200)]
    port = next((number for number in candidates if is_free("127.0.0.1", number)), None)
    if port is None:
        raise Trouble(f"No free port was found for {name}.")
    if ports.get(name) != port:
        write_json(home / PORTS, ports | {name: port})
    return port


def kept_port(home: Path, name: str) -> int | None:
    """The port that an earlier start chose."""
    return read_json(home / PORTS).get(name)


def is_free(address: str, port: int) -> bool:
    try:
        socket.create_server((address, port)).close()
    except OSError:
        return False
    return True


def read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise Trouble(f"{path} is damaged: repair or remove it.") from error
    return found


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all, and for the owner only."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


class RunLock:
    """One `up` per home. The kernel frees it when the holder ends, however it ends."""

    def __init__(self, home: Path) -> None:
        self.note = home / "up.json"
        self._path = home / ".up.lock"
        self._handle: int | None = None

    def take(self) -> bool:
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def holder(self) -> dict[str, Any] | None:
        """What the running `up` wrote about itself, or nothing when none runs."""
        if not self._path.exists():
            return None
        if self.take():
            self.release()
            return None
        return read_json(self.note)

    def release(self) -> None:
        """Also what a forked child does first: it must not hold the lock in its parent's place."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
