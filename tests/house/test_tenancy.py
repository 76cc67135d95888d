"""The walls between organizations, read from the models and from PostgreSQL's own catalogue."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.db import connection, models
from django_scopes import scope
from django_scopes.exceptions import ScopeError

from accounts.models import Organization, User
from accounts.tenancy import tenant_links
from tests.house.tree import PACKAGES, said

ABOVE_TENANTS = {Organization, User}
MODELS = [m for m in apps.get_models() if m._meta.app_label in PACKAGES and m not in ABOVE_TENANTS]


def names(found: list[type[models.Model]]) -> list[str]:
    return [model._meta.label for model in found]


def test_every_model_belongs_to_an_organization() -> None:
    # A proxy has no table of its own: it is judged by the one that it shows.
    tables = [(m, m._meta.concrete_model._meta.local_fields) for m in MODELS]
    found = [m for m, fields in tables if not any(f.name == "organization" and not f.null for f in fields)]
    assert not found, said("Inherit accounts.tenancy.TenantModel.", names(found))


def test_there_are_no_hidden_many_to_many_tables() -> None:
    """A table that Django makes by itself has no organization and no composite key."""
    found = [
        m for m in MODELS if any(f.remote_field.through._meta.auto_created for f in m._meta.many_to_many)
    ]
    assert not found, said("Write the table between as a TenantModel of its own.", names(found))


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m._meta.label)
def test_a_query_without_a_scope_is_refused(model: Any) -> None:
    for act in (lambda: model.objects.count(), lambda: model.objects.filter(pk=None).first()):
        with pytest.raises(ScopeError):
            act()


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m._meta.label)
def test_a_query_in_a_scope_names_the_organization(model: Any) -> None:
    with scope(organization=Organization(slug="acme")):
        where = str(model.objects.all().query)
    assert "organization_id" in where.partition("WHERE")[2]


def composite_keys() -> set[tuple[str, str, str]]:
    """(table, column, target) of every foreign key that also pins the organization."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT c.conrelid::regclass::text, c.confrelid::regclass::text,
                   array_agg(own.attname ORDER BY k.n), array_agg(theirs.attname ORDER BY k.n)
            FROM pg_constraint c
            CROSS JOIN LATERAL unnest(c.conkey, c.confkey) WITH ORDINALITY AS k(own, theirs, n)
            JOIN pg_attribute own ON own.attrelid = c.conrelid AND own.attnum = k.own
            JOIN pg_attribute theirs ON theirs.attrelid = c.confrelid AND theirs.attnum = k.theirs
            WHERE c.contype = 'f' AND c.convalidated GROUP BY c.oid, 1, 2
            """
        )
        return {
            (table.strip('"'), own[1], target.strip('"'))
            for table, target, own, theirs in cursor.fetchall()
            if len(own) == 2 and own[0] == "organization_id" and list(theirs) == ["organization_id", "id"]
        }


@pytest.mark.django_db
def test_the_database_keeps_every_relation_inside_its_organization() -> None:
    kept = composite_keys()
    links = [
        (model._meta.db_table, str(field.column), field.remote_field.model._meta.db_table)
        for model in MODELS
        for field in tenant_links(model)
    ]
    found = [" ".join(link) for link in links if link not in kept]
    assert len(links) > 20
    assert not found, said("Add KeepInsideTenant('<Model>') to a migration of the app.", found)


@pytest.mark.django_db
def test_tables_point_at_no_tenant_row_but_by_declared_keys() -> None:
    """What the models do not know, the catalogue must not hold either: no constraint by hand, no leftover."""
    declared = {(m._meta.db_table, str(f.column)) for m in MODELS for f in tenant_links(m)}
    found = [f"{table}.{column}" for table, column, _ in composite_keys() if (table, column) not in declared]
    assert not found, said("Declare the foreign key in the model, or drop the constraint.", found)


# An index on one column says nothing that a wider one beginning with it does not, and each write pays for it.
COVERED = """
SELECT pg_get_indexdef(narrow.indexrelid) FROM pg_index narrow JOIN pg_class c ON c.oid = narrow.indrelid
WHERE c.relname = ANY(%s) AND narrow.indnkeyatts = 1 AND narrow.indpred IS NULL AND NOT narrow.indisunique
AND EXISTS (SELECT 1 FROM pg_index wide WHERE wide.indrelid = narrow.indrelid AND wide.indpred IS NULL
            AND wide.indnkeyatts > 1 AND wide.indkey[0] = narrow.indkey[0])
"""


@pytest.mark.django_db
def test_no_index_is_covered_by_another() -> None:
    with connection.cursor() as cursor:
        cursor.execute(COVERED, [[m._meta.db_table for m in MODELS]])
        found = [row[0] for row in cursor.fetchall()]
    assert not found, said("Give the foreign key db_index=False.", found)
