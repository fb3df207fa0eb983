from __future__ import annotations

from django.db import models

from audit.querysets import AuditLogManager


class Outcome(models.TextChoices):
    OK = "ok"
    DENIED = "denied"
    FAILED = "failed"


class AuditLog(models.Model):
    """One captured change or recorded occurrence; written by the database only.

    Refers to nothing by constraint: the trail outlives its objects. Partitioned by
    month on `id`, whose time is `created_at`.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    # Null: an entry of the instance, such as a change of a user account.
    organization_id = models.UUIDField(null=True, editable=False)
    project_id = models.UUIDField(null=True, editable=False)
    created_at = models.DateTimeField(editable=False)
    transaction_id = models.BigIntegerField(editable=False)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.UUIDField(null=True)
    actor_label = models.CharField(max_length=200, blank=True)
    token_public_id = models.CharField(max_length=12, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    action = models.CharField(max_length=100)
    outcome = models.CharField(max_length=6, choices=Outcome, default=Outcome.OK)
    object_type = models.CharField(max_length=63, blank=True)
    object_id = models.UUIDField(null=True)
    object_label = models.CharField(max_length=200, blank=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    reason = models.CharField(max_length=500, blank=True)
    db_role = models.CharField(max_length=63)
    application_name = models.CharField(max_length=63, blank=True)
    backend_pid = models.IntegerField(editable=False)

    objects = AuditLogManager()

    class Meta:
        db_table = "audit_logs"
        ordering = ["-id"]
        default_permissions = ("view",)
        verbose_name = "audit log"
        indexes = [
            # Read by "what happened in this period".
            models.Index(
                fields=["organization_id", "created_at"],
                name="idx_audit_logs_org_created",
            ),
            # Read by the history of one object, newest first.
            models.Index(
                fields=["organization_id", "object_type", "object_id", "-id"],
                name="idx_audit_logs_of_object",
            ),
            # Read by the history of one actor, newest first.
            models.Index(
                fields=["organization_id", "actor_id", "-id"],
                name="idx_audit_logs_of_actor",
            ),
        ]
        constraints = [
            # Read by keyset pages, backwards.
            models.UniqueConstraint(
                fields=["organization_id", "id"], name="idx_audit_logs_page"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.created_at:%Y-%m-%d %H:%M:%S} {self.action}"
