"""E-mail addresses of people: whose they are, and who has proved it."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from django.db import transaction

from mlops.db.uniques import claiming
from mlops.errors import Forbidden
from tenants.models import User


def proven_by(user: User) -> set[str]:
    """Return the addresses that the person is known to read.

    One that an operator wrote into the account counts, unless it waits for its proof.
    """
    rows = dict(EmailAddress.objects.filter(user=user).values_list("email", "verified"))
    proven = {email.lower() for email, is_verified in rows.items() if is_verified}
    if user.email and user.email.lower() not in {email.lower() for email in rows}:
        proven.add(user.email.lower())
    return proven


def holder_of(email: str) -> User | None:
    """Return whose address it is, proven; one that was only claimed is nobody's."""
    named = User.objects.filter(email__iexact=email).first()
    if named is not None and email.lower() in proven_by(named):
        return named
    row = EmailAddress.objects.filter(email__iexact=email, verified=True).first()
    return row.user if row is not None else None


def refuse_other_person(user: User, email: str) -> None:
    """Raises Forbidden when the address is not the person's, or somebody else's.

    An account without any proven address may be anybody's who was handed the link.
    """
    proven = proven_by(user)
    if email in proven:
        return
    if proven:
        raise Forbidden(
            f"This invitation is for {email}, and you are signed in as {user.username}"
            f" with {', '.join(sorted(proven))}. Ask for an invitation to an address of"
            " yours, or sign out and open the link again."
        )
    if holder_of(email) is not None:
        raise Forbidden(
            f"{email} belongs to another account than {user.username}. Sign out, sign"
            " in with that account and open the link again."
        )


def prove(user: User, email: str) -> None:
    """Note that the person reads the address; it becomes theirs if they have none.

    Raises AlreadyExists when another account holds it.
    """
    own = EmailAddress.objects.filter(user=user)
    if own.filter(email__iexact=email, verified=True).exists():
        return
    with claiming("user", email=email), transaction.atomic():
        if not user.email:
            user.email = email
            user.save(update_fields=["email"])
        is_primary = user.email.lower() == email
        is_primary &= not own.filter(primary=True).exclude(email=email).exists()
        EmailAddress.objects.update_or_create(
            user=user, email=email, defaults={"verified": True, "primary": is_primary}
        )
