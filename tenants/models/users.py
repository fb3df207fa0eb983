from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower

from mlops.db.uuid7 import uuid7


class User(AbstractUser):
    """A person who signs in; what they may do stands in their memberships."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

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
