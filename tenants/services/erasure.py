"""Erasing a person: the account keeps its id, and nothing else tells who it was.

The audit trail stays as it is: its entries hold ids, and personal values never enter
it, so its seals go on holding. First the account, in one transaction; then what clients
wrote of the person, some rows at a time, which may be stopped and asked for again.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.apps import apps
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.db import DEFAULT_DB_ALIAS, models, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from mlops.errors import Conflict, InvalidInput
from tenants.context import bound_alias, record
from tenants.models import (
    ApiToken,
    Erasure,
    Invitation,
    Membership,
    OrganizationRole,
    Personal,
    ProjectMember,
    SupportGrant,
    User,
)
from tenants.services import deletion
from tenants.services.sessions import end_sessions

BATCH = 1000
Bound = Callable[[], AbstractContextManager[Any]]


def invented_name(key: UUID) -> str:
    """From the end of the id, which is random; its beginning is a moment."""
    return f"erased-{key.hex[-8:]}"


def is_erased(person: User) -> bool:
    return person.username == invented_name(person.pk)


# What there is


def refuse_last_owner(person: User) -> None:
    """Raises Conflict, naming each organization that would be without an owner."""
    owned = Membership.objects.filter(user=person, role=OrganizationRole.OWNER)
    owned = owned.filter(organization__deleted_at=None).select_related("organization")
    for membership in owned.order_by("pk"):
        others = Membership.objects.filter(
            organization=membership.organization_id,
            role=OrganizationRole.OWNER,
            user__is_active=True,
        )
        if not others.exclude(user=person).exists():
            slug = membership.organization.slug
            raise Conflict(
                f"{person.username} is the last owner of organization {slug!r}; make"
                " somebody else an owner first, or delete it."
            )


def belongings(person: User) -> dict[str, QuerySet]:
    """What makes up the account and goes with it, by the word for it."""
    own = {"user_id": person.pk}
    return {
        "addresses": EmailAddress.objects.filter(**own),
        "second factors": Authenticator.objects.filter(**own),
        "social accounts": SocialAccount.objects.filter(**own),
    }


def texts() -> Iterator[tuple[type[models.Model], Personal]]:
    """All that clients may have written of a person, as the models declare it."""
    for model in apps.get_models():
        for each in getattr(model, "personal", ()):
            yield model, each


def texts_of(person: User, model: type[models.Model], each: Personal) -> QuerySet:
    rows = model._base_manager.filter(**{each.by: person.pk}, **each.where)
    left = Q(**{each.field: invented_name(person.pk)}) | Q(**{each.field: ""})
    return rows.exclude(left).order_by("pk")


def plan(person: User) -> dict[str, int]:
    """Count what would go or be overwritten, and change nothing."""
    refuse_last_owner(person)
    counts = {noun: rows.count() for noun, rows in belongings(person).items()}
    counts["memberships"] = Membership.objects.filter(user=person).count()
    counts["tokens"] = ApiToken.objects.usable().filter(user=person).count()
    counts["invitations"] = _invitations_to(_addresses_of(person)).count()
    counts["texts"] = sum(texts_of(person, *each).count() for each in texts())
    return counts


# Doing it


def erase_account(person: User) -> dict[str, int]:
    """Empty the account and end all it may do; a second time changes nothing more.

    In a transaction bound to all organizations. Raises Conflict for a last owner.
    """
    refuse_last_owner(person)
    addresses, counts = _addresses_of(person), Counter[str]()
    Erasure.objects.get_or_create(user_id=person.pk)
    counts["sessions"] = end_sessions(person)
    for noun, rows in belongings(person).items():
        counts[noun], _ = rows.delete()
    counts["memberships"] = _end_memberships(person)
    counts["tokens"] = _revoke_tokens(person)
    counts["invitations"] = _forget_invitations(addresses, person)
    SupportGrant.objects.filter(staff=person, revoked_at=None).update(
        revoked_at=timezone.now()
    )
    entries = LogEntry.objects.filter(
        Q(user_id=person.pk) | Q(object_id=str(person.pk))
    )
    entries.update(object_repr=invented_name(person.pk), change_message="")
    _empty(person)
    record("user.erased", target=person, counts=dict(counts))
    return dict(counts)


def _addresses_of(person: User) -> list[str]:
    held = EmailAddress.objects.filter(user_id=person.pk)
    found = {person.email, *held.values_list("email", flat=True)}
    return sorted(address.lower() for address in found if address)


def _end_memberships(person: User) -> int:
    ended = 0
    for membership in Membership.objects.filter(user=person).order_by("pk"):
        mark = deletion.new_mark(membership)
        roles = ProjectMember.objects.filter(
            organization=membership.organization_id, user=person
        )
        deletion.put_on_all(roles, mark)
        deletion.put(membership, mark)
        ended += 1
    return ended


def _revoke_tokens(person: User) -> int:
    """Their names are free text of the person, too."""
    tokens = ApiToken.objects.filter(user=person)
    revoked = tokens.usable().update(
        revoked_at=timezone.now(), revoked_reason="person erased"
    )
    tokens.update(name=invented_name(person.pk))
    return revoked


def _invitations_to(addresses: list[str]) -> Any:
    found = Q(pk__in=[])
    for address in addresses:
        found |= Q(email__iexact=address)
    return Invitation.objects.filter(found)


def _forget_invitations(addresses: list[str], person: User) -> int:
    """End those to the address, and forget the address in all of them."""
    invitations = _invitations_to(addresses)
    invitations.pending().update(revoked_at=timezone.now())
    return invitations.update(email=f"{invented_name(person.pk)}@erased.invalid")


def _empty(person: User) -> None:
    person.username = invented_name(person.pk)
    person.first_name = person.last_name = person.email = ""
    person.is_active = person.is_staff = person.is_superuser = False
    person.set_unusable_password()
    person.last_login = None
    person.save()
    person.groups.clear()
    person.user_permissions.clear()


def overwrite_texts(person: User, bound: Bound) -> Iterator[int]:
    """Overwrite what clients wrote of the person; yield how many rows a step took.

    Triggers throw the documents of the runs away, which are built anew when read.
    """
    for model, each in texts():
        while True:
            with bound():
                rows = texts_of(person, model, each)
                keys = list(rows.values_list("pk", flat=True)[:BATCH])
                invented = {each.field: invented_name(person.pk)}
                model._base_manager.filter(pk__in=keys).update(**invented)
            if not keys:
                break
            yield len(keys)


def finish(person: User) -> None:
    """Note that nothing is left; the file beside the database comes after it."""
    erasures = Erasure.objects.filter(user_id=person.pk, finished_at=None)
    erasures.update(finished_at=timezone.now())


def erase(person: User, bound: Bound) -> dict[str, int]:
    """Do all of it, each part in transactions of its own."""
    with bound():
        counts = erase_account(person)
    counts["texts"] = sum(overwrite_texts(person, bound))
    with bound():
        finish(person)
    log_erasure(person)
    return counts


def erase_within(person: User) -> None:
    """Do all of it in the transaction that there is, of a page."""
    erase_account(person)
    for _ in overwrite_texts(person, nullcontext):
        pass
    finish(person)
    using = bound_alias() or DEFAULT_DB_ALIAS
    transaction.on_commit(partial(log_erasure, person), using=using)


def log_erasure(person: User) -> None:
    write_log(Path(settings.ERASURES_FILE), person.pk, datetime.now(UTC))


# The log beside the database, which a restored backup of it does not take back


def write_log(path: Path, user: UUID, moment: datetime) -> None:
    """Append ids only; on disk before the command says that it is done."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    line = json.dumps({"user": str(user), "erased_at": moment.isoformat()})
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{line}\n".encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def read_log(path: Path) -> list[UUID]:
    """Raises InvalidInput naming the line that is none of this log."""
    found: dict[UUID, None] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            found[UUID(json.loads(line)["user"])] = None
        except (ValueError, KeyError, TypeError):
            raise InvalidInput(
                f"{path}, line {number}: no entry of an erasure."
            ) from None
    return [*found]
