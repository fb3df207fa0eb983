from __future__ import annotations

import pytest
from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    ValidationError,
)
from django.db import DataError, IntegrityError, OperationalError, connection
from django.http import Http404
from django.test import RequestFactory
from rest_framework import exceptions as drf

from mlops.api import exceptions
from mlops.api.exceptions import answer, domain_error, response_of
from mlops.db import uniques
from mlops.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from registry.tests.factories import (
    DeploymentFactory,
    ExperimentFactory,
    PackageFactory,
    RegisteredModelFactory,
)
from tenants.tests.factories import ProjectFactory


@pytest.mark.parametrize(
    "error,status,code",
    [
        (InvalidInput(), 400, "invalid_input"),
        (Unauthenticated(), 401, "unauthenticated"),
        (Forbidden(), 403, "forbidden"),
        (NotFound(), 404, "not_found"),
        (AlreadyExists(), 409, "already_exists"),
        (Conflict(), 409, "conflict"),
        (TooLarge(), 413, "too_large"),
        (TooManyRequests(), 429, "too_many_requests"),
        (Unavailable(), 503, "unavailable"),
        (Http404("secret"), 404, "not_found"),
        (PermissionDenied("secret"), 403, "forbidden"),
        (ValidationError("Bad."), 400, "invalid_input"),
        (RequestDataTooBig(), 413, "too_large"),
        (SuspiciousOperation(), 400, "invalid_input"),
        (DataError("secret"), 400, "invalid_input"),
        (OperationalError("secret"), 503, "unavailable"),
        (drf.ParseError("No."), 400, "parse_error"),
        (drf.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (drf.UnsupportedMediaType("a/b"), 415, "unsupported_media_type"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_an_error_is_answered_with_its_status_and_code(error, status, code):
    response = answer(error, {})
    assert response.status_code == status
    assert response.data["error"]["code"] == code
    assert "secret" not in str(response.data)


def test_a_bug_is_let_out():
    assert answer(RuntimeError(), {}) is None
    assert domain_error(KeyError("x")) is None


def test_headers_say_what_to_do_next():
    assert "Basic" in response_of(Unauthenticated())["WWW-Authenticate"]
    assert response_of(Unavailable())["Retry-After"] == "1"
    assert response_of(TooManyRequests())["Retry-After"] == "1"
    assert "Retry-After" not in response_of(Conflict())


@pytest.mark.parametrize(
    "detail,message",
    [
        ({"name": ["Too long."]}, "name: Too long."),
        ({"a": {"b": ["No."]}}, "a.b: No."),
        ({"roles": [{}, {"role": ["No."]}]}, "roles.role: No."),
        ({"non_field_errors": ["Both."]}, "Both."),
        (["No."], "No."),
    ],
)
def test_a_message_names_the_fields(detail, message):
    response = answer(drf.ValidationError(detail), {})
    assert response.data["error"]["message"] == message
    assert response.data["error"]["fields"] == drf.ValidationError(detail).detail


def test_a_message_stays_readable_when_everything_is_wrong():
    detail = {f"field{n}": ["No."] for n in range(500)}
    message = answer(drf.ValidationError(detail), {}).data["error"]["message"]
    assert message.count("field") == 5


# What the database says


def broken(work, *arguments, **fields):
    with pytest.raises(IntegrityError) as caught:
        work(*arguments, **fields)
    return caught.value


@pytest.mark.parametrize(
    "factory,same,fields",
    [
        (ProjectFactory, {"slug": "twin"}, "slug"),
        (ExperimentFactory, {"name": "twin"}, "name"),
        (ExperimentFactory, {"iid": 5}, "iid"),
        (PackageFactory, {"name": "twin", "version": "1"}, "name and version"),
    ],
)
def test_a_broken_unique_key_names_its_fields(cast, factory, same, fields):
    place = {"project": cast.fraud} if factory is not ProjectFactory else {}
    whole = {**place, **same, "organization": cast.acme}
    factory(**whole)
    error = broken(factory, **whole)
    assert uniques.is_broken(error)
    assert uniques.fields_of(error) == fields
    known = domain_error(error)
    assert isinstance(known, AlreadyExists)
    assert known.message == f"One with the same {fields} already exists."


def test_whoever_claims_a_name_says_what_it_was(cast):
    DeploymentFactory(model_version__registered_model__project=cast.fraud, name="live")
    with (
        pytest.raises(AlreadyExists) as refusal,
        uniques.claiming("deployment", name="live", environment="production"),
    ):
        DeploymentFactory(
            model_version__registered_model__project=cast.fraud, name="live"
        )
    assert refusal.value.message == (
        "Deployment with name 'live' and environment 'production' already exists;"
        " choose another."
    )


def test_another_broken_rule_is_not_taken_for_a_twin(cast):
    with (
        pytest.raises(IntegrityError) as caught,
        uniques.claiming("model", name="a/b"),
    ):
        RegisteredModelFactory(project=cast.fraud, name="a/b")
    known = domain_error(caught.value)
    assert isinstance(known, InvalidInput)
    assert "registered_models_name_shape" in known.message


def test_a_trigger_speaks_for_itself(cast):
    package = PackageFactory(project=cast.fraud)

    def rename():
        with connection.cursor() as cursor:
            cursor.execute("UPDATE packages SET name = 'x' WHERE id = %s", [package.pk])

    known = domain_error(broken(rename))
    assert isinstance(known, InvalidInput)
    assert known.message == "packages: a column that identifies the row never changes"


def test_a_missing_partition_is_our_fault(cast):
    def insert():
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO model_monitoring (id, organization_id, deployment_id,"
                " metric_name, segment, recorded_at, value, ingested_at) VALUES"
                " ('00000000-0000-7000-8000-000000000000', %s, %s, 'm', '', now(), 1,"
                " now())",
                [cast.acme.pk, cast.acme.pk],
            )

    error = broken(insert)
    assert "no partition" in str(error)
    assert domain_error(error) is None


# What never reached a view


@pytest.mark.parametrize(
    "handler,status",
    [("not_found", 404), ("bad_request", 400), ("server_error", 500)],
)
def test_rest_answers_json_where_django_has_a_page(handler, status):
    serve = getattr(exceptions, handler)
    extra = () if handler == "server_error" else (Exception("secret"),)
    ours = serve(RequestFactory().get("/api/v1/x"), *extra)
    assert (ours.status_code, ours["Content-Type"]) == (status, "application/json")
    page = serve(RequestFactory().get("/x"), *extra)
    assert page.status_code == status
    assert page["Content-Type"].startswith("text/html")
    assert b"secret" not in ours.content + page.content
