from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import ClassVar

from django.db import models

from mlops.db.uuid7 import uuid7


@dataclass(frozen=True, slots=True)
class Personal:
    """A text that a client wrote of a person: which column, and which rows it is of.

    `by` leads to the id of the person who made the row; `where` narrows the rows.
    """

    field: str
    by: str = "created_by"
    where: Mapping[str, str] = dataclass_field(default_factory=dict)


class TenantRow(models.Model):
    """A row of one organization.

    `ProtectTenantTable` adds what Django cannot say: row-level security, UNIQUE
    (organization_id, id) and foreign keys that include the organization.
    """

    # What an erasure overwrites; see tenants.services.erasure.
    personal: ClassVar[tuple[Personal, ...]] = ()

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # No index of its own: composite indexes start with the column.
    organization = models.ForeignKey(
        "tenants.Organization", models.RESTRICT, db_index=False, editable=False
    )

    class Meta:
        abstract = True


class TenantModel(TenantRow):
    """A row of one organization that tells when it came and when it last changed."""

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


class SoftDeleted(models.Model):
    """A row that may be deleted and restored; `delete_batch` names what went along.

    It may be restored until `purge_after`. The purge that has begun with it sets that
    to `deleted_at`, and then there is no way back.
    """

    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)
    deleted_by = models.UUIDField(null=True, blank=True, editable=False)
    delete_batch = models.UUIDField(null=True, blank=True, editable=False)
    purge_after = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        abstract = True

    @property
    def is_being_purged(self) -> bool:
        if self.deleted_at is None or self.purge_after is None:
            return False
        return self.purge_after <= self.deleted_at


class Tombstone(models.Model):
    """A row that outlives its own purge, empty, so that nobody takes its address."""

    purged_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        abstract = True


def purge_index(table: str) -> models.Index:
    """The deleted rows of a table by when they may go."""
    return models.Index(
        fields=["purge_after"],
        name=f"{table}_purge",
        condition=models.Q(deleted_at__isnull=False),
    )
