"""API tokens: issued once, narrowed to their holder, rotated, revoked."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from django.db import DEFAULT_DB_ALIAS

from mlops.errors import Forbidden, InvalidInput, InvalidState, Unauthenticated
from tenants import sql
from tenants.authentication import Credential, NewToken, make_token, read_token
from tenants.context import acting, bound_alias, tenant_transaction
from tenants.models import (
    ApiToken,
    Organization,
    Project,
    ServiceAccount,
    TokenKind,
    User,
)
from tenants.permissions import TRUSTED, Permission
from tenants.services import deletion
from tenants.services.rights import demand_maintained, rules_organization

logger = logging.getLogger(__name__)

EVERYTHING = "*"
DEFAULT_DAYS = 90
MAX_DAYS = 365
MAX_OVERLAP_HOURS = 24
# One a day for a year, the longest that a token lives without a rotation.
MOST_RETIRED = 365


def issue_token(
    organization: Organization,
    holder: User | ServiceAccount,
    *,
    name: str,
    projects: Sequence[Project] = (),
    permissions: Collection[str] = (EVERYTHING,),
    days: int = DEFAULT_DAYS,
) -> tuple[ApiToken, str]:
    """Return the token's row and its text, which is nowhere else to be had.

    Whatever it says, a token does no more than its holder may do when it is used.
    Raises Forbidden for rights that the actor does not have to hand on.
    """
    _demand_issuing(holder, projects)
    _demand_permissions(permissions)
    kind = TokenKind.PERSONAL if isinstance(holder, User) else TokenKind.SERVICE
    new = make_token(kind)
    token = ApiToken(
        organization=organization,
        public_id=new.public_id,
        kind=kind,
        name=name,
        user=holder if isinstance(holder, User) else None,
        service_account=holder if isinstance(holder, ServiceAccount) else None,
        project_ids=sorted({project.pk for project in projects}),
        permissions=sorted(set(permissions)),
        created_by=acting().id,
        expires_at=_now() + _lifetime(days),
    )
    _set_secret(token, new)
    token.save(force_insert=True)
    return token, new.text


def _demand_issuing(
    holder: User | ServiceAccount | None, projects: Sequence[Project]
) -> None:
    """People issue tokens to themselves, and to service accounts of their projects."""
    actor = acting()
    if actor.kind in TRUSTED:
        return
    if actor.kind != "user":
        raise Forbidden("A service account cannot issue tokens; ask a person to do it.")
    if isinstance(holder, ServiceAccount):
        deletion.refuse_deleted(holder)
        demand_maintained(projects, "Issuing a service account's token")
    elif holder is None or holder.pk != actor.id:
        raise Forbidden("A personal token is issued by its holder only.")
    _demand_bounds(projects)


def _demand_bounds(projects: Sequence[Project]) -> None:
    bounds = set(acting().project_ids)
    wanted = {project.pk for project in projects}
    if bounds and not (wanted and wanted <= bounds):
        raise Forbidden(
            "Your own token is bound to projects; name one or more of them in projects."
        )


def _demand_permissions(permissions: Collection[str]) -> None:
    unknown = set(permissions) - {EVERYTHING, *Permission.values}
    if unknown or not permissions:
        known = ", ".join(Permission.values)
        named = ", ".join(sorted(unknown)) or "nothing"
        raise InvalidInput(f"permissions={named}: use {EVERYTHING} or any of {known}.")
    actor = acting()
    missing = set(permissions) - actor.permissions
    if actor.kind not in TRUSTED and EVERYTHING not in actor.permissions and missing:
        lacking = ", ".join(sorted(missing))
        raise Forbidden(f"Your own token lacks {lacking}, so it cannot hand that on.")


def _lifetime(days: int) -> timedelta:
    if not 1 <= days <= MAX_DAYS:
        raise InvalidInput(f"days={days}: use 1 to {MAX_DAYS}.")
    return timedelta(days=days)


def _now() -> datetime:
    """Read the database's clock, by which tokens end: those of web machines differ."""
    return sql.now(bound_alias() or DEFAULT_DB_ALIAS)


def _set_secret(token: ApiToken, new: NewToken) -> None:
    token.digest = new.digest
    token.last_four = new.last_four


