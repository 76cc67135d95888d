"""One worker of a run migrates its test database; the others begin with a copy of it from that same run."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from django.db import connection


class Copy:
    """Whoever asks first has to make it, and the others wait for that."""

    def __init__(self) -> None:
        self.name = f"pytake_copy_{os.environ['PYTEST_XDIST_TESTRUNUID'][:16]}"
        self.lock = (Path(os.environ["PYTAKE_HOME"]) / "copy.lock").open("w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.is_mine = not self._exists()
        if not self.is_mine:
            # What a copy lacks is migrated as ever: it cannot be older than the code.
            connection.settings_dict["TEST"]["TEMPLATE"] = self.name
            self.lock.close()

    def _exists(self) -> bool:
        with connection._nodb_cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_database WHERE datname = %s", [self.name])
            return bool(cursor.fetchone()[0])

    def make(self) -> None:
        """Of the database that was just migrated, before anything is written to it."""
        if self.is_mine:
            source = connection.settings_dict["NAME"]
            connection.close()  # nobody may look at what is copied
            with connection._nodb_cursor() as cursor:
                cursor.execute(f'CREATE DATABASE "{self.name}" TEMPLATE "{source}"')
            self.lock.close()

    def drop(self) -> None:
        if self.is_mine:
            with connection._nodb_cursor() as cursor:
                cursor.execute(f'DROP DATABASE "{self.name}"')
