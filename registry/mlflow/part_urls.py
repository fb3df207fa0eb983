"""URLs that let whoever has them send one part, for some minutes, and nothing else.

A client sends parts without its token, as it would to a bucket. So the URL itself says
what may be sent, signed: which part of which upload, how many bytes at most, in which
organization; the upload's place never changes. What was sent becomes a file only when
somebody joins the parts, and that takes a token again.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.core import signing

from mlops.errors import Forbidden, Unauthenticated

# The method is a part of the salt: a signature is good for no other.
SALT = "registry.mlflow.part_urls PUT"


@dataclass(frozen=True, slots=True)
class PartGrant:
    organization: UUID
    upload: UUID
    number: int
    max_bytes: int

    def sign(self) -> str:
        return signing.dumps(
            [self.organization.hex, self.upload.hex, self.number, self.max_bytes],
            salt=SALT,
        )


def read_grant(text: str, upload: str, number: str) -> PartGrant:
    """Raises Unauthenticated unless it is for this part, Forbidden once it is old."""
    try:
        found = signing.loads(text, salt=SALT, max_age=settings.SIGNED_URL_SECONDS)
    except signing.SignatureExpired:
        raise Forbidden("This URL has expired: begin the upload again.") from None
    except signing.BadSignature:
        raise Unauthenticated from None
    grant = PartGrant(UUID(found[0]), UUID(found[1]), found[2], found[3])
    if (grant.upload.hex, str(grant.number)) != (upload, number):
        raise Unauthenticated
    return grant
