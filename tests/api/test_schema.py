"""The API describes itself without a warning, and its page works under our policy."""

from __future__ import annotations

import html
import re
from io import StringIO
from pathlib import Path

import pytest
import yaml
from django.contrib.staticfiles.finders import find
from django.core.management import call_command
from django.test import Client

from tests.isolation import patterns


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Generated as the command does it: a warning or an invalid schema is an error."""
    path: Path = tmp_path_factory.mktemp("schema") / "schema.yml"
    call_command("spectacular", fail_on_warn=True, validate=True, file=str(path), stdout=StringIO())
    return yaml.safe_load(path.read_text())


def test_every_address_is_described(schema: dict) -> None:
    own = {"api-schema", "api-docs", "api-nowhere"}
    routes = {a.route for a in patterns("api/v1/") if a.name not in own}
    named = {re.sub(r"<\w+:(\w+)>", r"{\1}", f"/{route}").replace("{pk}", "{id}") for route in routes}
    described = {path.replace("{pk}", "{id}") for path in schema["paths"] if path.startswith("/api/v1/")}

    assert named == described


def test_every_operation_says_how_to_log_in(schema: dict) -> None:
    ways = set(schema["components"]["securitySchemes"])

    assert {"bearer", "apiKey", "session"} <= ways


def test_the_schema_is_served(db: None) -> None:
    answer = Client().get("/api/v1/schema")

    assert answer.status_code == 200
    assert "/api/v1/queues/{id}/metrics" in answer.content.decode()


def test_the_page_finds_its_files(db: None) -> None:
    page = Client().get("/api/v1/docs").content.decode()
    static = re.findall(r'(?:src|href)="/static/([^"]+)"', page)
    script = re.findall(r'src="(/api/v1/docs[^"]*)"', page)

    assert len(static) >= 3
    assert all(find(path) for path in static)
    assert Client().get(html.unescape(script[0]))["Content-Type"] == "application/javascript"


def test_the_page_loads_only_its_own_files(db: None) -> None:
    answer = Client().get("/api/v1/docs")
    page, policy = answer.content.decode(), answer["Content-Security-Policy"]

    assert answer.status_code == 200
    assert "<script>" not in page
    assert "https://" not in page
    assert "script-src 'self';" in f"{policy};".replace("; ", ";")
    assert "style-src 'self' 'unsafe-inline'" in policy
