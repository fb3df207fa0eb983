"""Make one of the staff, who is no superuser: `python -m tests.e2e.support_staff NAME`.

The password comes by standard input.
"""

from __future__ import annotations

import sys

import django


def store(name: str, password: str) -> None:
    from tenants.context import Actor
    from tenants.models import User
    from tenants.unscoped import every_organization

    with every_organization(Actor(kind="command", label="e2e"), reason="e2e"):
        User.objects.create_user(name, password=password, is_staff=True)


if __name__ == "__main__":
    django.setup()
    store(sys.argv[1], sys.stdin.read().strip())
