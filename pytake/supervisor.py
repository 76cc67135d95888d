"""Keeps a handful of forked children running, and ends them in order.

One thread on purpose: a fork while another thread holds a lock leaves a child that waits for it forever.
"""

import os
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn, Protocol

from pytake.embedded import die_with_parent
from pytake.trouble import Trouble

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
STEADY_SECONDS = 30.0  # a child that lived this long starts with a short pause again
LOG_LIMIT, LOG_FILES = 5_000_000, 3
TICK = 0.25
STORE_TICK = 1.0
FIRST_CHILD_SECONDS = 15.0


class Store(Protocol):
    """What the supervisor needs to know of a database or broker."""

    name: str

    def alive(self) -> bool: ...

    def start(self) -> None: ...


@dataclass(frozen=True)
class Child:
    """A part of the system that runs in a process of its own."""

    name: str
    run: Callable[[], object]
    phase: int = 0  # lower phases stop earlier
    grace: float = 10.0  # seconds between "please stop" and "stop"


class Log:
    """A file that starts anew when it is full and keeps its predecessors."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab")

    def write(self, line: bytes) -> None:
        if self._file.tell() + len(line) > LOG_LIMIT:
            self._rotate()
        with suppress(OSError):  # a full disk must not end the system
            self._file.write(line)
            self._file.flush()

    def _rotate(self) -> None:
        self._file.close()
        for number in range(LOG_FILES - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))
        self._file = self._path.open("ab")

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


@dataclass
class _Seat:
    """A child's place: its process comes and goes."""

    child: Child
    log: Log
    pid: int = 0
    pipe: int = -1
    rest: bytes = b""
    started: float = 0.0
    failures: int = 0
    due: float | None = None  # when to start again


