from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from tenants.models.base import TenantModel
from tenants.querysets import MemberManager


class SingleSignOn(TenantModel):
    """What signing in by the identity provider means for one organization.

    The provider itself is an operator's setting: a provider vouches for people, who may
    belong to other organizations as well.
    """

    domains = ArrayField(
        models.CharField(max_length=253),
        default=list,
        blank=True,
        help_text="E-mail domains that an operator has verified to be its own.",
    )
    group_roles = models.JSONField(
        default=dict,
        blank=True,
        help_text='Role by group, such as {"ml-admins": "admin"}.',
    )
    sso_only = models.BooleanField(
        default=False,
        help_text="Members but its owners sign in by the provider, not by password.",
    )

    objects = MemberManager()

    class Meta:
        db_table = "single_sign_ons"
        verbose_name = "single sign-on"
        verbose_name_plural = "single sign-on"
        ordering = ["-id"]
        constraints = [
            # Read by each sign-in. One row per organization.
            models.UniqueConstraint(
                fields=["organization"], name="single_sign_ons_organization"
            ),
        ]

    def __str__(self) -> str:
        return ", ".join(self.domains) or "no domain"
