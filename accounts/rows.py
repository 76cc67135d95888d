"""Many rows written back at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection, models


def write_back(rows: Sequence[models.Model], fields: Sequence[str]) -> None:
    """These fields of rows of one model, as `bulk_update` would, by one UPDATE from arrays.

    Django writes a CASE for each row and field, which takes milliseconds of processor time for each row.
    Values only, no expressions; a text that is too long for its column is an error.
    """
    if not rows:
        return
    meta = rows[0]._meta
    columns: list[Any] = [meta.pk, *(meta.get_field(name) for name in fields)]
    arrays = [
        [field.get_db_prep_save(getattr(row, field.attname), connection) for row in rows] for field in columns
    ]
    names = [connection.ops.quote_name(field.column) for field in columns]
    # Without a length: a cast to one would cut what is too long.
    types = [field.db_type(connection).partition("(")[0] for field in columns]
    setting = ", ".join(f"{name} = fresh.{name}" for name in names[1:])
    given = ", ".join(f"%s::{kind}[]" for kind in types)
    table = connection.ops.quote_name(meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(  # the names are our own models'
            f"UPDATE {table} SET {setting} FROM unnest({given}) AS fresh({', '.join(names)}) "  # noqa: S608
            f"WHERE {table}.{names[0]} = fresh.{names[0]}",
            arrays,
        )
