from __future__ import annotations

import orjson
import pytest
from django.db import OperationalError

from conftest import WebClient, client_of
from mlops import errors as domain
from mlops.db import hot
from registry.mlflow import schema
from registry.mlflow.endpoint import ENDPOINTS, Endpoint, view_of, views
from registry.mlflow.errors import MethodNotAllowed, code_of, refuse
from registry.mlflow.schema import bind, fields_of
from registry.models import Metric
from registry.sql import runs as sql
from registry.tests.protocol import PREFIX, Tracking, error, missing, read, statements
from tenants.callers import Caller
from tenants.models import Project
from tenants.permissions import Permission
from tenants.tests.factories import make_api_token
from tests.hostile.places import endpoints

METRIC = {"key": "m", "value": 1, "timestamp": 1}
# One hot and one cold endpoint of each method.
POSTS = [("runs/log-metric", METRIC), ("experiments/set-experiment-tag", {"key": "k"})]
GETS = ["runs/get", "experiments/get"]


# What anybody may ask


@pytest.mark.parametrize("mount", ["/", "/mlflow/acme/fraud/", "/mlflow/no/where/"])
def test_health_and_version_need_no_sign_in(stranger, mount):
    health, version = (stranger.get(mount + path) for path in ("health", "version"))
    assert (health.status_code, health.content) == (200, b"OK")
    assert (version.status_code, version.content) == (200, b"3.18.0")
    assert version.headers["Content-Type"] == "text/plain"


@pytest.mark.parametrize("api", ["api", "ajax-api"])
@pytest.mark.parametrize("mount", ["/", "/mlflow/acme/fraud/"])
def test_the_server_says_what_it_can_do(stranger, mount, api):
    answer = read(stranger.get(f"{mount}{api}/3.0/mlflow/server-info"))
    assert answer["store_type"] == "SqlStore"
    assert answer["artifact_serving_enabled"] is True
    on = {name for name, value in answer.items() if value is True}
    workspaces = {"workspaces_enabled"} if mount == "/" else set()
    assert on == {
        "artifact_serving_enabled",
        "multipart_uploads_enabled",
        *workspaces,
    }


# Where there is nothing


@pytest.mark.parametrize("path", ["nothing", "runs/nothing", "runs", "runs/", "a/b/c"])
@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
def test_an_unknown_path_answers_json(fraud, stranger, method, path):
    assert getattr(stranger, method)(PREFIX + path).status_code == 401
    response = getattr(fraud.client, method)(PREFIX + path)
    status, code, message = error(response)
    assert (status, code) == (404, "ENDPOINT_NOT_FOUND")
    assert message == f"No endpoint at {PREFIX}{path}."


@pytest.mark.parametrize("path", [path for path, _ in POSTS])
@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
def test_another_method_is_not_allowed(fraud, method, path):
    response = getattr(fraud.client, method)(PREFIX + path)
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")
    if method != "head":
        assert error(response)[1] == "ENDPOINT_NOT_FOUND"


@pytest.mark.parametrize("path", GETS)
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_another_method_of_a_reader_is_not_allowed(fraud, method, path):
    response = getattr(fraud.client, method)(PREFIX + path)
    assert (response.status_code, response.headers["Allow"]) == (405, "GET")


def test_a_path_with_two_methods_names_both(fraud):
    response = fraud.client.put(f"{PREFIX}experiments/search")
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"GET", "POST"}


def test_head_is_get_without_a_body(fraud):
    run = fraud.run()
    for path, query in (("runs/get", {"run_id": run}), ("experiments/get", {})):
        query = query or {"experiment_id": "0"}
        got = fraud.client.get(PREFIX + path, query)
        head = fraud.client.head(PREFIX + path, query)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Type"] == got.headers["Content-Type"]


@pytest.mark.parametrize(
    "headers", [{"x-http-method-override": "DELETE"}, {"x-method-override": "POST"}]
)
def test_no_header_changes_the_method(fraud, headers):
    run = fraud.run()
    address = f"{PREFIX}runs/get"
    response = fraud.client.get(address, {"run_id": run}, headers=headers)
    assert response.json()["run"]["info"]["run_id"] == run


