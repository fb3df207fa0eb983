from __future__ import annotations

from django.db import models

from registry.querysets import StorageUsageManager
from tenants.models import Project, TenantModel


class StorageUsage(TenantModel):
    """What the packages of a project hold; triggers count, nobody else writes.

    A file counts with its full size in each package, deleted packages not at all.
    """

    project = models.ForeignKey(
        Project, models.RESTRICT, db_constraint=False, db_index=False
    )
    size_bytes = models.BigIntegerField(default=0)
    file_count = models.BigIntegerField(default=0)

    objects = StorageUsageManager()

    class Meta:
        db_table = "storage_usage"
        verbose_name_plural = "storage usage"
        constraints = [
            # Read by uploads of limited projects; met by each file's trigger.
            models.UniqueConstraint(
                fields=["organization", "project"], name="storage_usage_project"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.size_bytes} bytes in {self.file_count} files"
