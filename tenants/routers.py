"""Which database role serves a query."""

from __future__ import annotations

from typing import Any

from django.db import models

from tenants.context import bound_alias


class RoleRouter:
    """All aliases are one database; they differ in the role that connects."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        return bound_alias()

    db_for_write = db_for_read

    def allow_relation(self, *objects: models.Model, **hints: Any) -> bool:
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        """Only the owner migrates: the other roles may not change the schema."""
        return db == "owner"
