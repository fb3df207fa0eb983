"""Where changes are made, by whom, and what their entries are to say of that."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.db import DataError, transaction
from django.db.models import Model

from audit.folding import tells_of_row
from audit.models import AuditLog
from audit.tests.complete.ledger import since
from audit.tests.trail import run
from conftest import Cast, WebClient, client_of, web_role
from mlops.errors import DomainError
from tenants import sql
from tenants.authentication import Credential, admit, read_token
from tenants.context import Actor, tenant_transaction
from tenants.models import Organization, Project
from tenants.tests.factories import make_api_token
from tenants.tests.superuser import AdminClient, superuser
from tenants.unscoped import every_organization
from tests.access.rows import populate

T = TypeVar("T")
Choose = Callable[[Sequence[Any]], Any]

TEXTS = ["plain", "", "Ünïcödé — “quoted” \\ ' \" \t\n", "x" * 5000, "ü" * 2049, "null"]
DOCUMENTS: list[Any] = [
    {},
    {"a": 1, "b": [1.5, True, None, "x"], "nested": {"deep": {"deeper": []}}},
    {"number": 12345678901234567890, "tiny": 1e-9, "huge": 1.5e300},
    {"redacted": True},
    {"shortened": True, "size_bytes": 3, "sha256": "0" * 64},
    {"text": "é\u2028\u0001" * 2000},
]


class Nothing(Exception):
    """There is nothing that this step could be about."""


class Refused(Exception):
    """The request was answered with an error."""

    def __init__(self, status: int, body: bytes = b"") -> None:
        self.status = status
        super().__init__(f"{status} {body[:300]!r}")


@dataclass(frozen=True)
class Expected:
    """What entries of a step must say; None: that is not for the step to say."""

    actor: str | None = None
    request_id: str | None = None
    reason: str | None = None

    def complaints(self, entry: AuditLog) -> Iterator[str]:
        who = f"{entry.actor_kind}:{entry.actor_id or entry.actor_label}"
        for name, wanted, said in (
            ("actor", self.actor, who),
            ("request_id", self.request_id, entry.request_id),
            # A look at a page has no reason but its own.
            ("reason", self.reason, entry.reason if tells_of_row(entry) else None),
        ):
            if None not in (wanted, said) and wanted != said:
                yield f"{entry.action}: {name} is {said!r}, not {wanted!r}"


@dataclass
class World:
    """Alice's organization with a row of everything, and the ways to change it."""

    cast: Cast
    choose: Choose
    steps: int = 0
    refused: int = 0
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for organization in (self.acme, self.cast.umbrella):
            Organization._base_manager.filter(pk=organization.pk).update(
                audit_data_events=True
            )
        self.acme.refresh_from_db()
        self.rows = populate(self.fraud, "ownqz", 111)
        populate(self.cast.umbrella_fraud, "forqz", 333)
        self.token = make_api_token(self.cast.alice, self.acme).text
        self.alice: WebClient = client_of(self.token)
        self.bob: WebClient = client_of(make_api_token(self.cast.bob, self.acme).text)
        self.mallory: WebClient = client_of(
            make_api_token(self.cast.mallory, self.cast.umbrella).text
        )
        self.root: AdminClient = superuser()
        self.owner = self.actor_of(read_token(self.token))

    @property
    def acme(self) -> Organization:
        return self.cast.acme

    @property
    def fraud(self) -> Project:
        return self.cast.fraud

    def text(self) -> str:
        """A text that nothing else has; some are long, some are strange."""
        return f"{self.choose(TEXTS)}{self.name()}"

    def name(self) -> str:
        self.steps += 1
        return f"n{self.steps:05}"

    def document(self) -> Any:
        return {**self.choose(DOCUMENTS), "step": self.name()}

    def pick(self, model: type[T], **lookup: Any) -> T:
        """A row of acme, the same for the same choice. Raises Nothing without one."""
        rows: Any = model
        found = rows._base_manager.filter(organization=self.acme, **lookup)
        # Ids are in no order within a millisecond.
        names = {each.name for each in rows._meta.concrete_fields}
        order = "created_at" if "created_at" in names else "pk"
        return self.one_of(list(found.order_by(order, "pk")[:8]))

    def one_of(self, rows: Sequence[T]) -> T:
        if not rows:
            raise Nothing
        return rows[self.choose(range(len(rows)))]

    # Who acts

    @contextmanager
    def serving(
        self, actor: Actor | None = None, *, reason: str = ""
    ) -> Iterator[tuple[Actor, str]]:
        """As a request does: the web role, bound to acme, with a reason.

        Yields who it is and the line that says of which request.
        """
        actor, reason = actor or self.owner, reason or f"because {self.name()}"
        request_id = f"request-{self.name()}"
        who = f"{actor.kind}:{actor.id or actor.label}"
        line = f"{request_id}\t192.0.2.0\tPOST /somewhere"
        with (
            self.telling(Expected(who, request_id, reason)),
            self.served(),
            tenant_transaction(actor, self.acme.pk, request_line=line, reason=reason),
        ):
            yield actor, line

    @contextmanager
    def served(self) -> Iterator[None]:
        """As a request does before anybody is known, or of nobody's organization."""
        with transaction.atomic(), web_role():
            yield

    @contextmanager
    def everywhere(self, label: str = "repair") -> Iterator[None]:
        """As commands do: a role that row-level security does not bind."""
        actor, reason = Actor(kind="command", label=label), f"because {self.name()}"
        with (
            self.telling(Expected(str(actor), "", reason)),
            transaction.atomic(),
            role("app_maint"),
            every_organization(actor, reason=reason),
        ):
            yield

    @contextmanager
    def by_hand(self, name: str) -> Iterator[None]:
        """As somebody does who signs in as that role and says who it is."""
        reason = f"because {self.name()}"
        expected = Expected("command:psql", "", reason)
        with self.telling(expected), transaction.atomic(), role(name):
            sql.bind("default", str(self.acme.pk), "command:psql", "", reason)
            yield

    def actor_of(self, credential: Credential) -> Actor:
        with self.served():
            return admit(credential, "tracking:read", project="fraud")

    @contextmanager
    def telling(self, expected: Expected) -> Iterator[None]:
        """Note each entry that says otherwise, and each that a refusal has left."""
        ((begun,),) = run("SELECT clock_timestamp()")
        try:
            yield
        except (DomainError, Refused, DataError):
            self.complaints += [
                f"{entry.action} was left by what was refused"
                for entry in since(begun)
                if entry.outcome == "ok"
            ]
            raise
        for entry in since(begun):
            self.complaints += expected.complaints(entry)

    # Requests

    def ask(
        self, client: Any, method: str, address: str, body: Any = None, **more: Any
    ) -> Any:
        """Send it with an id. Raises Refused for whatever is not acknowledged."""
        request_id = f"request-{self.name()}"
        content, kind = body, "application/octet-stream"
        if not isinstance(body, bytes):
            content, kind = json.dumps(body).encode(), "application/json"
        who = f"user:{self.cast.alice.pk}" if client is self.alice else None
        with self.telling(Expected(who, request_id, "" if who else None)):
            with transaction.atomic():
                response = client.generic(
                    method,
                    address,
                    content if body is not None else b"",
                    kind,
                    headers={"X-Request-Id": request_id},
                    **more,
                )
            self.refused += response.status_code in (403, 404)
            if response.status_code >= 400:
                raise Refused(response.status_code, response.getvalue())
        text = response.getvalue()
        return json.loads(text) if text.startswith((b"{", b"[")) else text

    def rest(self, method: str, path: str, **body: Any) -> Any:
        address = f"/api/v1/organizations/acme/{path}"
        return self.ask(self.alice, method, address, body or None)

    def in_fraud(self, method: str, path: str, **body: Any) -> Any:
        return self.rest(method, f"projects/fraud/{path}", **body)

    def hot(self, endpoint: str, method: str = "POST", **body: Any) -> Any:
        address = f"/mlflow/acme/fraud/api/2.0/mlflow/{endpoint}"
        return self.ask(self.alice, method, address, body)

    def admin(self, address: str, **form: Any) -> Any:
        """As a superuser in a browser. Raises Refused for whatever shows no page."""
        with self.telling(Expected(f"staff:{self.root.user.pk}")):
            with transaction.atomic():
                response: Any = self.root.post(address, form, follow=True)
            if response.status_code >= 400:
                raise Refused(response.status_code)
        return response

    def act(self, action: str, *rows: Any, **more: str) -> None:
        """Choose an action of the admin for rows, for the reason that it asks for."""
        reason = more.get("reason")
        expected = Expected(f"staff:{self.root.user.pk}", None, reason)
        with self.telling(expected), transaction.atomic():
            response = self.root.act(action, *rows, **more)
            assert response.status_code == 200, response


@contextmanager
def role(name: str) -> Iterator[None]:
    run(f"SET ROLE {name}")
    try:
        yield
    finally:
        run("RESET ROLE")


Step = Callable[[World], None]
STEPS: dict[str, Step] = {}


def step(function: Step) -> Step:
    """Add to what the machine may do; its name says what."""
    assert function.__name__ not in STEPS, function.__name__
    STEPS[function.__name__] = function
    return function


def reloaded(row: Model) -> Any:
    return type(row)._base_manager.get(pk=row.pk)
