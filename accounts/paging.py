"""Pages of the API's lists, by cursor.

Nothing here may import a view: the framework loads this module while it builds its own view classes.
"""

from __future__ import annotations

from typing import Any

from rest_framework import exceptions, pagination
from rest_framework.request import Request

from accounts.strict_json import UNSTORABLE


class CursorPages(pagination.CursorPagination):
    """Pages that stay right while rows come in: `?cursor=`, `?limit=` up to 100."""

    page_size_query_param = "limit"
    max_page_size = 100
    ordering = "-id"  # UUIDv7: the newest first

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> tuple[str, ...]:
        ordering = getattr(view, "ordering", self.ordering)
        return (ordering,) if isinstance(ordering, str) else tuple(ordering)

    def decode_cursor(self, request: Request) -> Any:
        cursor = super().decode_cursor(request)
        if cursor and cursor.position and UNSTORABLE.search(cursor.position):
            raise exceptions.NotFound(self.invalid_cursor_message)
        return cursor