@dataclass
class Supervisor:
    """Starts the first child alone, the others once it is ready, and brings back whoever dies."""

    children: Sequence[Child]
    logs: Path
    say: Callable[[str], None]
    ready: Callable[[], bool] = lambda: True
    announce: Callable[[], None] = lambda: None
    in_child: Callable[[str], None] = lambda name: None
    changed: Callable[[dict[str, int]], None] = lambda pids: None
    stores: Sequence[Store] = ()
    _seats: dict[str, _Seat] = field(default_factory=dict)
    _signals: int = 0
    _announced: bool = False
    _look_at_stores: float = 0.0

    def run(self) -> None:
        """Until SIGINT, SIGTERM or SIGHUP; a second signal ends the waiting for slow children."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self._selector = selectors.DefaultSelector()
        self._width = max(len(child.name) for child in self.children)
        for child in self.children:
            self._seats[child.name] = _Seat(child, Log(self.logs / f"{child.name}.log"))
        self._listen_to_signals()
        opened = time.monotonic()
        self._start(self._seats[self.children[0].name])
        while not self._signals:
            self._turn(TICK)
            self._open(time.monotonic() - opened)
            self._start_due()
            self._revive_stores()
        self._stop()

    def _open(self, waited: float) -> None:
        """The others would only slow the first page down."""
        if self._announced:
            return
        is_ready = self.ready()
        if is_ready or waited > FIRST_CHILD_SECONDS:
            for seat in self._seats.values():
                if not seat.pid and seat.due is None:
                    self._start(seat)
        if is_ready:
            self._announced = True
            self.announce()

    def _listen_to_signals(self) -> None:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(reader, selectors.EVENT_READ, None)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, self._asked_to_stop)
        signal.signal(signal.SIGCHLD, lambda signum, frame: None)  # only to wake the loop

    def _asked_to_stop(self, signum: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _turn(self, seconds: float) -> None:
        """Pass on what the children print, and notice who ended."""
        for key, _ in self._selector.select(seconds):
            if key.data is None:
                with suppress(BlockingIOError):
                    os.read(key.fd, 4096)
            else:
                self._pass_on(key.data)
        for seat in self._seats.values():
            if seat.pid:
                self._reap(seat)

    def _pass_on(self, seat: _Seat) -> bool:
        try:
            chunk = os.read(seat.pipe, 65536)
        except BlockingIOError:
            return False
        *lines, seat.rest = (seat.rest + chunk).split(b"\n")
        if not chunk and seat.rest:
            lines, seat.rest = [*lines, seat.rest], b""
        for line in lines:
            seat.log.write(line + b"\n")
            self._print(f"{seat.child.name:<{self._width}} | {line.decode(errors='replace')}")
        if not chunk:
            self._selector.unregister(seat.pipe)
            os.close(seat.pipe)
            seat.pipe = -1
        return bool(chunk)

    def _reap(self, seat: _Seat) -> None:
        pid, status = os.waitpid(seat.pid, os.WNOHANG)
        if not pid:
            return
        # Its session may hold stragglers, such as the pool of a killed worker.
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        while seat.pipe >= 0 and self._pass_on(seat):
            pass
        seat.pid = 0
        self._tell()
        if not self._signals:
            self._plan_return(seat, os.waitstatus_to_exitcode(status))

    def _plan_return(self, seat: _Seat, code: int) -> None:
        now = time.monotonic()
        if now - seat.started > STEADY_SECONDS:
            seat.failures = 0
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**seat.failures)
        seat.failures += 1
        seat.due = now + pause
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        self.say(f"{seat.child.name} {how}; it starts again in {pause:.1f} s")

    def _start_due(self) -> None:
        now = time.monotonic()
        for seat in self._seats.values():
            if seat.due is not None and seat.due <= now:
                self._start(seat)

    def _start(self, seat: _Seat) -> None:
        self._drop_pipe(seat)
        reader, writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reader, False)
        sys.stdout.flush()
        sys.stderr.flush()
        supervisor = os.getpid()
        pid = os.fork()
        if not pid:
            self._become(seat.child, writer, supervisor)
        os.close(writer)
        seat.pid, seat.pipe, seat.started, seat.due = pid, reader, time.monotonic(), None
        self._selector.register(reader, selectors.EVENT_READ, seat)
        self.say(f"{seat.child.name} started (process {pid})")
        self._tell()

    def _tell(self) -> None:
        self.changed({name: seat.pid for name, seat in self._seats.items() if seat.pid})

    def _drop_pipe(self, seat: _Seat) -> None:
        """A straggler that left its session may still hold the other end."""
        if seat.pipe >= 0:
            self._selector.unregister(seat.pipe)
            os.close(seat.pipe)
            seat.pipe = -1

    def _become(self, child: Child, output: int, supervisor: int) -> NoReturn:
        """The forked half: a session of its own, that ends with the supervisor."""
        code = 1
        try:
            os.setsid()
            die_with_parent(signal.SIGTERM)
            if os.getppid() != supervisor:
                os._exit(1)
            self._forget_parent(output)
            self.in_child(child.name)
            child.run()
            code = 0
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _forget_parent(self, output: int) -> None:
        signal.set_wakeup_fd(-1)
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(signum, signal.SIG_DFL)
        self._selector.close()
        for seat in self._seats.values():
            if seat.pipe >= 0:
                os.close(seat.pipe)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)

    def _revive_stores(self) -> None:
        if time.monotonic() < self._look_at_stores:
            return
        self._look_at_stores = time.monotonic() + STORE_TICK
        for store in self.stores:
            if not store.alive():
                self.say(f"{store.name} is gone; starting it again")
                try:
                    store.start()
                except Trouble as trouble:
                    self.say(f"{store.name}: {trouble}")

    def _stop(self) -> None:
        self.say("stopping")
        for phase in sorted({child.phase for child in self.children}):
            seats = [seat for seat in self._seats.values() if seat.child.phase == phase]
            self._end(seats)
        self.say("everything has stopped")

    def _end(self, seats: Sequence[_Seat]) -> None:
        for seat in seats:
            self._signal(seat, signal.SIGTERM)
        deadlines = {seat.child.name: time.monotonic() + seat.child.grace for seat in seats}
        while any(seat.pid for seat in seats):
            self._turn(0.1)
            for seat in seats:
                if seat.pid and (self._signals > 1 or time.monotonic() > deadlines[seat.child.name]):
                    self.say(f"{seat.child.name} does not stop; killing it")
                    self._signal(seat, signal.SIGKILL)

    def _signal(self, seat: _Seat, signum: signal.Signals) -> None:
        if seat.pid:
            with suppress(ProcessLookupError):
                os.kill(seat.pid, signum)

    def _print(self, line: str) -> None:
        with suppress(OSError):  # whoever read our output may have gone
            print(line, flush=True)
