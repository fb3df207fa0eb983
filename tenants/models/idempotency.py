from __future__ import annotations

from django.db import models

from tenants.models.base import TenantRow
from tenants.querysets import MemberManager


class IdempotencyKey(TenantRow):
    """What a caller's POST was answered, for the case that the answer was lost."""

    caller_id = models.UUIDField()
    key = models.CharField(max_length=255)
    # Of the method, the address and the body that came with the key.
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    # Empty where the answer shows a secret, which is shown once.
    answer = models.TextField(default="")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = MemberManager()

    class Meta:
        db_table = "idempotency_keys"
        constraints = [
            # Met by each POST that bears a key.
            models.UniqueConstraint(
                fields=["organization", "caller_id", "key"],
                name="idempotency_keys_of_caller",
            ),
        ]
        indexes = [
            # Read by the sweep, of all organizations.
            models.Index(fields=["created_at"], name="idempotency_keys_created"),
        ]

    def __str__(self) -> str:
        return self.key