def rotate_token(
    token: ApiToken, *, overlap_hours: int = 0, days: int = DEFAULT_DAYS
) -> tuple[ApiToken, str]:
    """Give the token a new secret; the old one works for `overlap_hours` more.

    Its digest stays, so that a use after the overlap is told from a guess and raises
    an alarm (tenants.failures). So do those of MOST_RETIRED secrets before it.
    Raises InvalidState for a token that is revoked or has expired, Forbidden for one
    that the actor could not have issued: the new secret is worth as much.
    """
    if not 0 <= overlap_hours <= MAX_OVERLAP_HOURS:
        raise InvalidInput(
            f"overlap_hours={overlap_hours}: use 0 to {MAX_OVERLAP_HOURS}."
        )
    token = _locked(token)
    _demand_rotating(token)
    now = _now()
    if token.revoked_at is not None or token.expires_at <= now:
        raise InvalidState("The token is revoked or has expired; issue another one.")
    new = make_token(token.kind, token.public_id)
    if token.previous_digest is not None:
        retired = [*token.retired_digests, token.previous_digest][-MOST_RETIRED:]
        token.retired_digests = [bytes(digest) for digest in retired]
    token.previous_digest = token.digest
    token.previous_valid_until = now + timedelta(hours=overlap_hours)
    token.expires_at = now + _lifetime(days)
    _set_secret(token, new)
    token.save()
    return token, new.text


def rotate_own_token(
    *, overlap_hours: int = 0, days: int = DEFAULT_DAYS
) -> tuple[ApiToken, str]:
    """Rotate the token that calls. Raises Forbidden for who came without one."""
    public_id = acting().token
    if not public_id:
        raise Forbidden("A session has no secret to rotate; call with a token.")
    own = ApiToken.objects.fetch(public_id=public_id)
    return rotate_token(own, overlap_hours=overlap_hours, days=days)


def _demand_rotating(token: ApiToken) -> None:
    if acting().token == token.public_id:
        return
    projects = Project.objects.filter(pk__in=token.project_ids)
    _demand_issuing(token.user or token.service_account, list(projects))
    _demand_permissions(token.permissions)


def revoke_token(token: ApiToken, *, reason: str = "") -> ApiToken:
    """End the token, from the next request on; ending it twice changes nothing."""
    token = _locked(token)
    _demand_revoking(token)
    if token.revoked_at is None:
        token.revoked_at = _now()
        token.revoked_reason = reason
        token.save(update_fields=["revoked_at", "revoked_reason", "updated_at"])
    return token


def end_own_tokens(person: User, *, reason: str, request_line: str = "") -> int:
    """End all tokens of the person who acts; return how many there were.

    An entry of each organization's own trail: what one of them sees is its own token.
    """
    actor, ended = acting(), 0
    for organization, *_ in sql.memberships(person.pk):
        there = replace(actor, organization_id=organization)
        with tenant_transaction(there, request_line=request_line, reason=reason):
            own = ApiToken.objects.usable().filter(user=person)
            ended += own.update(revoked_at=_now(), revoked_reason=reason)
    # As it was: what comes next in this transaction is no organization's business.
    bound = str(actor.organization_id or "")
    sql.bind(DEFAULT_DB_ALIAS, bound, str(actor), request_line, "")
    return ended


def report_leak(text: str, *, request_line: str = "") -> None:
    """Revoke the token if it is one, for anybody who has found it.

    The same one statement for a real token and for nonsense. That the first takes a
    little longer tells nothing: who has a token learns the same by using it.
    """
    try:
        found = read_token(text.strip())
    except Unauthenticated:
        found = Credential()
    if sql.revoke_leaked(found.public_id, found.digest, request_line):
        logger.warning("Token %s was reported as leaked; revoked.", found.public_id)


def _locked(token: ApiToken) -> ApiToken:
    token.refresh_from_db(from_queryset=ApiToken.objects.select_for_update())
    return token


def _demand_revoking(token: ApiToken) -> None:
    actor = acting()
    own = {token.user_id, token.service_account_id, token.created_by}
    if actor.id not in own and not rules_organization(actor):
        raise Forbidden(
            "A token is revoked by its holder, by who issued it, or by an admin."
        )
