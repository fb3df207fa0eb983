from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from tenants.models.base import TenantModel
from tenants.models.organizations import OrganizationRole
from tenants.querysets import InvitationManager

PENDING = Q(accepted_at__isnull=True, revoked_at__isnull=True)


class InvitationState(models.TextChoices):
    PENDING = "pending"
    ACCEPTED = "accepted"
    REVOKED = "revoked"
    EXPIRED = "expired"


class Invitation(TenantModel):
    """An address asked to join; the secrets of its links are stored as digests.

    Two links lead here: the one that was mailed proves who reads the mailbox, the one
    that the inviter was shown proves nothing about the address.
    """

    email = models.EmailField(max_length=254)
    role = models.CharField(
        max_length=8, choices=OrganizationRole, default=OrganizationRole.MEMBER
    )
    project_roles = models.JSONField(
        default=dict, blank=True, help_text="Role by the project's id."
    )
    shown_digest = models.BinaryField(max_length=32, editable=False)
    mailed_digest = models.BinaryField(max_length=32, editable=False)
    # Empty: an operator, by a command or the admin.
    invited_by = models.UUIDField(null=True, editable=False)
    sent_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, editable=False)
    accepted_by = models.UUIDField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    objects = InvitationManager()

    class Meta:
        db_table = "invitations"
        ordering = ["-id"]
        constraints = [
            # Read by the list of pending ones. One address is asked once at a time.
            models.UniqueConstraint(
                fields=["organization", "email"],
                name="invitations_pending",
                condition=PENDING,
            ),
            # Read by whoever opens a link, before any organization is bound.
            models.UniqueConstraint(fields=["shown_digest"], name="invitations_shown"),
            models.UniqueConstraint(
                fields=["mailed_digest"], name="invitations_mailed"
            ),
            models.CheckConstraint(
                condition=Q(role__in=OrganizationRole.values), name="invitations_role"
            ),
            models.CheckConstraint(
                condition=Q(expires_at__gt=F("sent_at")), name="invitations_expire"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email} ({self.role})"

    @property
    def state(self) -> InvitationState:
        if self.accepted_at is not None:
            return InvitationState.ACCEPTED
        if self.revoked_at is not None:
            return InvitationState.REVOKED
        expired = self.expires_at <= timezone.now()
        return InvitationState.EXPIRED if expired else InvitationState.PENDING
