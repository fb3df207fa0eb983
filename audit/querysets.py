"""Reads of the audit trail; nothing writes here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self
from uuid import UUID

from django.db import models

from mlops.db.uuid7 import floor, uuid7_time
from tenants.querysets import TenantManager, TenantQuerySet

if TYPE_CHECKING:
    from tenants.context import Actor

# Ids are made by the clocks of several machines, entries by that of the database.
SKEW = timedelta(days=31)
AHEAD = timedelta(days=1)
A_MILLISECOND = 1 << 80
TIME_ORDERED = 7
ANY = ".*"


class AuditLogQuerySet(TenantQuerySet):
    def in_projects_of(self, actor: Actor) -> Self:
        """All of the organization; below a project's address only what is of it."""
        if actor.project_id is None:
            return self
        return self.filter(project_id=actor.project_id)

    def of(self, row: models.Model) -> Self:
        """The history of one object, newest first."""
        return self.of_object(row._meta.db_table, row.pk)

    def of_object(self, table: str, key: UUID) -> Self:
        """The history of what may no longer be there."""
        return self.filter(object_type=table, object_id=key).since_made(key)

    def by(self, actor_id: UUID) -> Self:
        return self.filter(actor_id=actor_id).since_made(actor_id)

    def doing(self, action: str) -> Self:
        """Entries of one action, or of all that begin as in "registry.model.*"."""
        if action.endswith(ANY):
            return self.filter(action__startswith=action.removesuffix("*"))
        return self.filter(action=action)

    def unattributed(self) -> Self:
        """What was changed past everything of ours that says who acts."""
        return self.filter(actor_kind="system", actor_label="unattributed")

    def since(self, moment: datetime) -> Self:
        """Entries from `moment` on; the bound on id lets PostgreSQL skip months."""
        return self.filter(created_at__gte=moment, id__gte=floor(moment))

    def until(self, moment: datetime) -> Self:
        """Entries before `moment`, of which the last may share its millisecond."""
        last = UUID(int=floor(moment).int + A_MILLISECOND)
        return self.filter(created_at__lt=moment, id__lt=last)

    def so_far(self) -> Self:
        """Leave the months out that are made ahead: each would be entered in vain."""
        return self.filter(id__lt=floor(datetime.now(UTC) + AHEAD))

    def since_made(self, key: UUID) -> Self:
        """Skip the months before that id was made: nothing can be said of it there.

        An id that tells no time, or one to come, skips none.
        """
        if key.version != TIME_ORDERED or uuid7_time(key) > datetime.now(UTC):
            return self
        return self.filter(id__gte=floor(uuid7_time(key) - SKEW))

    def oldest_of_newest(self, count: int) -> UUID | None:
        """Return where so many of the newest end, if there are that many."""
        ids = self.order_by("-id").values_list("id", flat=True)
        return next(iter(ids[count - 1 : count]), None)


AuditLogManager = TenantManager.from_queryset(AuditLogQuerySet)


class SealQuerySet(TenantQuerySet):
    def in_projects_of(self, actor: Actor) -> Self:
        return self

    def around(self, entry_id: UUID) -> Self:
        """Those among which the seal of an entry is, if it has one."""
        return self.filter(first_id__lte=entry_id, last_id__gte=entry_id)


SealManager = TenantManager.from_queryset(SealQuerySet)
