"""Two organizations that look alike: on no route does one learn of the other.

All requests are made from the URL configuration, so a route that comes later is asked
as well: what belongs to others must answer in the bytes of what never existed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.db import connection, transaction

from audit.models import AuditLog
from conftest import WebClient
from monitoring import models as monitoring
from monitoring.tests.factories import (
    AlertFactory,
    AlertRuleFactory,
    DriftReportFactory,
)
from registry import models as registry
from registry.tests.factories import (
    DeploymentFactory,
    ExperimentFactory,
    ModelVersionFactory,
    PackageFileFactory,
    RegisteredModelFactory,
    RunFactory,
    candidate_package,
)
from tenants import models as tenants
from tenants.tests.factories import (
    ProjectFactory,
    ProjectMemberFactory,
    ServiceAccountFactory,
    make_api_token,
)
from tests.routes import Route, routes

UNKNOWN_SLUG = "never-existed"
# Only umbrella has a project of this name.
MOONBASE = "moonbase"
ADDRESSES = {"organization", "project"}
# Answers without a body cannot be compared by their bytes.
METHODS_WITH_BODY = ("GET", "POST", "PUT", "PATCH", "DELETE")
# What a public route answers, whatever the address says.
OPEN = {200, 404, 405}


def populate(project: tenants.Project, user: tenants.User) -> dict[type, Any]:
    """Store one of everything that has a page, under the same names everywhere."""
    experiment = ExperimentFactory(project=project, iid=7, name="trees")
    run = RunFactory(experiment=experiment, iid=7, name="night")
    package = candidate_package(run, files=2)
    model = RegisteredModelFactory(project=project, name="scorer")
    version = ModelVersionFactory(registered_model=model, version=1, run=run)
    registry.Alias(
        organization=project.organization,
        registered_model=model,
        name="champion",
        model_version=version,
    ).save()
    deployment = DeploymentFactory(model_version=version, name="live")
    rule = AlertRuleFactory(deployment=deployment, name="slow")
    account = ServiceAccountFactory(organization=project.organization, name="robot")
    ProjectMemberFactory(project=project, user=None, service_account=account)
    make_api_token(account, project.organization, project)
    stored = (
        *(experiment, run, package, model, version, deployment, rule, account),
        PackageFileFactory(package=package),
        AlertFactory(rule=rule),
        DriftReportFactory(deployment=deployment),
        project,
        first(tenants.ProjectMember, project),
        first(tenants.Membership, project),
        first(tenants.ApiToken, project),
        first(AuditLog, project),
    )
    return {type(row): row for row in stored}


def first(model: Any, project: tenants.Project) -> Any:
    rows = model._base_manager.filter(organization_id=project.organization_id)
    return rows.order_by("-pk").first()


@dataclass
class Foreign:
    """What belongs to umbrella, and what nobody has."""

    rows: dict[type, Any]

    def key(self, route: Route) -> Any:
        view_set = route.view_set
        model = view_set.queryset.model
        assert model in self.rows, f"populate() stores no {model.__name__} for {route}"
        return getattr(self.rows[model], field_of(view_set))

    def unknown_key(self, route: Route) -> Any:
        return UNKNOWN_SLUG if field_of(route.view_set) == "slug" else uuid4()

    @property
    def secrets(self) -> set[str]:
        """Texts that only umbrella's rows hold."""
        ids = {row.pk for row in self.rows.values()}
        return {MOONBASE, *map(str, ids), *(key.hex for key in ids)}


def field_of(view_set: Any) -> str:
    return "pk" if view_set.lookup_field == "pk" else view_set.lookup_field


@pytest.fixture
def foreign(cast) -> Foreign:
    """Umbrella's moonbase, with the same names in acme's fraud."""
    populate(cast.fraud, cast.alice)
    moonbase = ProjectFactory(organization=cast.umbrella, slug=MOONBASE)
    return Foreign(populate(moonbase, cast.mallory))


