from __future__ import annotations

from django.db import models

from registry.querysets import ProjectRowManager
from tenants.models import TenantModel


class Tag(TenantModel):
    """A mutable text label; the subclass says of what."""

    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)

    objects = ProjectRowManager()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.key}={self.value}"
