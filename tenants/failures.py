"""Failed authentication: counted by address, and told from a stolen old secret."""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import DatabaseError
from django.http import HttpRequest

from mlops import throttles
from mlops.addresses import origin_of, prefix_of
from mlops.errors import TooManyRequests, Unauthenticated
from mlops.telemetry import line_of
from tenants import sql
from tenants.authentication import Credential, read_header
from tenants.context import Actor, record, tenant_transaction
from tenants.models import ApiToken

logger = logging.getLogger(__name__)

FAILED, REUSED = "failed_authentication", "reused_token"


def count_failure(request: HttpRequest) -> None:
    """Raise TooManyRequests beyond the rate: one statement, often none.

    Only what failed is refused. A token that is good passes from any address, since one
    job with an old token must not lock out the build farm behind the same address.
    Without credentials nothing was guessed, so nothing counts.
    """
    header = request.META.get("HTTP_AUTHORIZATION", "")
    if not header:
        return
    try:
        credential = read_header(header)
    except Unauthenticated:
        throttles.take(FAILED, origin_of(request))
    else:
        _count_token(request, credential)


def _count_token(request: HttpRequest, credential: Credential) -> None:
    """Ask even while the address is refused: reuse of an old secret must be seen."""
    origin, rate = origin_of(request), throttles.rate_of(FAILED)
    granted, wait, token, organization = sql.fail(
        throttles.bucket(FAILED, origin),
        *rate,
        credential.public_id,
        credential.digest,
    )
    if token and organization:
        _alarm(request, token, organization, credential.public_id or "")
    if not granted:
        throttles.refuse(FAILED, origin, wait)


def _alarm(
    request: HttpRequest, token: UUID, organization: UUID, public_id: str
) -> None:
    """Tell that somebody holds a secret which nobody should have any more.

    Once a minute: a job that nobody gave the new secret would fill the trail.
    """
    try:
        throttles.take(REUSED, public_id)
    except TooManyRequests:
        return
    prefix = prefix_of(origin_of(request).partition("/")[0]) or "an unknown address"
    logger.error(
        "The secret of token %s that was rotated away is in use, from %s.",
        public_id,
        prefix,
    )
    somebody = Actor("anonymous", label=prefix, organization_id=organization)
    try:
        with tenant_transaction(somebody, request_line=line_of(request)):
            record(
                "token.reused",
                target=ApiToken(pk=token),
                outcome="denied",
                public_id=public_id,
                address=prefix,
            )
    except DatabaseError:
        logger.exception("A reuse of token %s could not be recorded.", public_id)
