"""Primary keys: UUIDv7, public and index-friendly because they grow with time."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    return uuid7()
