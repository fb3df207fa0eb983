from __future__ import annotations

from django.db import models

from mlops.db.uuid7 import uuid7


class Erasure(models.Model):
    """That a person was erased: ids only, for a backup that is restored later.

    Belongs to the installation, like the accounts; refers to the account by its id
    alone, since a restored backup may not have it.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user_id = models.UUIDField(unique=True, editable=False)
    asked_at = models.DateTimeField(auto_now_add=True)
    # Null: what clients wrote of the person is still being overwritten.
    finished_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        db_table = "erasures"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.user_id.hex
