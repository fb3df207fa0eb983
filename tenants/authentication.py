"""From credentials to an actor. One statement does all of it: `tenants_admit`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import string
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from rest_framework.authentication import BaseAuthentication, CSRFCheck

from mlops.errors import (
    DomainError,
    Forbidden,
    InvalidInput,
    NotFound,
    Unauthenticated,
)
from tenants import sql
from tenants.context import Actor
from tenants.permissions import OF_ORGANIZATION, OPT_IN, ROLES, Permission

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
PREFIX = "mlp_"
PUBLIC_LENGTH, SECRET_LENGTH, CHECK_LENGTH = 12, 43, 6
# mlp_ + kind + _ + public id + _ + secret and checksum
TOKEN_LENGTH = len(PREFIX) + 2 + PUBLIC_LENGTH + 1 + SECRET_LENGTH + CHECK_LENGTH
SCHEMES = ("bearer", "basic")


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request shows of itself: a token's public half and digest, or a user."""

    public_id: str | None = None
    digest: bytes | None = None
    user_id: UUID | None = None
    # Basic authentication names its owner; it must be "token" or the real one.
    username: str | None = None


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made; `text` is shown once and never stored."""

    text: str
    public_id: str
    digest: bytes

    @property
    def last_four(self) -> str:
        return self.text[-4:]


def make_token(kind: str, public_id: str = "") -> NewToken:
    """Draw a token: `mlp_<kind>_<public id>_<secret><checksum>`.

    A rotated token keeps its public id, so that both its secrets lead to one row.
    """
    public_id = public_id or _draw(PUBLIC_LENGTH)
    body = f"{PREFIX}{kind}_{public_id}_{_draw(SECRET_LENGTH)}"
    text = body + checksum(body)
    return NewToken(text, public_id, digest_of(text))


def checksum(body: str) -> str:
    """CRC-32 as six base-62 digits, so that scanners tell real tokens offline."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECK_LENGTH):
        number, rest = divmod(number, len(ALPHABET))
        digits = ALPHABET[rest] + digits
    return digits


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _draw(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def read_token(text: str, username: str | None = None) -> Credential:
    """Raises Unauthenticated unless the text has a token's shape and checksum."""
    if not text.startswith(PREFIX) or len(text) != TOKEN_LENGTH or not text.isascii():
        raise Unauthenticated
    if checksum(text[:-CHECK_LENGTH]) != text[-CHECK_LENGTH:]:
        raise Unauthenticated
    public_id = text[6 : 6 + PUBLIC_LENGTH]
    return Credential(public_id, digest_of(text), username=username)


def read_header(header: str) -> Credential:
    """Read an Authorization header: Bearer, or Basic with the token as password.

    Raises Unauthenticated for everything else; a user's password is never tried.
    """
    scheme, _, value = header.partition(" ")
    if scheme.lower() not in SCHEMES or len(header) > 1024:
        raise Unauthenticated
    if scheme.lower() == "bearer":
        return read_token(value.strip())
    return _read_basic(value.strip())


def _read_basic(value: str) -> Credential:
    try:
        text = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise Unauthenticated from None
    username, _, password = text.partition(":")
    if not password:  # "<token>:" is how some tools send a token
        return read_token(username)
    return read_token(password, None if username == "token" else username)


def credential_of(request: HttpRequest) -> Credential:
    """Read the header, else the session; raises Unauthenticated without either.

    Once per request: throttles, view and trail all ask, and DRF has put the actor in
    the place of the user by the time the last of them does.
    """
    known: Credential | None = getattr(request, "credential", None)
    if known is None:
        known = _read_credential(request)
        request.credential = known  # type: ignore[attr-defined]
    return known


def _read_credential(request: HttpRequest) -> Credential:
    header = request.META.get("HTTP_AUTHORIZATION", "")
    if header:
        return read_header(header)
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        return Credential(user_id=user.pk)
    raise Unauthenticated


def admit(
    credential: Credential,
    permission: str,
    *,
    organization: str | None = None,
    project: str | None = None,
    workspace: str | None = None,
    request_line: str = "",
) -> Actor:
    """Return the actor, with the transaction bound to its organization.

    Must run inside a transaction: one statement authenticates, resolves organization
    and project, weighs the permission and binds. Raises Unauthenticated, NotFound,
    Forbidden or InvalidInput.
    """
    row = _ask(credential, permission, organization, project, workspace, request_line)
    if row[0] != "ok":
        raise refusal(row[0], permission)
    return _actor(row, credential)


def identify(credential: Credential, names: Mapping[str, Any]) -> Actor | None:
    """Say whose credential it is, be it refused or not; None: nobody's.

    A token belongs to one organization; a person, to the one that the address names,
    or to none that counts here.
    """
    organization = names.get("organization") if credential.user_id else None
    with transaction.atomic():
        row = _ask(credential, Permission.ORGANIZATION_READ, organization)
    return None if row[0] == "unauthenticated" else _actor(row, credential)


def _ask(
    credential: Credential,
    permission: str,
    organization: str | None,
    project: str | None = None,
    workspace: str | None = None,
    request_line: str = "",
) -> tuple[Any, ...]:
    return sql.admit(
        credential.public_id,
        credential.digest,
        credential.user_id,
        credential.username,
        organization,
        project,
        workspace,
        permission,
        sorted(ROLES[permission]),
        permission not in OF_ORGANIZATION,
        permission in OPT_IN,
        request_line,
    )


def _actor(row: tuple[Any, ...], credential: Credential) -> Actor:
    return Actor(
        kind=row[6],
        id=row[7],
        label=row[8],
        token=credential.public_id or "",
        organization_id=row[1],
        organization=row[2] or "",
        project_id=row[3],
        project=row[4] or "",
        project_ids=tuple(row[5] or ()),
        roles=frozenset(row[9] or ()),
        permissions=frozenset(row[10] or ()),
    )


REFUSALS: dict[str, DomainError] = {
    "unauthenticated": Unauthenticated(),
    "not_found": NotFound("No such organization or project."),
    "ambiguous": InvalidInput(
        "The token reaches several projects; name one in the address "
        "(/mlflow/<organization>/<project>) or in the header X-MLFLOW-WORKSPACE."
    ),
    "conflict": InvalidInput(
        "The header X-MLFLOW-WORKSPACE names another project than the address."
    ),
}


def refusal(verdict: str, permission: str) -> DomainError:
    """Translate a verdict of the database into the error that a skin answers with."""
    if verdict in REFUSALS:
        return type(REFUSALS[verdict])(REFUSALS[verdict].message)
    if verdict == "token_lacks":
        return Forbidden(f"This token lacks the permission {permission}.")
    return Forbidden(f"Your role lacks the permission {permission}.")


def accept(request: HttpRequest) -> HttpResponse:
    """Stands for the view, which the check does not call."""
    return HttpResponse()


def refuse_forged(request: HttpRequest) -> None:
    """Raises Forbidden unless an unsafe request carries the session's CSRF token."""
    check = CSRFCheck(accept)
    check.process_request(request)
    if reason := check.process_view(request, accept, (), {}):
        raise Forbidden(f"The CSRF token is missing or wrong: {reason}")


class AdmittedActor(BaseAuthentication):
    """DRF's view of what the middleware has already done.

    A browser sends its cookie unasked, so a session needs Django's CSRF token as well;
    nobody sends a token unasked. Only REST asks: MLflow's UI does not know of it.
    """

    def authenticate(self, request: Any) -> tuple[Actor, None] | None:
        actor = getattr(request._request, "actor", None)
        if actor is None:
            return None
        if not actor.token:
            refuse_forged(request._request)
        return actor, None

    def authenticate_header(self, request: Any) -> str:
        return 'Basic realm="mlops"'
