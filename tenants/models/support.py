from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from tenants.models.base import TenantModel
from tenants.querysets import MemberManager

MAX_HOURS = 8
# An owner who does not answer within these days has said no.
PENDING_DAYS = 7
PENDING = Q(approved_at__isnull=True, revoked_at__isnull=True)


class GrantState(models.TextChoices):
    PENDING = "pending"
    LIVE = "live"
    EXPIRED = "expired"
    REVOKED = "revoked"


class SupportGrant(TenantModel):
    """Time-boxed entry of one of the staff, asked for at `created_at`.

    An owner approves it; by breaking the glass staff enters without, which nobody in
    the organization can miss.
    """

    staff = models.ForeignKey(settings.AUTH_USER_MODEL, models.RESTRICT, db_index=False)
    reason = models.CharField(max_length=500)
    hours = models.PositiveSmallIntegerField(default=1)
    may_write = models.BooleanField(default=False)
    break_glass = models.BooleanField(default=False, editable=False)
    approved_by = models.UUIDField(null=True, editable=False)
    approved_at = models.DateTimeField(null=True, editable=False)
    expires_at = models.DateTimeField(null=True, editable=False)
    revoked_by = models.UUIDField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    objects = MemberManager()

    class Meta:
        db_table = "support_grants"
        ordering = ["-id"]
        indexes = [
            # Read by every page of the admin that one of the staff opens.
            models.Index(fields=["staff", "-id"], name="support_grants_of_staff"),
        ]
        constraints = [
            # One question at a time.
            models.UniqueConstraint(
                fields=["organization", "staff"],
                name="support_grants_pending",
                condition=PENDING,
            ),
            models.CheckConstraint(
                condition=Q(hours__gte=1, hours__lte=MAX_HOURS),
                name="support_grants_hours",
            ),
            models.CheckConstraint(
                condition=Q(approved_at__isnull=True, expires_at__isnull=True)
                | Q(
                    expires_at__gt=F("approved_at"),
                    expires_at__lte=F("approved_at") + timedelta(hours=MAX_HOURS),
                ),
                name="support_grants_expire",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.staff_id} ({self.state})"

    @property
    def state(self) -> GrantState:
        now = timezone.now()
        if self.revoked_at is not None:
            return GrantState.REVOKED
        if self.expires_at is not None:
            return GrantState.LIVE if self.expires_at > now else GrantState.EXPIRED
        fresh = self.created_at > now - timedelta(days=PENDING_DAYS)
        return GrantState.PENDING if fresh else GrantState.EXPIRED