# Who


WRONG_CREDENTIALS = [
    ("none", None),
    ("a token that is no token", "Bearer nonsense"),
    ("a token of another secret", "Bearer {other}"),
    ("a revoked token", "Bearer {revoked}"),
    ("another scheme", "Digest {good}"),
    ("a user's password", "Basic YWxpY2U6cGFzc3dvcmQ="),
]


@pytest.mark.parametrize(
    "_case,header", WRONG_CREDENTIALS, ids=[case for case, _ in WRONG_CREDENTIALS]
)
@pytest.mark.parametrize("body", [b"{}", b"{", b"[]", b'{"run_id": "nope"}'])
def test_without_credentials_nothing_else_is_told(cast, _case, header, body):
    """Nobody learns what is wrong with a request before it is known who asks."""
    good = make_api_token(cast.alice, cast.acme, cast.fraud)
    revoked = make_api_token(cast.alice, cast.acme, revoked_at="2026-01-01T00:00Z")
    other = good.text[:25] + make_api_token(cast.bob, cast.acme).text[25:]
    text = (header or "").format(good=good.text, revoked=revoked.text, other=other)
    client = WebClient(headers={"authorization": text} if header else {})
    tracking = Tracking(client)
    responses = [tracking.send(path, body) for path, _ in POSTS]
    responses += [tracking.get(path, run_id="x", experiment_id="x") for path in GETS]
    responses += [tracking.get(path) for path in GETS]
    for response in responses:
        assert error(response)[:2] == (401, "UNAUTHENTICATED")
        assert response.headers["WWW-Authenticate"].startswith("Basic")
    assert len({response.content for response in responses}) == 1


def test_whoever_may_not_write_is_not_told_what_is_wrong(reader, fraud):
    run = fraud.run()
    for body in ({}, {"run_id": run}, {"run_id": run, **METRIC}):
        response = reader.post("runs/log-metric", **body)
        assert error(response)[:2] == (403, "PERMISSION_DENIED")


def test_a_session_reads_and_writes_from_this_sites_own_pages(cast):
    client = WebClient()
    client.force_login(cast.alice)
    tracking = Tracking(client, "/mlflow/acme/fraud/ajax-api/2.0/mlflow/")
    ours = {"origin": "http://testserver", "sec-fetch-site": "same-origin"}
    created = tracking.send(
        "runs/create", b'{"experiment_id": "0"}', headers=ours
    ).json()
    run = created["run"]["info"]["run_id"]
    assert tracking.run_of(run)["info"]["run_id"] == run
    body = orjson.dumps({"run_id": run, **METRIC})
    for headers, status in (
        (ours, 200),
        ({"origin": "http://testserver"}, 200),
        ({}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({**ours, "sec-fetch-site": "cross-site"}, 403),
    ):
        for path in ("runs/log-metric", "runs/delete"):
            response = tracking.send(path, body, headers=headers)
            assert response.status_code == status, (path, headers)
        tracking.send("runs/restore", body, headers=ours)


def test_a_session_without_an_address_reaches_nothing(cast):
    client = WebClient()
    client.force_login(cast.alice)
    for path in GETS:
        response = client.get(PREFIX + path, {"run_id": "0" * 32, "experiment_id": "0"})
        assert response.status_code == 404


def test_a_session_of_mallory_reaches_nothing_of_acme(cast):
    client = WebClient()
    client.force_login(cast.mallory)
    tracking = Tracking(client, "/mlflow/acme/fraud/ajax-api/2.0/mlflow/")
    for response in (
        tracking.get("runs/get", run_id="0" * 32),
        tracking.get("experiments/get", experiment_id="0"),
    ):
        assert error(response)[:2] == (404, "RESOURCE_DOES_NOT_EXIST")


# Bodies


@pytest.mark.parametrize("path,body", POSTS)
@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
    ],
)
def test_another_content_type_is_refused(fraud, path, body, kind):
    response = fraud.send(path, orjson.dumps(body), content_type=kind)
    assert error(response) == (
        400,
        "INVALID_PARAMETER_VALUE",
        "Bad Request. Content-Type must be one of ['application/json'].",
    )


