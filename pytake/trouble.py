"""One clear sentence for what can go wrong on somebody else's machine. Standard library only."""

import errno
import re

FULL = "The disk is full ({where}): free some space, then start again."
CLOSED = "{where} is closed to this user: fix its owner and rights, or choose another PYTAKE_HOME."
LIBRARY = "The system library {name} is missing: install the package that brings it, then start again."
_FULL = (errno.ENOSPC, errno.EDQUOT)
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_SPACE = re.compile(r"No space left on device|os error 28|wrote only \d+ of \d+ bytes")
_MISSING_LIBRARY = re.compile(r"(\S+\.so[.\d]*): cannot open shared object file")


class Trouble(Exception):
    """Something the person at the keyboard can put right; the text says how."""


def from_oserror(error: OSError, where: object) -> Trouble:
    """The sentence for a file operation that failed."""
    place = error.filename or where
    if error.errno in _FULL:
        return Trouble(FULL.format(where=place))
    if error.errno in _CLOSED:
        return Trouble(CLOSED.format(where=place))
    return Trouble(f"{place}: {error.strerror or error}.")


def from_output(text: str, where: object, otherwise: str) -> Trouble:
    """The sentence for a program that failed, read from what it printed."""
    missing = _MISSING_LIBRARY.search(text)
    if _NO_SPACE.search(text):
        return Trouble(FULL.format(where=where))
    if missing:
        return Trouble(LIBRARY.format(name=missing.group(1)))
    if "Permission denied" in text or "Read-only file system" in text:
        return Trouble(CLOSED.format(where=where))
    return Trouble(otherwise)
