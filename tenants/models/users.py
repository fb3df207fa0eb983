from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower
from django.utils.crypto import salted_hmac

from mlops.db.uuid7 import uuid7


class User(AbstractUser):
    """A person who signs in; what they may do stands in their memberships."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Counted up to end all sessions at once; triggers do so when rights change.
    session_epoch = models.PositiveIntegerField(default=0, editable=False)
    # Counted up to forget all bad sign-ins, from whatever address they came.
    sign_in_epoch = models.PositiveIntegerField(default=0, editable=False)

    class Meta(AbstractUser.Meta):
        db_table = "users"
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="users_email",
                condition=~models.Q(email=""),
                violation_error_message="A user with this e-mail exists.",
            ),
        ]

    def _get_session_auth_hash(self, secret: Any = None) -> str:
        """What a session must hold: dies with the password, and with the epoch.

        Django compares it on each request, so a change ends all sessions everywhere.
        """
        stamp = f"{self.password}:{self.session_epoch}"
        salt = "tenants.models.User.session"
        return salted_hmac(salt, stamp, secret=secret, algorithm="sha256").hexdigest()