def test_a_content_type_that_is_missing_is_named(fraud):
    response = fraud.send("runs/log-metric", b"{}", content_type="")
    assert error(response) == (
        400,
        "INVALID_PARAMETER_VALUE",
        "Bad Request. Content-Type header is missing.",
    )


def test_a_content_type_may_name_its_charset(fraud):
    run = fraud.run()
    body = orjson.dumps({"run_id": run, **METRIC})
    kind = "application/json; charset=utf-8"
    assert fraud.send("runs/log-metric", body, content_type=kind).status_code == 200


HOSTILE = [
    ("NUL", rb'{"run_id": "a\u0000b", "experiment_id": "0", "key": "k"}'),
    ("a lone surrogate", rb'{"key": "\ud800", "run_id": "x", "experiment_id": "0"}'),
    ("1e400", b'{"timestamp": 1e400, "run_id": "x", "experiment_id": "0"}'),
    ("NaN", b'{"value": NaN, "run_id": "x", "experiment_id": "0"}'),
    ("100,000 brackets", b"[" * 100_000),
    ("900 levels", b'{"other": ' + b"[" * 900 + b"]" * 900 + b"}"),
    ("a list", b"[]"),
    ("a text", b'"text"'),
    ("a text with JSON in it", rb'"{\"run_id\": \"x\"}"'),
    ("null", b"null"),
    ("a number", b"5"),
    ("a key twice", b'{"run_id": "a", "run_id": "b", "experiment_id": "0"}'),
    ("bad UTF-8", b'{"key": "\xff"}'),
    ("UTF-16", '{"key": "k"}'.encode("utf-16")),
    ("5,000 digits", b'{"step": ' + b"1" * 5000 + b"}"),
    ("half a body", b'{"key": "k"'),
    ("nothing", b""),
    ("no members", b"{}"),
]


@pytest.mark.parametrize("_case,body", HOSTILE, ids=[case for case, _ in HOSTILE])
def test_a_hostile_body_is_refused_everywhere(fraud, _case, body):
    for each in endpoints():
        if not each.takes_nothing:
            response = fraud.send(each.path, body)
            assert response.status_code in (400, 404), each.path
            assert error(response)[1] != "ENDPOINT_NOT_FOUND"


def test_a_hundred_thousand_keys_are_refused_or_passed_over(fraud):
    run = fraud.run()
    many = {f"key{i}": i for i in range(100_000)}
    response = fraud.post("runs/log-metric", run_id=run, **METRIC, **many)
    assert response.status_code in (200, 400)


def test_unknown_fields_are_passed_over(fraud):
    run = fraud.run()
    fraud.ok("runs/log-metric", run_id=run, **METRIC, other=1, model_id=None)
    assert Metric._base_manager.count() == 1


@pytest.mark.parametrize("path", [path for path, _ in POSTS])
def test_a_body_beyond_the_limit_is_refused(fraud, path):
    response = fraud.send(path, b'"' + b"x" * 2 * 1024**2 + b'"')
    assert error(response)[:2] == (413, "BAD_REQUEST")


@pytest.mark.parametrize("path", [path for path, _ in POSTS])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_a_packed_body_is_refused(fraud, path, encoding):
    response = fraud.send(path, b"x", headers={"content-encoding": encoding})
    assert error(response)[:2] == (415, "BAD_REQUEST")


# The database


@pytest.mark.parametrize("error_type,expected", [(OperationalError, 503)])
def test_a_database_that_is_gone_answers_503(fraud, monkeypatch, error_type, expected):
    run = fraud.run()

    def gone(statement, parameters):
        raise error_type("server closed the connection unexpectedly")

    monkeypatch.setattr(hot, "fetch", gone)
    response = fraud.post("runs/log-metric", run_id=run, **METRIC)
    assert error(response)[:2] == (expected, "TEMPORARILY_UNAVAILABLE")
    assert response.headers["Retry-After"] == "1"


def test_what_clients_do_all_the_time_is_hot():
    hot_ones = {each.path for each in ENDPOINTS if each.context is Caller}
    assert hot_ones >= {
        "runs/create",
        "runs/update",
        "runs/get",
        "runs/search",
        "runs/log-metric",
        "runs/log-batch",
        "runs/log-parameter",
        "runs/set-tag",
        "metrics/get-history",
    }


