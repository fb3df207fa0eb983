"""Purging one thing because somebody asks: typed by name, with a reason."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from mlops.errors import Conflict, InvalidInput
from registry.services.purging import held
from tenants.context import acting, record
from tenants.models import Organization
from tenants.permissions import Permission, demand
from tenants.services import deletion


def ask_to_purge(row: Any, *, confirm: str) -> None:
    """Let the next purge take it, some minutes from now.

    Raises InvalidInput unless `confirm` is its name, Conflict while it is not deleted,
    on legal hold or referred to, Forbidden without the right to purge.
    """
    noun = row._meta.verbose_name
    demand(acting(), Permission.PURGE, f"Purging the {noun} {row.pk}")
    if confirm != row.name:
        raise InvalidInput(f"confirm={confirm!r}: type the name of this {noun}.")
    if row.deleted_at is None:
        raise Conflict(f"The {noun} {row.pk} is not deleted; delete it first.")
    deletion.refuse_purged(row)
    _refuse_held(row, noun)
    row.purge_after = timezone.now()
    row.save(update_fields=["purge_after", "updated_at"])
    record(f"{noun.replace(' ', '_')}.purge_asked", target=row)


def _refuse_held(row: Any, noun: str) -> None:
    organizations = Organization.objects.filter(pk=row.organization_id)
    reason = organizations.filter(legal_hold=True).values_list("legal_hold_reason")
    if reason:
        raise Conflict(f"The organization is on legal hold ({reason[0][0]}).")
    kept = type(row)._default_manager.with_deleted().filter(pk=row.pk)
    if kept.filter(held(type(row))).exists():
        raise Conflict(
            f"A model version or a deployment refers to the {noun} {row.pk}; purge"
            " that first."
        )
