"""People of the shared platform, each for one test.

So nobody's failed attempts, second factors or sessions meet another test.
"""

from __future__ import annotations

import os

from django.core.management import call_command

PASSWORD = "correct horse battery"
WITH_APP, WITH_KEY, OF_SUPPORT = "ann-with-an-app", "kim-with-a-key", "sam-of-support"


def store_people() -> None:
    """Make two superusers as an operator does, and one of the staff who is none."""
    from tenants.context import Actor
    from tenants.models import User
    from tenants.unscoped import every_organization

    os.environ["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD
    for name in (WITH_APP, WITH_KEY):
        person = {"username": name, "email": f"{name}@example.com"}
        call_command("createsuperuser", interactive=False, verbosity=0, **person)
    with every_organization(Actor(kind="command", label="e2e"), reason="e2e"):
        User.objects.create_user(OF_SUPPORT, password=PASSWORD, is_staff=True)