# Declarations

# These only read, though their bodies make them POST.
READING_POSTS = (
    "/search",
    "/search-datasets",
    "/presigned-download-url",
    "gateway-proxy",
    "ui-telemetry",
)


def test_every_endpoint_says_what_it_needs():
    for each in ENDPOINTS:
        if each.context is None:
            assert (each.needs, each.path) == ("", "server-info")
        else:
            assert each.needs in Permission.values
            reads = each.method == "GET" or each.path.endswith(READING_POSTS)
            assert each.needs.endswith(":read") == reads, each.path


def test_views_carry_what_the_middleware_reads():
    found, _ = views()
    assert found["runs/get"].needs == {"GET": Permission.TRACKING_READ}
    assert found["runs/get"].transaction == "manual"
    assert set(found["experiments/search"].needs) == {"GET", "POST"}
    assert not hasattr(found["experiments/search"], "transaction")
    assert found["server-info"].public
    assert all(view.csrf_exempt and view.refuse for view in found.values())


def test_the_methods_of_a_path_let_their_callers_in_alike():
    def hot_one(caller: Caller) -> None: ...

    def cold_one(project: Project) -> None: ...

    methods = {
        "GET": Endpoint("GET", "x", "", 0, "", hot_one, Caller, ()),
        "POST": Endpoint("POST", "x", "", 0, "", cold_one, Project, ()),
    }
    with pytest.raises(ValueError):
        view_of(methods)


# Signatures


def example(
    project: Project,
    *,
    run_id: str,
    count: int,
    ratio: float = 0.5,
    flag: bool = False,
    names: list[str] | None = None,
    items: list | None = None,
    limit: int | None = None,
    word: object = None,
) -> None: ...


FIELDS = fields_of(example)
BOUND = [
    ({"run_id": "r", "count": 1}, {"run_id": "r", "count": 1}),
    ({"run_uuid": "r", "count": "7"}, {"run_id": "r", "count": 7}),
    ({"run_id": None, "run_uuid": "r", "count": 7.0}, {"run_id": "r", "count": 7}),
    (
        {"run_id": "r", "count": "-5", "ratio": "NaN", "flag": "TRUE", "other": 1},
        {"run_id": "r", "count": -5, "ratio": pytest.approx(float("nan"), nan_ok=True)}
        | {"flag": True},
    ),
    (
        {"run_id": "r", "count": 1, "flag": False, "names": [], "items": [1, {}]},
        {"run_id": "r", "count": 1, "flag": False, "names": [], "items": [1, {}]},
    ),
    (
        {"run_id": "r", "count": 1, "limit": None, "word": {"a": 1}, "names": None},
        {"run_id": "r", "count": 1, "word": {"a": 1}},
    ),
]


@pytest.mark.parametrize("given,expected", BOUND)
def test_a_request_is_bound_to_the_signature(given, expected):
    assert bind(FIELDS, given) == expected


UNBOUND = [
    ({"count": 1}, "Missing value for required parameter 'run_id'."),
    ({"run_id": "r"}, "Missing value for required parameter 'count'."),
    ({"run_id": "", "count": 1}, "Missing value for required parameter 'run_id'."),
    ({"run_id": "r", "count": ""}, "Missing value for required parameter 'count'."),
    ({"run_id": 5, "count": 1}, "Invalid value 5 for parameter 'run_id'"),
    ({"run_id": "r", "count": True}, "Invalid value true for parameter 'count'"),
    ({"run_id": "r", "count": 1.5}, "Invalid value 1.5 for parameter 'count'"),
    ({"run_id": "r", "count": 2**63}, "Invalid value 9223372036854775808"),
    ({"run_id": "r", "count": 1, "ratio": True}, "Invalid value true for"),
    ({"run_id": "r", "count": 1, "flag": 1}, "Invalid value 1 for parameter 'flag'"),
    ({"run_id": "r", "count": 1, "flag": "yes"}, 'Invalid value "yes" for'),
    ({"run_id": "r", "count": 1, "names": ["a", 5]}, 'Invalid value ["a",5] for'),
    ({"run_id": "r", "count": 1, "names": "a"}, 'Invalid value "a" for'),
    ({"run_id": "r", "count": 1, "items": {"b": 1, "a": 2}}, 'value {"a":2,"b":1} for'),
    ({"run_id": "r", "count": 1, "limit": []}, "Invalid value [] for"),
]


