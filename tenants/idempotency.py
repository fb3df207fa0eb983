"""Idempotency-Key: a POST that is sent again is answered as the first time.

The key is claimed in the transaction of the request. Whoever sends the same key at the
same moment waits for its end, and then reads what the first one was answered; what was
refused leaves no claim, and the next one may try.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone

from mlops.api.parsing import MAX_BODY_BYTES, read_body
from mlops.errors import Conflict, InvalidInput
from tenants.context import Actor
from tenants.models import IdempotencyKey

HEADER = "HTTP_IDEMPOTENCY_KEY"
KEY = re.compile(r"[\x21-\x7e]{1,255}")
KEPT = timedelta(hours=24)


def answer_once(
    request: HttpRequest,
    view: Any,
    actor: Actor,
    answer: Callable[[], HttpResponseBase],
) -> HttpResponseBase:
    """Answer, or repeat the answer to the same request under the same key.

    Raises Conflict where the key came with another request before.
    """
    key = request.META.get(HEADER)
    if key is None or not is_kept_for(request, view, actor):
        return answer()
    claim, is_new = claimed(request, actor, checked(key))
    if not is_new:
        return repeated(claim, fingerprint_of(request))
    response = answer()
    if response.status_code < 400:
        keep(claim, response, secret=view.cls.shows_secrets)
    return response


def is_kept_for(request: HttpRequest, view: Any, actor: Actor) -> bool:
    """A caller of REST in an organization; MLflow's protocol has ways of its own."""
    is_rest = getattr(view, "cls", None) is not None
    is_known = actor.organization_id is not None and actor.id is not None
    return request.method == "POST" and is_rest and is_known


def checked(key: str) -> str:
    if not KEY.fullmatch(key):
        raise InvalidInput(
            f"Idempotency-Key={key[:50]!r}: send 1 to 255 visible ASCII characters."
        )
    return key


def claimed(
    request: HttpRequest, actor: Actor, key: str
) -> tuple[IdempotencyKey, bool]:
    assert actor.organization_id
    assert actor.id
    return IdempotencyKey.objects.get_or_create(
        organization_id=actor.organization_id,
        caller_id=actor.id,
        key=key,
        defaults={"fingerprint": fingerprint_of(request)},
    )


def fingerprint_of(request: HttpRequest) -> str:
    head = f"{request.method} {request.get_full_path()}\n".encode()
    return hashlib.sha256(head + read_body(request, MAX_BODY_BYTES)).hexdigest()


def repeated(claim: IdempotencyKey, fingerprint: str) -> HttpResponse:
    if claim.fingerprint != fingerprint:
        raise Conflict(
            f"Idempotency-Key={claim.key!r} came with another request before;"
            " send a new key with a new request."
        )
    if not claim.answer:
        raise Conflict(
            f"Idempotency-Key={claim.key!r}: this was done already, and the answer"
            " showed a secret, which is shown once."
        )
    return HttpResponse(
        claim.answer,
        status=claim.status,
        content_type="application/json",
        headers={"Idempotent-Replayed": "true"},
    )


def keep(claim: IdempotencyKey, response: Any, *, secret: bool) -> None:
    response.render()
    claim.status = response.status_code
    claim.answer = "" if secret else response.content.decode()
    claim.save(update_fields=["status", "answer"])


def forget_old() -> int:
    """Delete what is past its day, of every organization that is bound."""
    before = timezone.now() - KEPT
    deleted, _ = IdempotencyKey.objects.filter(created_at__lt=before).delete()
    return deleted
