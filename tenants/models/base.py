from __future__ import annotations

from django.db import models

from mlops.db.uuid7 import uuid7


class TenantRow(models.Model):
    """A row of one organization.

    `ProtectTenantTable` adds what Django cannot say: row-level security, UNIQUE
    (organization_id, id) and foreign keys that include the organization.
    """

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
    """A row that may be deleted and restored; `delete_batch` names what went along."""

    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)
    deleted_by = models.UUIDField(null=True, blank=True, editable=False)
    delete_batch = models.UUIDField(null=True, blank=True, editable=False)

    class Meta:
        abstract = True
