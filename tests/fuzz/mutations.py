"""Requests of MLflow's protocol, spoilt: one seed makes one sequence of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

from registry.mlflow.endpoint import ENDPOINTS, Endpoint
from registry.tests.search.mangled import mangled
from tenants.context import Actor
from tests.fuzz.questions import question
from tests.fuzz.valid import FILE, Arguments, Stored
from tests.mounts import Mount, mounts

JSON = "application/json"
# What a path of an endpoint names: <model_id>, <path:tag_key>.
NAMED = re.compile(r"<(?:\w+:)?(\w+)>")


class Raw(bytes):
    """JSON as it stands, for what no writer of JSON would write."""


QUESTIONS = "POST graphql"
PART = b"x"
DIGEST = sha256(PART).hexdigest()
DEEP = Raw(b"[" * 33 + b"]" * 33)
VALUES: list[Any] = [
    *(Raw(rb'"a\u0000b"'), Raw(rb'"\ud800"'), Raw(rb'"\udc00\ud800"'), Raw(b'"\xff"')),
    *(Raw(b"1e400"), Raw(b"-1e400"), Raw(b"1" * 5000), Raw(b"NaN"), Raw(b"-Infinity")),
    *(Raw(b"-0.0"), Raw(b"1E5"), Raw(b"01"), Raw(b"+1"), Raw(b"0x10"), Raw(b"'a'")),
    *(DEEP, Raw(b"[" * 2000), Raw(b'{"a":' * 900), Raw(b'{"a":1,"a":2}'), Raw(b"")),
    *(2**31, 2**63, 2**63 - 1, -(2**63), -(2**63) - 1, 2**64, 10**30, 0, -1, 1.5),
    *(1e308, 5e-324, -0.5, True, False, None),
    *("", " ", "\t", "\n", ".", "..", "a/../b", "a//b", "/a", "a/", "\\", "a\\b"),
    *("0", "-0", "00", "1e5", "1_000", "0x10", "٣", "１", "nan", "NaN", "Infinity"),
    *("1e400", "1" * 400, "9" * 19, "-" + "9" * 30, "true", "TRUE", "null", "None"),
    *("x" * 250, "x" * 251, "x" * 500, "x" * 501, "x" * 8001, "x" * 70_000),
    *("é", "e\u0301", "ﬁ", "а", "\u202e", "\u200b", "\ufeff", "\u2028", "\x7f", "\x85"),
    *("<script>alert(1)</script>", "'; DROP TABLE runs; --", "%s", "%(run)s", "{0}"),
    *("${jndi:ldap://x}", "../../etc/passwd", "%2e%2e%2f", "%00", "file:///etc", "*"),
    *("http://169.254.169.254/", "mlflow-artifacts:/0", "runs:/x", "s3://b/k?x#y"),
    *([], {}, [[]], [{}], [None], [1, "a"], [""], {"a": {"b": []}}, {"": ""}),
    *({"key": "k"}, [{"key": "k", "value": "v"}] * 101, [{"key": None, "value": 1}]),
]
TEXTS = [value for value in VALUES if isinstance(value, str)]
FILE_METHODS = ("GET", "PUT", "DELETE", "HEAD")
PLAIN_PATHS = [FILE] * 10 + ["b/c.txt", "größe.txt"] * 5
NAMES = ["", "run_uuid", "run_id", "key", "a\x00", "__proto__", "organization_id", "é"]
KINDS = ["", "text/plain", f"{JSON}; charset=utf-16", "a", "é/x", JSON * 50]
QUERIES = [
    *("%00", "%ff", "%c0%ae", "%ed%a0%80", "%", "%zz", "%u0000", "+", "&&", "=", "a=b"),
    *("%0d%0aX-Y:%20z", "run_id=1&run_id=2", "run_id[]=1", "%2e%2e%2f", ";a=1", "?"),
]


@dataclass(frozen=True)
class Asked:
    """One request, by a caller of this role."""

    endpoint: str
    method: str
    url: str
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    role: str = "maintainer"
    # What was asked before it was written; another page is asked for with it.
    given: Any = None

    def __str__(self) -> str:
        return f"{self.method} {self.url!r:.300} {self.content_type} {self.body!r:.500}"


@dataclass
class Spoiler:
    """Makes requests from valid ones by up to three changes each."""

    random: Random
    stored: Stored
    arguments: Arguments = field(init=False)

    def __post_init__(self) -> None:
        self.arguments = Arguments(self.random, self.stored)

    def request(self) -> Asked:
        """Spoil four of five; the others show that what is spoilt would be taken."""
        if self.random.random() < 0.05:
            return self.question()
        endpoint = self.random.choice(ENDPOINTS)
        return self.asked(endpoint, self.random.choice((0, 1, 1, 2, 3)))

    def asked(self, endpoint: Endpoint, changes: int) -> Asked:
        given = self.arguments.of(endpoint)
        named = {name: given.pop(name) for name in NAMED.findall(endpoint.path)}
        mount = self.mount_of(endpoint)
        is_plain = changes == 0
        return self.sent(
            Asked(
                f"{endpoint.method} {endpoint.path}",
                endpoint.method,
                mount.url(self.address(endpoint, named, is_plain=is_plain)),
                content_type=JSON if is_plain else self.kind(),
                headers=tuple(mount.headers.items()),
                role=self.role_for(endpoint, is_plain=is_plain),
            ),
            given,
            changes,
        )

    def sent(self, asked: Asked, given: Any, changes: int) -> Asked:
        """Write what is given into the query or the body, with so many changes."""
        if asked.method == "GET":
            query = self.query(given, changes)
            path = asked.url.partition("?")[0]
            return replace(
                asked, url=f"{path}?{query}", content_type="", given=(given, changes)
            )
        body = self.spoilt(given, changes)
        return replace(asked, body=body, given=(given, changes))

    def next_page(self, asked: Asked, token: str) -> Asked:
        """Ask on; a spoilt token is asked with as often as the real one."""
        given, _ = asked.given
        changes = self.random.choice((0, 1))
        if changes and self.random.random() < 0.5:
            token, changes = mangled(token, self.random), 0
        return self.sent(asked, {**given, "page_token": token}, changes)

    def mount_of(self, endpoint: Endpoint) -> Mount:
        """Workspaces are below the root alone, and no header says another there."""
        return self.random.choice(ROOTS if endpoint.context is Actor else MOUNTS)

    def role_for(self, endpoint: Endpoint, *, is_plain: bool) -> str:
        if endpoint.context is Actor and (is_plain or self.random.random() < 0.9):
            return "wide"
        return "maintainer" if is_plain else self.random.choice(ROLES)

    def address(
        self, endpoint: Endpoint, names: dict[str, str], *, is_plain: bool
    ) -> str:
        """Fill what the path names: mostly with what is there."""

        def named(found: re.Match[str]) -> str:
            if not is_plain and self.random.random() < 0.2:
                return quote(self.random.choice(TEXTS), safe="")
            return names[found.group(1)]

        return NAMED.sub(named, endpoint.path)

    def question(self) -> Asked:
        """A request of GraphQL, whose text and variables are spoilt."""
        prefix = self.random.choice(["", "/mlflow/acme/fraud"])
        given = question(self.arguments)
        changes = self.random.choice((0, 1, 1, 2, 3))
        if changes and self.random.random() < 0.5:
            given["query"] = mangled(given["query"], self.random)
            changes -= 1
        asked = Asked(QUESTIONS, "POST", f"{prefix}/graphql")
        return self.sent(replace(asked, role=self.random.choice(ROLES)), given, changes)

    def file_request(self) -> Asked:
        """A request of a file, whose path is the hostile part."""
        path = self.random.choice([*TEXTS, *PLAIN_PATHS])
        if self.random.random() < 0.3:
            path = quote(path, safe="/")
        if self.random.random() < 0.3:
            path = quote(path, safe="")
        run_id, root = self.stored.run_id, self.root
        below = self.random.choice([f"{root}/{path}", path, f"{root}/z/{path}/b"])
        mount = self.random.choice(["", "/mlflow/acme/fraud"])
        artifacts = "api/2.0/mlflow-artifacts/artifacts"
        of_model = f"ajax-api/2.0/mlflow/logged-models/{self.stored.model_id}/artifacts"
        in_run = f"run_id={run_id}&path=<path>"
        method, route, value = self.random.choice(
            [
                *((verb, f"{artifacts}/<path>", below) for verb in FILE_METHODS),
                ("GET", f"{artifacts}?path=<path>", below),
                ("GET", f"get-artifact?{in_run}", path),
                ("GET", f"{of_model}/files?artifact_file_path=<path>", path),
                ("POST", f"ajax-api/2.0/mlflow/upload-artifact?{in_run}", path),
            ]
        )
        kind = f"{method} {route}".partition("?")[0]
        url = quote(f"{mount}/{route.replace('<path>', value)}", safe="/?&=%#;:+")
        return Asked(
            kind.replace(self.stored.model_id, "<model_id>"),
            method,
            url,
            b"x",
            "application/octet-stream",
        )

    def upload_request(self) -> Asked:
        """A request of an upload in parts: its folder, or its body, is spoilt."""
        verb = self.random.choice(["create", "complete", "abort", "parts"])
        proxy = self.random.choice(["", "/mlflow/acme/fraud"])
        proxy += f"/{self.random.choice(['api', 'ajax-api'])}/2.0/mlflow-artifacts/mpu"
        if verb == "parts":
            known = [self.stored.upload_id] * 4
            upload = self.random.choice([*known, self.random.choice(TEXTS)])
            number = self.random.choice(["1", "2"] * 2 + [self.random.choice(TEXTS)])
            grant = self.random.choice([""] * 4 + ["?grant=", "?grant=a:b:c"])
            upload, number = quote(upload, safe=""), quote(number, safe="")
            url = f"{proxy}/parts/{upload}/{number}{grant}"
            return Asked("mpu/parts", "PUT", url, PART, "application/octet-stream")
        folder = self.root
        if self.random.random() < 0.3:
            folder += "/" + quote(self.random.choice(TEXTS), safe="/")
        changes = self.random.choice((0, 1, 1, 2, 3))
        body = self.spoilt(self.upload_body(verb), changes)
        return Asked(f"mpu/{verb}", "POST", f"{proxy}/{verb}/{folder}", body)

    def upload_body(self, verb: str) -> dict[str, Any]:
        if verb == "create":
            return {"path": "model.bin", "num_parts": 2}
        named: dict[str, Any] = {
            "path": "model.bin",
            "upload_id": self.stored.upload_id,
        }
        parts = [{"part_number": number, "etag": DIGEST} for number in (1, 2)]
        return named | ({"parts": parts} if verb == "complete" else {})

    @property
    def root(self) -> str:
        return f"{self.stored.experiment_id}/{self.stored.run_id}/artifacts"

    # Spoilt ones

    def spoilt(self, given: Any, changes: int) -> bytes:
        for _ in range(changes):
            given = self.random.choice(CHANGES)(self, given)
        body = written(given)
        if changes and self.random.random() < 0.3:
            body = self.random.choice(NOISES)(self, body)
        return body

    def query(self, given: dict[str, Any], changes: int) -> str:
        given = dict(given)
        for _ in range(changes):
            name = self.random.choice([*given, "other"])
            given[name] = self.spoilt_value(given.get(name))
        pairs = [(name, text_of(value)) for name, value in given.items()]
        query = urlencode(pairs, doseq=True, errors="surrogatepass")
        if changes and self.random.random() < 0.3:
            query += "&" + self.random.choice(QUERIES)
        return query

    def spoilt_value(self, value: Any) -> Any:
        if isinstance(value, str) and self.random.random() < 0.3:
            return mangled(value, self.random)
        return self.random.choice(VALUES)

    def kind(self) -> str:
        if self.random.random() < 0.95:
            return JSON
        return self.random.choice(KINDS)

    # Changes of a body

    def replace(self, given: Any) -> Any:
        """Put a hostile value somewhere inside."""
        spot = self.random.choice(list(places_of(given)))
        return put(given, spot, self.spoilt_value(value_at(given, spot)))

    def remove(self, given: Any) -> Any:
        if not isinstance(given, dict) or not given:
            return given
        gone = self.random.choice(list(given))
        return {name: value for name, value in given.items() if name != gone}

    def add(self, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return given | {self.random.choice(NAMES): self.random.choice(VALUES)}

    def repeat(self, given: Any) -> Any:
        """Say a member twice."""
        if not isinstance(given, dict) or not given:
            return given
        name = self.random.choice(list(given))
        twice = json.dumps(name).encode() + b":" + written(given[name])
        return Raw(written(given)[:-1] + b"," + twice + b"}")

    def wrap(self, given: Any) -> Any:
        return self.random.choice([[given], {"body": given}, json.dumps("{}"), given])

    # Noise in the bytes

    def cut(self, body: bytes) -> bytes:
        return body[: self.random.randint(0, len(body))]

    def flip(self, body: bytes) -> bytes:
        noisy = bytearray(body or b" ")
        for _ in range(self.random.randint(1, 5)):
            noisy[self.random.randrange(len(noisy))] = self.random.randrange(256)
        return bytes(noisy)

    def splice(self, body: bytes) -> bytes:
        at = self.random.randint(0, len(body))
        return body[:at] + self.random.randbytes(self.random.randint(1, 8)) + body[at:]

    def recode(self, body: bytes) -> bytes:
        text = body.decode(errors="replace")
        return text.encode(
            self.random.choice(["utf-16", "utf-32", "utf-7", "utf-8-sig"])
        )


CHANGES: list[Callable[[Spoiler, Any], Any]] = [
    *([Spoiler.replace] * 8),
    *(Spoiler.remove, Spoiler.add, Spoiler.repeat, Spoiler.wrap),
]
NOISES: list[Callable[[Spoiler, bytes], bytes]] = [
    *(Spoiler.cut, Spoiler.flip, Spoiler.splice, Spoiler.recode),
]
MOUNTS: list[Mount] = mounts()
ROOTS = [mount for mount in MOUNTS if mount.name.startswith("token")]
ROLES = ("maintainer", "editor", "editor", "viewer", "service", "wide")


def written(value: Any) -> bytes:
    """Write JSON, what is Raw as it stands."""
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, dict):
        members = (json.dumps(k).encode() + b":" + written(v) for k, v in value.items())
        return b"{" + b",".join(members) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(written, value)) + b"]"
    return json.dumps(value).encode()


def text_of(value: Any) -> Any:
    if isinstance(value, Raw):
        return value.decode(errors="surrogateescape").encode(errors="surrogateescape")
    if isinstance(value, list):
        return [text_of(each) for each in value]
    return value if isinstance(value, str) else json.dumps(value)


def places_of(value: Any, above: tuple[Any, ...] = ()) -> Any:
    """Yield the way to each value inside, the whole one included."""
    yield above
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from places_of(inner, (*above, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value[:3]):
            yield from places_of(inner, (*above, index))


def value_at(value: Any, place: tuple[Any, ...]) -> Any:
    for step in place:
        value = value[step]
    return value


def put(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    head, *rest = place
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[head] = put(copy[head], tuple(rest), new)
    return copy
