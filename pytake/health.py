"""Is it alive, ready, and how far behind? For load balancers and operators; no personal data."""

from __future__ import annotations

from django.core.cache import caches
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse

LAG = """
SELECT
 (SELECT coalesce(extract(epoch FROM now() - min(next_attempt_at)), 0) FROM channels_hub_inboundevent
   WHERE state = 'new' AND next_attempt_at <= now()),
 (SELECT coalesce(extract(epoch FROM now() - min(due_at)), 0) FROM conversations_delivery
   WHERE status IN ('pending', 'retrying') AND due_at <= now()),
 (SELECT count(*) FROM channels_hub_inboundevent WHERE state = 'dead'),
 (SELECT count(*) FROM conversations_delivery WHERE status = 'unknown'),
 (SELECT coalesce(extract(epoch FROM now() - min(due_at)), 0) FROM conversations_deadline
   WHERE due_at <= now()),
 (SELECT extract(epoch FROM now() - max(last_run_at)) FROM django_celery_beat_periodictask)
"""


def alive(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse("ok", content_type="text/plain")


def ready(request: HttpRequest) -> JsonResponse:
    """PostgreSQL takes writes and the schema is the code's; Redis may be away."""
    problems = []
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('transaction_read_only'), pg_is_in_recovery()")
            read_only, recovering = cursor.fetchone()
        if read_only == "on" or recovering:
            problems.append("the database is read-only")
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            problems.append("migrations are missing")
    except DatabaseError as error:
        problems.append(f"the database is away ({type(error).__name__})")
    return JsonResponse({"ready": not problems, "problems": problems}, status=503 if problems else 200)


def status(request: HttpRequest) -> JsonResponse:
    """Seconds behind, dead rows, unconfirmed sends, the beat's age."""
    with connection.cursor() as cursor:
        cursor.execute(LAG)
        inbox, outbox, dead, unknown, deadlines, beat = cursor.fetchone()
    return JsonResponse(
        {
            "inbox_lag_seconds": float(inbox),
            "outbox_lag_seconds": float(outbox),
            "deadline_lag_seconds": float(deadlines),
            "dead_events": dead,
            "unknown_sends": unknown,
            "beat_age_seconds": None if beat is None else float(beat),
            "redis": _redis_answers(),
        }
    )


def _redis_answers() -> bool:
    try:
        caches["default"].get("statusz")
    except Exception:
        return False
    return True
