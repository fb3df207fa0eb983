"""What an answer says: its verdict, what can be compared, and what it gives away."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.test import Client

from audit.models import AuditLog
from tenants import models as tenants
from tests.access.asks import Ask
from tests.access.rows import crowd_of
from tests.access.world import Holding, Somebody

# A letter per status in the table; what is not here is a failure of the server.
LETTERS = {
    301: ">",
    302: ">",
    400: "?",
    401: "u",
    403: "-",
    404: ".",
    405: "m",
    409: "=",
    413: "?",
    415: "?",
    429: "t",
    501: "n",  # signed addresses, of a store that signs none
}
# What the server makes anew for each answer.
GENERATED = re.compile(
    rb"[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]{10,}"
    rb"|\d{4}-\d\d-\d\d[T ][0-9:.+Z-]+|ml[pi]_[\w-]+|last_four\W+\w+"
    rb"|(?<=[?]grant=)[\w:-]+"
    rb"|csrfmiddlewaretoken\W+value=\W\w+"
    # Of an evaluation dataset it is made of the moment.
    rb'|(?<="digest":")[0-9a-f]{8}(?=")'
)
# Names of runs are drawn, and counts and times are for measuring only.
PASSING = {
    "x-request-id",
    "x-query-count",
    "x-query-ms",
    "date",
    "expires",
    "set-cookie",
}
DRAWN = re.compile(rb"[a-z]+-[a-z]+-[0-9]{1,3}\b")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]

    @property
    def letter(self) -> str:
        return "+" if self.status < 300 else LETTERS.get(self.status, "!")

    def masked(self, said: Iterable[str]) -> Masked:
        """Take out what the request had said itself."""
        head = "\n".join(f"{name}: {value}" for name, value in self.headers).encode()
        return Masked(self.status, mask(head, said), mask(self.body, said))


@dataclass(frozen=True, slots=True)
class Masked:
    status: int
    head: bytes
    body: bytes

    @property
    def comparable(self) -> tuple[int, bytes, bytes]:
        made = GENERATED.sub(b"#", self.head), GENERATED.sub(b"#", self.body)
        return self.status, DRAWN.sub(b"#", made[0]), DRAWN.sub(b"#", made[1])

    def gives_away(self, secrets: re.Pattern[bytes]) -> list[str]:
        found = secrets.findall(self.head) + secrets.findall(self.body)
        return sorted({each.decode() for each in found})


def mask(text: bytes, said: Iterable[str]) -> bytes:
    for each in sorted({*said}, key=len, reverse=True):
        text = text.replace(each.encode(), b"*")
    return text


def answer(client: Client, ask: Ask, who: Somebody, credential: str) -> Answer:
    """Ask, and take back whatever the request has done."""
    headers = {**who.headers(credential), **ask.headers}
    with transaction.atomic():
        response: Any = client.generic(
            ask.method, ask.address, ask.body, ask.kind, headers=headers
        )
        body = response.getvalue()
        transaction.set_rollback(True)
    heads = ((name.lower(), value) for name, value in response.items())
    kept = sorted(head for head in heads if head[0] not in PASSING)
    return Answer(response.status_code, body, tuple(kept))


# What every member of an organization sees, whichever project it is for.
OF_ORGANIZATION = (
    tenants.User,
    tenants.Membership,
    tenants.ServiceAccount,
    AuditLog,
)


def secrets_of(held: Holding, *, people: bool) -> re.Pattern[bytes]:
    """A pattern of all texts and ids that only this holding's rows have."""
    rows = {model: row for model, row in held.rows.items() if isinstance(row.pk, UUID)}
    texts = {held.mark, held.project, str(held.number)}
    if people:
        texts |= {crowd_of(held.mark), held.organization}
    keys = {r.pk for m, r in rows.items() if people or m not in OF_ORGANIZATION}
    texts |= {str(key) for key in keys} | {key.hex for key in keys}
    return re.compile(b"|".join(re.escape(text.encode()) for text in sorted(texts)))
