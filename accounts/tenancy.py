"""Every row belongs to one organization, and the database keeps it that way.

Three walls: querysets refuse to run outside a scope (django-scopes), views fetch with permission,
and composite foreign keys (organization, id) make a row of one organization unable to point at a
row of another, whatever the code does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import models
from django.db.migrations import RunSQL
from django.db.migrations.operations.base import Operation
from django_scopes import ScopedManager

from accounts.ids import new_id


class TenantModel(models.Model):
    """A row of one organization. Use it inside `with scope(organization=...)`."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.PROTECT, related_name="+", editable=False, db_index=False
    )

    objects = ScopedManager(organization="organization")

    class Meta:
        abstract = True


def tenant_links(model: Any) -> Iterator[models.ForeignKey]:
    """The foreign keys of a tenant model that point at tenant models."""
    for field in model._meta.local_fields:
        if not isinstance(field, models.ForeignKey) or field.name == "organization":
            continue
        if any(f.name == "organization" for f in field.remote_field.model._meta.local_fields):
            yield field


class KeepInsideTenant(Operation):
    """Migration step: a composite foreign key beside each link of the named models.

    PostgreSQL then refuses a row whose organization differs from that of the row it points at.
    """

    reversible = True
    reduces_to_sql = True

    def __init__(self, *model_names: str) -> None:
        self.model_names = model_names

    def deconstruct(self) -> tuple[str, list[str], dict[str, Any]]:
        return self.__class__.__name__, list(self.model_names), {}

    def state_forwards(self, app_label: str, state: Any) -> None:
        """The state of the models does not change."""

    def database_forwards(self, app_label: str, editor: Any, from_state: Any, to_state: Any) -> None:
        models_ = [to_state.apps.get_model(app_label, name) for name in self.model_names]
        for model in models_:
            table = model._meta.db_table
            editor.execute(f'CREATE UNIQUE INDEX "{table}_tenant" ON "{table}" (organization_id, id)')
        for model in models_:
            for field in tenant_links(model):
                editor.execute(_composite(model, field))

    def database_backwards(self, app_label: str, editor: Any, from_state: Any, to_state: Any) -> None:
        for name in reversed(self.model_names):
            model = from_state.apps.get_model(app_label, name)
            table = model._meta.db_table
            for field in tenant_links(model):
                editor.execute(f'ALTER TABLE "{table}" DROP CONSTRAINT "{_name(model, field)}"')
        for name in self.model_names:
            table = from_state.apps.get_model(app_label, name)._meta.db_table
            editor.execute(f'DROP INDEX "{table}_tenant"')

    def describe(self) -> str:
        return f"Keep the links of {', '.join(self.model_names)} inside their organization"


class KeepLinkInsideTenant(Operation):
    """Migration step: the composite foreign key of one link that was added to a kept model later."""

    reversible = True
    reduces_to_sql = True

    def __init__(self, model_name: str, field_name: str) -> None:
        self.model_name, self.field_name = model_name, field_name

    def deconstruct(self) -> tuple[str, list[str], dict[str, Any]]:
        return self.__class__.__name__, [self.model_name, self.field_name], {}

    def state_forwards(self, app_label: str, state: Any) -> None:
        """The state of the models does not change."""

    def database_forwards(self, app_label: str, editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        editor.execute(_composite(model, model._meta.get_field(self.field_name)))

    def database_backwards(self, app_label: str, editor: Any, from_state: Any, to_state: Any) -> None:
        model = from_state.apps.get_model(app_label, self.model_name)
        name = _name(model, model._meta.get_field(self.field_name))
        editor.execute(f'ALTER TABLE "{model._meta.db_table}" DROP CONSTRAINT "{name}"')

    def describe(self) -> str:
        return f"Keep {self.model_name}.{self.field_name} inside its organization"


def _name(model: Any, field: models.ForeignKey) -> str:
    return f"{model._meta.db_table}_{field.column}_tenant"[:63]


def _composite(model: Any, field: models.ForeignKey) -> str:
    target = field.remote_field.model._meta.db_table
    return (
        f'ALTER TABLE "{model._meta.db_table}" ADD CONSTRAINT "{_name(model, field)}" '
        f'FOREIGN KEY (organization_id, "{field.column}") REFERENCES "{target}" (organization_id, id) '
        "DEFERRABLE INITIALLY DEFERRED"
    )


class AppendOnly(RunSQL):
    """Migration step: rows of this table are written once; changing or deleting one is an error."""

    def __init__(self, table: str) -> None:
        self.table = table
        super().__init__(
            sql=f"""
            CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$;
            CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
            FOR EACH ROW EXECUTE FUNCTION {table}_refuse();
            """,
            reverse_sql=f"DROP TRIGGER {table}_append_only ON {table}; DROP FUNCTION {table}_refuse();",
        )

    def deconstruct(self) -> tuple[str, list[str], dict[str, Any]]:
        return self.__class__.__name__, [self.table], {}
