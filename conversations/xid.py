"""PostgreSQL's transaction id as a column: the only cursor over many writers that misses nothing.

An autoincrement id is not in commit order: a reader that resumes after the largest id it saw loses the
rows of transactions that took a smaller id and committed later.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Func


class CurrentTransactionId(Func):
    function = "pg_current_xact_id"
    template = "%(function)s()"
    output_field = models.BigIntegerField()


class TransactionIdField(models.BigIntegerField):
    """xid8 (PostgreSQL 13+), filled by the database when the row is written."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["db_default"] = CurrentTransactionId()
        kwargs["editable"] = False
        super().__init__(*args, **kwargs)

    def db_type(self, connection: Any) -> str:
        return "xid8"

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("db_default", None)
        kwargs.pop("editable", None)
        return name, path, args, kwargs

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        return f"({sql})::text::bigint", params

    def get_placeholder(self, value: Any, compiler: Any, connection: Any) -> str:
        return "%s::text::xid8" if not hasattr(value, "as_sql") else "%s"
