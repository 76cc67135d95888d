"""Primary keys: UUIDv7, public and index-friendly because they grow with time."""

from datetime import datetime
from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    return uuid7()


def first_id_at(moment: datetime) -> UUID:
    """Lower than every id made from this moment on: a range of time, read from the primary key."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
