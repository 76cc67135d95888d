"""From a bare Python to a filled .venv. Standard library only, and no syntax an older Python cannot read."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".requirements.json"
LOG = VENV / "install.log"
REQUIREMENTS = {"up": ROOT / "requirements.txt", "test": ROOT / "requirements-dev.txt"}
INSTALLER = ROOT / "pytake" / "installer.txt"
OLDEST = (3, 11)
BROWSER_PACKAGES = ["chromium", "fonts-dejavu-core", "fonts-noto-color-emoji"]

_trouble = runpy.run_path(str(ROOT / "pytake" / "trouble.py"))


def ensure(argv: list[str]) -> None:
    """Leave this process inside an environment that can run the command, or end with one sentence."""
    command = argv[1] if len(argv) > 1 else ""
    if sys.version_info < OLDEST:
        sys.exit(f"PyTake needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}.")
    try:
        if not os.environ.get("PYTAKE_NO_BOOTSTRAP"):
            if command in REQUIREMENTS:
                fill(REQUIREMENTS[command])
            enter(argv)
        if importlib.util.find_spec("django") is None:
            sys.exit("PyTake is not installed here yet: run `python3 manage.py up` first.")
        if command == "test":
            run_tests(argv[2:])
    except KeyboardInterrupt:
        sys.exit(130)
    except _trouble["Trouble"] as trouble:
        sys.exit(f"PyTake: {trouble}")
    except OSError as error:
        sys.exit(f"PyTake: {_trouble['from_oserror'](error, VENV)}")


def enter(argv: list[str]) -> None:
    """Start again with .venv's Python when there is one and we are outside."""
    if PYTHON.exists() and not is_inside():
        os.execv(str(PYTHON), [str(PYTHON), *argv])  # noqa: S606


def is_inside() -> bool:
    return Path(sys.prefix).resolve() == VENV.resolve()


def fill(requirements: Path) -> None:
    """Install the list unless this .venv already holds it."""
    if is_filled(requirements):
        return
    VENV.mkdir(exist_ok=True)
    with only_one():
        if not is_filled(requirements):
            # A developer's environment keeps its tools.
            set_up(REQUIREMENTS["test"] if REQUIREMENTS["test"].name in read_stamp() else requirements)


def set_up(requirements: Path) -> None:
    say(f"Setting up {VENV} from {requirements.name}: once, about a minute.")
    started = time.monotonic()
    create()
    install(requirements)
    write_stamp(requirements)
    say(f"  done in {time.monotonic() - started:.0f} s")


@contextmanager
def only_one() -> Iterator[None]:
    """Two commands started together must not both install."""
    handle = os.open(VENV, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def is_filled(requirements: Path) -> bool:
    return PYTHON.exists() and read_stamp().get(requirements.name) == fingerprint(requirements)


def fingerprint(requirements: Path) -> str:
    """Of the list and of the Python that .venv was made from, not of the one that happens to run us."""
    made_from = VENV / "pyvenv.cfg"
    python = made_from.read_bytes() if made_from.exists() else b""
    return hashlib.sha256(requirements.read_bytes() + python).hexdigest()


def read_stamp() -> dict[str, str]:
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(requirements: Path) -> None:
    """The list for tests contains the one for running."""
    held = [requirements, REQUIREMENTS["up"]]
    STAMP.write_text(json.dumps({path.name: fingerprint(path) for path in held}))


def create() -> None:
    """A virtual environment with pip; made anew when an earlier attempt was cut short."""
    if has_pip():
        return
    if importlib.util.find_spec("ensurepip") is None:
        raise _trouble["Trouble"](
            "Python cannot make virtual environments: run `apt install python3-venv` first."
        )
    step("creating the environment", [sys.executable, "-m", "venv", "--clear", str(VENV)])


def has_pip() -> bool:
    probe = [str(PYTHON), "-c", "import pip"]
    return PYTHON.exists() and subprocess.run(probe, capture_output=True, check=False).returncode == 0


def install(requirements: Path) -> None:
    """With uv, several times faster than pip; with pip where uv cannot be had. Both check every hash."""
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--require-hashes", "-r"]
    uv = [str(VENV / "bin" / "uv"), "pip", "sync", "--require-hashes", "--python", str(PYTHON)]
    count = sum(1 for line in requirements.read_text().splitlines() if "==" in line)
    try:
        step("fetching the installer", [*pip, str(INSTALLER)])
        step(f"installing {count} packages", [*uv, str(requirements)])
    except _trouble["Trouble"] as trouble:
        if "full" in str(trouble):
            raise
        step(f"installing {count} packages with pip (slower)", [*pip, str(requirements)])


def step(label: str, command: list[str]) -> None:
    """One installer command: its words go into a file, a sign of life onto the screen."""
    say(f"  {label}")
    started = time.monotonic()
    with LOG.open("w+b") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        while wait(process, 5) is None:
            say(f"    still at it, {time.monotonic() - started:.0f} s")
        log.seek(0)
        said = log.read().decode(errors="replace").strip()
    if process.returncode:
        last = said.splitlines()[-1] if said else "it said nothing"
        raise _trouble["from_output"](said, VENV, f"{label} failed: {last} (more in {LOG}).")


def wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def run_tests(arguments: list[str]) -> None:
    """Become pytest, from the top of the checkout."""
    ensure_browser()
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])  # noqa: S606


def ensure_browser() -> None:
    """The browser tests drive Debian's Chromium; get it where we may."""
    if shutil.which("chromium"):
        return
    by_hand = f"apt-get install -y {' '.join(BROWSER_PACKAGES)}"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        say(f"Chromium is missing, so the browser tests cannot run; get it with `{by_hand}` as root.")
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-y", "-q", *BROWSER_PACKAGES]):
        say(f"Chromium is missing: {' '.join(command[:2])}")
        if subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode:
            say(f"Chromium could not be installed, so the browser tests cannot run; try `{by_hand}`.")
            return


def say(text: str) -> None:
    print(text, flush=True)
