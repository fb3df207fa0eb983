from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from tenants.models.base import SoftDeleted, TenantModel, purge_index
from tenants.models.organizations import ALIVE
from tenants.querysets import LiveMemberManager, TokenManager


class TokenKind(models.TextChoices):
    PERSONAL = "u"
    SERVICE = "s"
    JOB = "j"


class ServiceAccount(TenantModel, SoftDeleted):
    """An actor inside exactly one organization, without a way to sign in."""

    name = models.CharField(max_length=100)
    description = models.TextField(blank=True)
    created_by = models.UUIDField(null=True, editable=False)

    objects = LiveMemberManager()

    class Meta:
        db_table = "service_accounts"
        ordering = ["-id"]
        indexes = [
            # Read by the purge.
            purge_index("service_accounts"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "name"],
                name="service_accounts_name",
                condition=ALIVE,
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ApiToken(TenantModel):
    """A credential, bound to a project or wider; the secret itself is never stored."""

    public_id = models.CharField(max_length=12, unique=True, editable=False)
    digest = models.BinaryField(max_length=32, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    kind = models.CharField(max_length=1, choices=TokenKind)
    name = models.CharField(max_length=100)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.RESTRICT, null=True, blank=True
    )
    service_account = models.ForeignKey(
        ServiceAccount, models.RESTRICT, null=True, blank=True, db_constraint=False
    )
    project_ids = ArrayField(
        models.UUIDField(),
        default=list,
        blank=True,
        help_text="Empty: every project that the holder may see.",
    )
    permissions = ArrayField(
        models.CharField(max_length=40),
        default=list,
        help_text='Permission names, or "*" for all that the holder may do.',
    )
    created_by = models.UUIDField(null=True, editable=False)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, editable=False)
    last_used_ip_prefix = models.CharField(max_length=45, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)
    revoked_reason = models.CharField(max_length=200, blank=True)
    rotated_from = models.UUIDField(null=True, editable=False)
    previous_digest = models.BinaryField(max_length=32, null=True, editable=False)
    previous_valid_until = models.DateTimeField(null=True, editable=False)
    # Of all secrets before that one: whoever uses one of them raises an alarm.
    retired_digests = ArrayField(
        models.BinaryField(max_length=32), default=list, editable=False
    )

    objects = TokenManager()

    class Meta:
        db_table = "api_tokens"
        ordering = ["-id"]
        indexes = [
            # Read by "my tokens" and by ending all tokens of a person.
            models.Index(fields=["organization", "user"], name="api_tokens_of_user"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=(
                    Q(kind="s", service_account__isnull=False, user__isnull=True)
                    | Q(kind="u", service_account__isnull=True, user__isnull=False)
                    | Q(kind="j")
                    & (Q(user__isnull=True) ^ Q(service_account__isnull=True))
                ),
                name="api_tokens_one_holder",
            ),
            models.CheckConstraint(
                condition=Q(expires_at__gt=models.F("created_at")),
                name="api_tokens_expire_after_creation",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} (mlp_{self.kind}_{self.public_id}…{self.last_four})"