@pytest.mark.parametrize("given,message", UNBOUND)
def test_a_request_that_does_not_fit_is_refused(given, message):
    with pytest.raises(domain.InvalidInput) as refusal:
        bind(FIELDS, given)
    assert message in refusal.value.message
    assert "See the API docs for more information about request parameters." in (
        refusal.value.message
    )


def test_an_echo_is_cut():
    refusal = schema.mistyped("name", ["x" * 10_000])
    assert len(refusal.message) < 600
    assert "…" in refusal.message


def test_what_the_address_names_goes_before_the_body(rf):
    def shown(project: Project, *, model_id: str, count: int = 0) -> None: ...

    each = Endpoint(
        "POST", "x/<model_id>", "", 99, "", shown, Project, fields_of(shown)
    )
    body = b'{"model_id": "another", "count": 3}'
    request = rf.post("/", data=body, content_type="application/json")
    names = {"organization": "acme", "project": "fraud", "model_id": "m-1"}
    assert each.arguments(request, names) == {"model_id": "m-1", "count": 3}


# Errors


CODES = [
    (domain.InvalidInput(), "INVALID_PARAMETER_VALUE", 400),
    (domain.InvalidState(), "INVALID_STATE", 400),
    (domain.AlreadyExists(), "RESOURCE_ALREADY_EXISTS", 400),
    (domain.Unauthenticated(), "UNAUTHENTICATED", 401),
    (domain.Forbidden(), "PERMISSION_DENIED", 403),
    (domain.NotFound(), "RESOURCE_DOES_NOT_EXIST", 404),
    (MethodNotAllowed("PUT", ["GET"]), "ENDPOINT_NOT_FOUND", 405),
    (domain.Conflict(), "RESOURCE_CONFLICT", 409),
    (domain.TooLarge(), "BAD_REQUEST", 413),
    (domain.TooManyRequests(), "REQUEST_LIMIT_EXCEEDED", 429),
    (domain.Unavailable(), "TEMPORARILY_UNAVAILABLE", 503),
    (domain.DomainError(), "BAD_REQUEST", 400),
]


@pytest.mark.parametrize("raised,code,status", CODES)
def test_an_error_has_mlflows_code_and_status(rf, raised, code, status):
    assert code_of(raised) == (code, status)
    response = refuse(rf.get("/"), raised)
    assert error(response) == (status, code, raised.message)
    assert ("Retry-After" in response.headers) == (status in (429, 503))


def test_a_subclass_is_answered_like_what_it_derives_from():
    class Special(domain.NotFound):
        """Special."""

    assert code_of(Special()) == ("RESOURCE_DOES_NOT_EXIST", 404)


def test_a_failure_of_our_own_is_an_internal_error():
    failure = domain.DomainError("broken")
    failure.status = 500
    assert code_of(failure) == ("INTERNAL_ERROR", 500)


def test_a_hot_refusal_costs_one_statement_more_at_most(fraud):
    run = fraud.run()
    for body in ({}, {"run_id": run, **METRIC, "timestamp": -1}):
        response = fraud.post("runs/log-metric", **body)
        # savepoint, admission, release: no statement of its own has run
        assert (response.status_code, statements(response)) == (400, 3)
    assert error(fraud.post("runs/log-metric")) == missing("run_id")


def test_no_statement_begins_its_work_before_the_verdict():
    for name in ("GET_RUN", "CREATE_RUN", "UPDATE_RUN", "SEARCH_RUNS"):
        statement = " ".join(getattr(sql, name).split())
        assert statement.startswith(
            "SELECT CASE WHEN caller.verdict = 'ok' THEN registry_"
        )


def test_the_client_of_a_stranger_sends_no_token():
    assert "HTTP_AUTHORIZATION" not in client_of().defaults
