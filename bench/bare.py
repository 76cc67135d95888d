"""The yardstick of the webhook bench: a Django view without middleware that inserts one row."""

from __future__ import annotations

import os

import environ
from a2wsgi import WSGIMiddleware
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path

TABLE = "CREATE TABLE IF NOT EXISTS bench_bare (id bigserial PRIMARY KEY, body bytea NOT NULL)"


def keep(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO bench_bare (body) VALUES (%s)", [request.body])
    return HttpResponse(b"", content_type="text/plain")


urlpatterns = [path("bare", keep)]

if not settings.configured:  # served: nothing but this view
    database = environ.Env.db_url_config(os.environ["DATABASE_URL"]) | {"CONN_MAX_AGE": 600}
    settings.configure(
        ROOT_URLCONF=__name__,
        DATABASES={"default": database},
        ALLOWED_HOSTS=["*"],
        SECRET_KEY="bench",
        MIDDLEWARE=[],
        USE_TZ=True,
    )
    application = WSGIMiddleware(get_wsgi_application(), workers=8)
