"""An organization whose every text is markup that would run, if a page let it.

Run as a program in a platform's environment: it prints which columns took the text, and
which did not, because a rule of the database knows better what they may hold.
"""

from __future__ import annotations

from collections.abc import Iterator

import django

from tests.e2e.stored import store

SLUG = "planted"
HOSTILE = "'\"><img src=x onerror=top.ran=1><svg onload=top.ran=1>"
LINK = "javascript:top.ran=1"


def plant() -> Iterator[str]:
    from django.apps import apps
    from django.db import DatabaseError, models, transaction

    from tenants.context import Actor
    from tenants.models import Organization
    from tenants.unscoped import every_organization

    text = models.CharField | models.TextField | models.JSONField

    def content_for(field: models.Field, number: int) -> object:
        if isinstance(field, models.JSONField):
            return {HOSTILE: [HOSTILE, LINK]}
        if "url" in field.name:
            return LINK
        return f"{number}{HOSTILE}"[: field.max_length or None]

    def plant_in(field: models.Field, organization: Organization) -> bool:
        """Each row by itself, as some texts may stand in one row only."""
        model = field.model
        own = "pk" if model is Organization else "organization_id"
        rows = model._base_manager.filter(**{own: organization.pk})
        for number, row in enumerate(rows.values_list("pk", flat=True)):
            with transaction.atomic(using=rows.db):
                found = rows.filter(pk=row)
                found.update(**{field.name: content_for(field, number)})
        return rows.exists()

    for model in apps.get_models():
        names = {field.attname for field in model._meta.concrete_fields}
        if model is not Organization and "organization_id" not in names:
            continue
        for field in model._meta.concrete_fields:
            if not isinstance(field, text) or field.choices or field.name == "slug":
                continue
            try:
                with every_organization(Actor(kind="command", label="e2e"), reason="x"):
                    organization = Organization._base_manager.get(slug=SLUG)
                    if plant_in(field, organization):
                        yield f"planted {field}"
            except DatabaseError as refused:
                yield f"refused {field}: {refused}".splitlines()[0]


if __name__ == "__main__":
    django.setup()
    store(SLUG)
    print("\n".join(plant()))
