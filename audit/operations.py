"""Migration operations that put a table under capture, and how they state it.

What a trigger does stands in its definition, so the catalog can be compared with
audit/captured.py word by word. The SQL of an operation, once released, is never edited:
a change is a new operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.migrations.state import ProjectState

from mlops.db.operations import SchemaOnly

# Written as PostgreSQL writes it back, so that nothing has to be parsed.
ROWS = (
    "CREATE TRIGGER audit_capture AFTER INSERT OR DELETE OR UPDATE ON {table}"
    " FOR EACH ROW EXECUTE FUNCTION audit_capture({arguments})"
)
BATCH = (
    "CREATE TRIGGER audit_batch_{name} AFTER {event} ON {table}"
    " REFERENCING {side} TABLE AS batch"
    " FOR EACH STATEMENT EXECUTE FUNCTION audit_capture_batch({arguments})"
)
APPEND_ONLY = (
    "CREATE TRIGGER audit_append_only BEFORE DELETE OR UPDATE ON {table}"
    " FOR EACH ROW EXECUTE FUNCTION audit_refuse({arguments})"
)
NO_TRUNCATE = (
    "CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON {table}"
    " FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse({arguments})"
)
SIDES = {"INSERT": "NEW", "UPDATE": "NEW", "DELETE": "OLD"}

# Says when, which the entry says itself: alone it is no change.
STAMPS = {"updated_at"}
STAYS = "audit entries stay as they are"
LEAVES_NOTHING = "it would leave no entry, so delete the rows instead"


@dataclass(frozen=True, slots=True)
class Rows:
    """An entry per changed row, with what changed.

    Names are those of fields. Values of `redact` become eight digits of their digest,
    those of `personal` nothing at all; `ignore` is never captured, nor is `updated_at`.
    """

    redact: Sequence[str] = ()
    personal: Sequence[str] = ()
    ignore: Sequence[str] = ()

    def definitions(self, model: type[models.Model]) -> dict[str, str]:
        """Return the triggers of the model's table by their names."""
        arguments = quoted(
            noun_of(model),
            array(columns(model, self.redact)),
            array(columns(model, self.personal)),
            array(self.uncaptured(model)),
        )
        table = model._meta.db_table
        capture = ROWS.format(table=table, arguments=arguments)
        return {"audit_capture": capture, **no_truncate(table)}

    def uncaptured(self, model: type[models.Model]) -> list[str]:
        """Return the columns that no entry tells of."""
        names = {field.name for field in model._meta.concrete_fields}
        return columns(model, [*sorted(names & STAMPS), *self.ignore])


@dataclass(frozen=True, slots=True)
class Batches:
    """An entry per statement and organization, where it switched data events on.

    `by` is the foreign key to what the rows belong to; `names` tells them apart (20 are
    shown), `span` orders them, and the digest covers the columns of `digest`.
    """

    by: str
    names: str
    span: str = ""
    digest: Sequence[str] = ("id",)

    def definitions(self, model: type[models.Model]) -> dict[str, str]:
        """Return the triggers of the model's table by their names."""
        (by, names) = columns(model, [self.by, self.names])
        (span,) = columns(model, [self.span]) if self.span else [""]
        digest = array(columns(model, self.digest))
        parent = parent_table(model, self.by)
        arguments = quoted(noun_of(model), by, parent, names, span, digest)
        table = model._meta.db_table
        triggers = {
            f"audit_batch_{event.lower()}": BATCH.format(
                name=event.lower(),
                event=event,
                side=side,
                table=table,
                arguments=arguments,
            )
            for event, side in SIDES.items()
        }
        return {**triggers, **no_truncate(table)}


def no_truncate(table: str, reason: str = LEAVES_NOTHING) -> dict[str, str]:
    sql = NO_TRUNCATE.format(table=table, arguments=quoted(reason))
    return {"audit_no_truncate": sql}


def append_only(table: str) -> dict[str, str]:
    """Return the triggers of the trail and of each of its months."""
    text = APPEND_ONLY.format(table=table, arguments=quoted(STAYS))
    return {"audit_append_only": text, **no_truncate(table, STAYS)}


def noun_of(model: type[models.Model]) -> str:
    """Return `registry.model_version` for ModelVersion: its actions begin with it."""
    name = model.__name__
    words = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    return f"{model._meta.app_label}.{words.lstrip('_').replace('__', '_')}"


def columns(model: type[models.Model], fields: Iterable[str]) -> list[str]:
    """Raises FieldDoesNotExist: a misspelt secret must not slip through."""
    stored = {field.name: str(field.column) for field in model._meta.concrete_fields}
    try:
        return [stored[name] for name in fields]
    except KeyError as missing:
        label = model._meta.label
        raise FieldDoesNotExist(f"{label} has no column for {missing}.") from None


def parent_table(model: type[models.Model], name: str) -> str:
    field: Any = model._meta.get_field(name)
    return str(field.related_model._meta.db_table)


def array(names: Iterable[str]) -> str:
    return "{" + ",".join(names) + "}"


def quoted(*arguments: str) -> str:
    return ", ".join(f"'{argument}'" for argument in arguments)


class Capture(SchemaOnly):
    """Base: make the triggers that `how` defines for the model of a label.

    `instead_of` says how the table was captured before: the way back leads there.
    """

    def __init__(
        self, label: str, how: Rows | Batches, instead_of: Rows | Batches | None
    ) -> None:
        super().__init__(label)
        self.how = how
        self.instead_of = instead_of

    def database_forwards(
        self,
        app_label: str,
        schema_editor: Any,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        self._replace(app_label, schema_editor, to_state, self.instead_of, self.how)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: Any,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        self._replace(app_label, schema_editor, from_state, self.how, self.instead_of)

    def _replace(
        self,
        app_label: str,
        schema_editor: Any,
        state: ProjectState,
        old: Rows | Batches | None,
        new: Rows | Batches | None,
    ) -> None:
        # The label names its own app: audit captures the tables of others.
        model = state.apps.get_model(self.model_name)
        table = model._meta.db_table
        for name in old.definitions(model) if old else ():
            self.run(app_label, schema_editor, f"DROP TRIGGER {name} ON {table}")
        for definition in new.definitions(model).values() if new else ():
            self.run(app_label, schema_editor, definition)

    def describe(self) -> str:
        return f"Capture {self.model_name}"


class CaptureRows(Capture):
    """CaptureRows("registry.Webhook", redact=["secret"])."""

    def __init__(
        self,
        label: str,
        *,
        redact: Sequence[str] = (),
        personal: Sequence[str] = (),
        ignore: Sequence[str] = (),
        instead_of: Rows | Batches | None = None,
    ) -> None:
        super().__init__(label, Rows(redact, personal, ignore), instead_of)


class CaptureBatches(Capture):
    """CaptureBatches("registry.Metric", by="run", names="name", span="step")."""

    def __init__(
        self,
        label: str,
        *,
        by: str,
        names: str,
        span: str = "",
        digest: Sequence[str] = ("id",),
        instead_of: Rows | Batches | None = None,
    ) -> None:
        super().__init__(label, Batches(by, names, span, digest), instead_of)
