from __future__ import annotations

from django.db import models

from audit.querysets import AuditLogManager, SealManager
from mlops.db.uuid7 import uuid7


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
    # From where: an address, or its network; and by which method and route.
    address = models.CharField(max_length=45, blank=True)
    route = models.CharField(max_length=200, blank=True)
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
            # Read by the sealer: what has been committed since the last seals.
            models.Index(fields=["transaction_id"], name="idx_audit_logs_sealing"),
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


class Seal(models.Model):
    """What a batch of entries of one chain was: a signed link that cannot be changed.

    Written by the sealer through the function audit_seal() only. A chain belongs to an
    organization, or to the instance; `audit.seals` says what the hash covers.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    organization_id = models.UUIDField(null=True, editable=False)
    n = models.BigIntegerField(editable=False)
    # Of the encoding of entries and seals.
    version = models.SmallIntegerField(editable=False)
    # Transaction ids begin anew in another cluster, and with them an epoch.
    cluster = models.BigIntegerField(editable=False)
    epoch = models.IntegerField(editable=False)
    epoch_from = models.UUIDField(editable=False)
    # It covers [xid_from, xid_to); nothing had happened yet from xid_next on.
    xid_from = models.BigIntegerField(editable=False)
    xid_to = models.BigIntegerField(editable=False)
    xid_next = models.BigIntegerField(editable=False)
    first_id = models.UUIDField(null=True, editable=False)
    last_id = models.UUIDField(null=True, editable=False)
    count = models.BigIntegerField(editable=False)
    unattributed = models.BigIntegerField(editable=False)
    root = models.BinaryField()
    # Of each entry, in the order of ids: the id and half of its leaf.
    leaves = models.BinaryField()
    prev_hash = models.BinaryField()
    hash = models.BinaryField()
    sealed_at = models.DateTimeField(editable=False)
    signature = models.BinaryField()
    key_id = models.CharField(max_length=16, editable=False)

    objects = SealManager()

    class Meta:
        db_table = "audit_seals"
        ordering = ["-id"]
        default_permissions = ("view",)
        indexes = [
            # Read by verification, and by "which seal covers this entry".
            models.Index(
                fields=["organization_id", "first_id"], name="idx_audit_seals_first"
            ),
            # Read by the sealer: how far everything is sealed.
            models.Index(fields=["epoch", "xid_next"], name="idx_audit_seals_horizon"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["organization_id", "n"],
                name="audit_seals_chain",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return f"seal {self.n}"


class Anchor(models.Model):
    """The heads of all chains as they were told to a place outside of the database."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    place = models.CharField(max_length=500, editable=False)
    anchored_at = models.DateTimeField(editable=False)
    # Of the last seal then: the next anchor tells what came after.
    epoch = models.IntegerField(editable=False)
    xid_next = models.BigIntegerField(editable=False)
    chains = models.BigIntegerField(editable=False)
    line = models.TextField(editable=False)

    class Meta:
        db_table = "audit_anchors"
        ordering = ["-id"]
        default_permissions = ("view",)
        indexes = [
            # Read by the next anchor of the same place.
            models.Index(fields=["place", "-id"], name="idx_audit_anchors_place"),
        ]

    def __str__(self) -> str:
        return f"{self.anchored_at:%Y-%m-%d %H:%M:%S} {self.place}"


class Archive(models.Model):
    """A month of the trail that lies elsewhere as a file; added by audit_archive()."""

    id = models.UUIDField(primary_key=True, editable=False)
    month = models.DateField(editable=False)
    # The month holds the ids in [first_id, end_id).
    first_id = models.UUIDField(editable=False)
    end_id = models.UUIDField(editable=False)
    entries = models.BigIntegerField(editable=False)
    size_bytes = models.BigIntegerField(editable=False)
    sha256 = models.CharField(max_length=64, editable=False)
    manifest_sha256 = models.CharField(max_length=64, editable=False)
    location = models.CharField(max_length=500, editable=False)
    archived_at = models.DateTimeField(editable=False)
    signature = models.BinaryField()
    key_id = models.CharField(max_length=16, editable=False)

    class Meta:
        db_table = "audit_archives"
        ordering = ["-month", "-id"]
        default_permissions = ("view",)
        indexes = [
            # Read by whoever wants to let a month go, and by verification.
            models.Index(fields=["month", "-id"], name="idx_audit_archives_month"),
        ]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"