def view_set_routes() -> list[Route]:
    return [r for r in routes() if hasattr(r.view_set, "queryset")]


def detail_routes() -> list[Route]:
    return [route for route in view_set_routes() if set(route.parameters) - ADDRESSES]


def list_routes() -> list[Route]:
    return [route for route in view_set_routes() if route.actions.get("get") == "list"]


def placed_routes() -> list[Route]:
    return [route for route in routes() if ADDRESSES & set(route.parameters)]


def ask(client: WebClient, method: str, address: str) -> tuple[int, bytes]:
    body = b"" if method == "GET" else b"{}"
    response = client.generic(method, address, body, "application/json")
    # What the caller said itself may be repeated, as part of the address.
    return response.status_code, response.getvalue().replace(address.encode(), b"*")


def methods_of(route: Route) -> list[str]:
    known = [method.upper() for method in route.actions if method != "head"]
    return known or list(METHODS_WITH_BODY)


def test_detail_routes_are_found():
    models = {route.view_set.queryset.model for route in detail_routes()}
    assert {registry.Run, monitoring.Alert, tenants.ApiToken, AuditLog} <= models


def test_a_foreign_row_answers_like_one_that_never_existed(alice, foreign):
    for route in detail_routes():
        place = {"organization": "acme", "project": "fraud"}
        (name,) = set(route.parameters) - ADDRESSES
        theirs = route.address({**place, name: foreign.key(route)})
        nobodys = route.address({**place, name: foreign.unknown_key(route)})
        for method in methods_of(route):
            answer = ask(alice, method, theirs)
            assert answer == ask(alice, method, nobodys), f"{method} {route}"
            assert answer[0] == 404, f"{method} {route}: {answer}"


def test_a_foreign_organization_answers_like_one_that_never_existed(alice, foreign):
    for route in placed_routes():
        for place in [{"project": "fraud"}, {"project": MOONBASE}, {}]:
            theirs = route.address({**place, "organization": "umbrella"})
            nobodys = route.address({**place, "organization": UNKNOWN_SLUG})
            for method in methods_of(route):
                answer = ask(alice, method, theirs)
                assert answer == ask(alice, method, nobodys), f"{method} {route}"
                expected = OPEN if route.is_public else {404, 405}
                assert answer[0] in expected, f"{method} {route}: {answer}"


def test_a_foreign_project_answers_like_one_that_never_existed(alice, foreign):
    for route in placed_routes():
        if "project" not in route.parameters:
            continue
        theirs = route.address({"organization": "acme", "project": MOONBASE})
        nobodys = route.address({"organization": "acme", "project": UNKNOWN_SLUG})
        for method in methods_of(route):
            answer = ask(alice, method, theirs)
            assert answer == ask(alice, method, nobodys), f"{method} {route}"
            expected = OPEN if route.is_public else {404, 405}
            assert answer[0] in expected, f"{method} {route}: {answer}"


def test_no_list_shows_what_is_foreign(alice, foreign):
    for route in list_routes():
        address = route.address({"organization": "acme", "project": "fraud"})
        status, body = ask(alice, "GET", address)
        assert status == 200, f"{route}: {body!r}"
        assert b'"results":[]' not in body, f"{route} is empty, so it proves nothing"
        for secret in foreign.secrets:
            assert secret.encode() not in body, f"{route} shows {secret}"


# Functions that take ids in the query, the body or the rest of the address

ONLY_THEIRS, NOBODYS = 424_242, 434_343
GENERATED = re.compile(rb"[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]{10,}")


def named(run: str, experiment: int, name: str) -> dict[str, Any]:
    """Name the same things in all the ways that any function reads."""
    return {
        "run_id": run,
        "run_uuid": run,
        "run_ids": [run],
        "experiment_id": str(experiment),
        "experiment_ids": [str(experiment)],
        "experiment_name": name,
        "name": name,
        "version": "1",
        "alias": "champion",
        "model_id": f"m-{run}",
        "source_run_id": run,
        "source": f"runs:/{run}/model",
        "path": "folder/file-0.txt",
        "artifact_path": "folder",
        "key": "loss",
        "metric_key": "loss",
        "value": "1",
        "timestamp": 1,
        "step": 0,
        "stage": "Archived",
        "new_name": "renamed",
    }


