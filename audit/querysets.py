"""Reads of the audit trail; nothing writes here."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Self
from uuid import UUID

from django.db import models

from mlops.db.uuid7 import floor
from tenants.querysets import TenantManager, TenantQuerySet

if TYPE_CHECKING:
    from tenants.context import Actor


class AuditLogQuerySet(TenantQuerySet):
    def in_projects_of(self, actor: Actor) -> Self:
        """All of the organization; below a project's address only what is of it."""
        if actor.project_id is None:
            return self
        return self.filter(project_id=actor.project_id)

    def of(self, row: models.Model) -> Self:
        """The history of one object, newest first."""
        return self.filter(object_type=row._meta.db_table, object_id=row.pk)

    def by(self, actor_id: UUID) -> Self:
        return self.filter(actor_id=actor_id)

    def since(self, moment: datetime) -> Self:
        """Entries from `moment` on; the bound on id lets PostgreSQL skip months."""
        return self.filter(created_at__gte=moment, id__gte=floor(moment))


AuditLogManager = TenantManager.from_queryset(AuditLogQuerySet)
