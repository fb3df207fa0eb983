"""Requests of MLflow's protocol, spoilt: one seed makes one sequence of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

from registry.mlflow.endpoint import ENDPOINTS, Endpoint
from tests.mounts import Mount, mounts

JSON = "application/json"
# What a path of an endpoint names: <model_id>, <path:tag_key>.
NAMED = re.compile(r"<(?:\w+:)?(\w+)>")


class Raw(bytes):
    """JSON as it stands, for what no writer of JSON would write."""


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
NAMES = ["", "run_uuid", "run_id", "key", "a\x00", "__proto__", "organization_id", "é"]
QUERIES = [
    *("%00", "%ff", "%c0%ae", "%ed%a0%80", "%", "%zz", "%u0000", "+", "&&", "=", "a=b"),
    *("%0d%0aX-Y:%20z", "run_id=1&run_id=2", "run_id[]=1", "%2e%2e%2f", ";a=1", "?"),
]


@dataclass(frozen=True)
class Asked:
    """One request."""

    endpoint: str
    method: str
    url: str
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.method} {self.url!r:.300} {self.content_type} {self.body!r:.500}"


@dataclass
class Spoiler:
    """Makes requests from valid ones by one to three changes each."""

    random: Random
    run_id: str
    experiment_id: str
    model_id: str
    upload_id: str

    def request(self) -> Asked:
        endpoint = self.random.choice(ENDPOINTS)
        mount = self.random.choice(MOUNTS)
        headers = tuple(mount.headers.items())
        url = mount.url(self.address(endpoint))
        method = endpoint.method
        if method == "GET":
            url = f"{url}?{self.query(endpoint)}"
            return Asked(endpoint.path, method, url, headers=headers)
        return Asked(
            endpoint.path, method, url, self.body(endpoint), self.kind(), headers
        )

    def address(self, endpoint: Endpoint) -> str:
        """Fill what the path names: mostly with what is there."""

        def named(found: re.Match[str]) -> str:
            if self.random.random() < 0.2:
                return quote(self.random.choice(TEXTS), safe="")
            return str(self.known()[found.group(1)])

        return NAMED.sub(named, endpoint.path)

    def file_request(self) -> Asked:
        """A request of a file, whose path is the hostile part."""
        path = self.random.choice(TEXTS)
        if self.random.random() < 0.3:
            path = quote(path, safe="/")
        if self.random.random() < 0.3:
            path = quote(path, safe="")
        root = f"{self.experiment_id}/{self.run_id}/artifacts"
        below = self.random.choice([f"{root}/{path}", path, f"{root}/a/{path}/b"])
        mount = self.random.choice(["", "/mlflow/acme/fraud"])
        upload = f"{mount}/ajax-api/2.0/mlflow/upload-artifact"
        method, url = self.random.choice(
            [
                *(
                    (method, f"{mount}/api/2.0/mlflow-artifacts/artifacts/{below}")
                    for method in ("GET", "PUT", "DELETE", "HEAD")
                ),
                ("GET", f"{mount}/api/2.0/mlflow-artifacts/artifacts?path={below}"),
                ("GET", f"{mount}/get-artifact?run_id={self.run_id}&path={path}"),
                ("POST", f"{upload}?run_uuid={self.run_id}&path={path}"),
            ]
        )
        url = quote(url, safe="/?&=%#;:+")
        return Asked("artifacts", method, url, b"x", "application/octet-stream")

    def upload_request(self) -> Asked:
        """A request of an upload in parts: its folder, or its body, is spoilt."""
        verb = self.random.choice(["create", "complete", "abort", "parts"])
        proxy = self.random.choice(["", "/mlflow/acme/fraud"])
        proxy += f"/{self.random.choice(['api', 'ajax-api'])}/2.0/mlflow-artifacts/mpu"
        if verb == "parts":
            upload = self.random.choice([self.upload_id, self.random.choice(TEXTS)])
            number = self.random.choice(["1", "2", self.random.choice(TEXTS)])
            grant = self.random.choice(["", "?grant=", "?grant=a:b:c"])
            upload, number = quote(upload, safe=""), quote(number, safe="")
            url = f"{proxy}/parts/{upload}/{number}{grant}"
            return Asked("mpu/parts", "PUT", url, b"x", "application/octet-stream")
        folder = f"{self.experiment_id}/{self.run_id}/artifacts"
        if self.random.random() < 0.3:
            folder += "/" + quote(self.random.choice(TEXTS), safe="/")
        body = self.spoilt(self.upload_body(verb))
        return Asked(f"mpu/{verb}", "POST", f"{proxy}/{verb}/{folder}", body)

    def upload_body(self, verb: str) -> dict[str, Any]:
        if verb == "create":
            return {"path": "model.bin", "num_parts": 2}
        named: dict[str, Any] = {"path": "model.bin", "upload_id": self.upload_id}
        part = {"part_number": 1, "etag": "0" * 64}
        return named | ({"parts": [part]} if verb == "complete" else {})

    # Valid ones

    def valid(self, endpoint: Endpoint) -> dict[str, Any]:
        known = self.known()
        in_path = NAMED.findall(endpoint.path)
        return {
            field.name: known[field.name]
            for field in endpoint.fields
            if field.name not in in_path
            and (field.is_required or self.random.random() < 0.7)
        }

    def known(self) -> dict[str, Any]:
        tags = [{"key": "k", "value": "v"}]
        point = {"key": "m", "value": 0.5, "timestamp": 1, "step": 0}
        dataset = {"name": "d", "digest": "1", "source_type": "s", "source": "s"}
        return {
            **dict.fromkeys(("path", "metric_key", "key", "user_id"), "a"),
            **dict.fromkeys(("name", "new_name", "run_name", "experiment_name"), "n"),
            **dict.fromkeys(("alias", "tag_key", "description", "model_type"), "k"),
            **dict.fromkeys(("dataset_name", "dataset_digest", "run_link"), "1"),
            **dict.fromkeys(("artifact_directory_path", "version"), "1"),
            "allow_deleted": True,
            "source": f"runs:/{self.run_id}/a",
            "source_run_id": self.run_id,
            "model_id": self.model_id,
            "workspace_name": "fraud",
            "project": "fraud",
            "run_ids": [self.run_id],
            **dict.fromkeys(("start_step", "end_step"), 0),
            "mode": "RESTRICT",
            "default_artifact_root": "",
            "trace_archival_config": None,
            **dict.fromkeys(("page_token", "filter", "artifact_location"), ""),
            **dict.fromkeys(("view_type", "run_view_type"), "ALL"),
            **dict.fromkeys(("start_time", "end_time", "timestamp", "step"), 5),
            "run_id": self.run_id,
            "experiment_id": self.experiment_id,
            "experiment_ids": [self.experiment_id],
            "order_by": ["start_time DESC"],
            "max_results": 5,
            "status": "FINISHED",
            "value": 1.5,
            "tags": tags,
            "params": tags,
            "metrics": [point],
            "datasets": [{"dataset": dataset, "tags": tags}],
            "models": [{"model_id": self.model_id, "step": 1}],
            "model_json": json.dumps(
                {
                    "artifact_path": "m",
                    "flavors": {},
                    "utc_time_created": "",
                    "run_id": "",
                }
            ),
        }

    # Spoilt ones

    def body(self, endpoint: Endpoint) -> bytes:
        return self.spoilt(self.valid(endpoint))

    def spoilt(self, given: Any) -> bytes:
        for _ in range(self.random.randint(1, 3)):
            given = self.random.choice(CHANGES)(self, given)
        body = written(given)
        if self.random.random() < 0.3:
            body = self.random.choice(NOISES)(self, body)
        return body

    def query(self, endpoint: Endpoint) -> str:
        given: dict[str, Any] = self.valid(endpoint)
        for _ in range(self.random.randint(1, 2)):
            name = self.random.choice([*given, "other"])
            given[name] = self.random.choice(VALUES)
        pairs = [(name, text_of(value)) for name, value in given.items()]
        query = urlencode(pairs, doseq=True, errors="surrogatepass")
        if self.random.random() < 0.3:
            query += "&" + self.random.choice(QUERIES)
        return query

    def kind(self) -> str:
        if self.random.random() < 0.95:
            return JSON
        return self.random.choice(
            [
                "",
                "text/plain",
                "application/json; charset=utf-16",
                "a",
                "é/x",
                JSON * 50,
            ]
        )

    # Changes of a body

    def replace(self, given: Any) -> Any:
        """Put a hostile value somewhere inside."""
        spots = list(places_of(given))
        return put(given, self.random.choice(spots), self.random.choice(VALUES))

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


def put(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    head, *rest = place
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[head] = put(copy[head], tuple(rest), new)
    return copy