def functions() -> list[Route]:
    return [
        route
        for route in routes()
        if not (route.is_public or route.is_admin or route.view_set)
    ]


def call(
    client: WebClient, method: str, route: Route, given: dict[str, Any], *, keep: bool
) -> tuple[int, bytes]:
    tail = f"{given['experiment_id']}/{given['run_id']}/artifacts/folder/file-0.txt"
    place = {"organization": "acme", "project": "fraud"}
    rest = dict.fromkeys(set(route.parameters) - ADDRESSES, tail)
    query = urlencode(given, doseq=True)
    address = f"{route.address({**place, **rest})}?{query}"
    body = b"" if method in {"GET", "HEAD"} else json.dumps(given).encode()
    with transaction.atomic():
        response = client.generic(method, address, body, "application/json")
        text = response.getvalue()
        transaction.set_rollback(not keep)
    for own in (tail, given["run_id"], given["experiment_id"], given["name"]):
        text = text.replace(own.encode(), b"*")
    return response.status_code, GENERATED.sub(b"#", text)


def test_a_function_answers_for_foreign_ids_as_for_those_that_never_existed(
    alice_in_fraud, foreign
):
    run = foreign.rows[registry.Run]
    experiment = foreign.rows[registry.Experiment]
    type(experiment)._base_manager.filter(pk=experiment.pk).update(iid=ONLY_THEIRS)
    model = foreign.rows[registry.RegisteredModel]
    type(model)._base_manager.filter(pk=model.pk).update(name="umbrella-only")
    theirs = named(run.pk.hex, ONLY_THEIRS, "umbrella-only")
    nobodys = named(uuid4().hex, NOBODYS, "nobody-at-all")
    for route in functions():
        for method in METHODS_WITH_BODY:
            if route.has(method):
                answers = [
                    # Undone, so that the second finds what the first one found.
                    call(alice_in_fraud, method, route, given, keep=False)
                    for given in (theirs, nobodys)
                ]
                assert answers[0] == answers[1], f"{method} {route}"
                assert answers[0][0] < 500, f"{method} {route}: {answers[0]}"


def test_nothing_foreign_changes_whatever_is_asked(alice, foreign, cast):
    before = snapshot(cast.umbrella)
    for route in detail_routes():
        (name,) = set(route.parameters) - ADDRESSES
        place = {"organization": "acme", "project": "fraud", name: foreign.key(route)}
        for method in METHODS_WITH_BODY:
            ask(alice, method, route.address(place))
    given = named(foreign.rows[registry.Run].pk.hex, ONLY_THEIRS, "scorer")
    for route in functions():
        for method in METHODS_WITH_BODY:
            call(alice, method, route, given, keep=True)
    assert snapshot(cast.umbrella) == before


def snapshot(organization: tenants.Organization) -> dict[str, Any]:
    """Digest every table that holds rows of the organization."""
    return {table: digest(table, organization) for table in tenant_tables()}


def tenant_tables() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.table_name FROM information_schema.columns c"
            " JOIN information_schema.tables t USING (table_schema, table_name)"
            " WHERE c.column_name = 'organization_id' AND table_schema = 'public'"
            " AND t.table_type = 'BASE TABLE' ORDER BY 1"
        )
        return [table for (table,) in cursor.fetchall()]


def digest(table: str, organization: tenants.Organization) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT md5(coalesce(string_agg(r::text, '|' ORDER BY r::text), ''))"
            f" FROM {table} r WHERE organization_id = %s",
            [organization.pk],
        )
        return cursor.fetchone()[0]
