"""Every list costs the same number of statements, however many rows it shows."""

from __future__ import annotations

from typing import Any

import pytest

from monitoring.tests.factories import AlertFactory, DriftReportFactory
from registry import models as registry
from registry.tests.factories import (
    DeploymentFactory,
    EvaluationDatasetFactory,
    ExperimentFactory,
    LoggedModelFactory,
    ModelVersionFactory,
    ProtectionRuleFactory,
    RegisteredModelFactory,
    RetentionRuleFactory,
    RunFactory,
    candidate_package,
    model_package,
)
from tenants import models as tenants
from tenants.tests.factories import (
    InvitationFactory,
    MembershipFactory,
    ProjectFactory,
    ProjectMemberFactory,
    ServiceAccountFactory,
    SupportGrantFactory,
    make_api_token,
)
from tests.routes import Route, routes

# What a list may cost: savepoint, its release (the tests' own transaction makes these
# two of BEGIN and COMMIT), admission, rows, and one statement per kind of what hangs
# on them: packages, their files, params, latest metrics, tags.
CEILING = 10
PLACE = {"organization": "acme", "project": "fraud"}
EXPAND = "&expand=package,params,metrics,tags"  # of runs


def list_routes() -> list[Route]:
    return [route for route in routes() if route.actions.get("get") == "list"]


def grow(project: tenants.Project, times: int) -> None:
    """Add rows to every list, each with all that can hang on it."""
    for _ in range(times):
        run = add_run(project)
        version = add_version(project, run)
        add_logged_model(project, run)
        add_evaluation_dataset(run)
        deployment = DeploymentFactory(model_version=version)
        AlertFactory(rule__deployment=deployment)
        DriftReportFactory(deployment=deployment)
        RetentionRuleFactory(project=project)
        ProtectionRuleFactory(project=project)
        add_people(project)


def add_run(project: tenants.Project) -> registry.Run:
    experiment = ExperimentFactory(project=project)
    whole = {"organization": project.organization}
    registry.ExperimentTag(experiment=experiment, key="k", value="v", **whole).save()
    run = RunFactory(experiment=experiment)
    candidate_package(run, files=2)
    of_run = {"run": run, "experiment_id": experiment.pk}
    registry.Param(key="depth", value="3", **of_run, **whole).save()
    registry.RunTag(key="owner", value="alice", **of_run, **whole).save()
    registry.LatestMetric(
        id=run.pk,
        organization_id=project.organization_id,
        name="loss",
        value=0.5,
        timestamp_ms=1,
        **of_run,
    ).save()
    return run


def add_logged_model(project: tenants.Project, run: registry.Run) -> None:
    model = LoggedModelFactory(experiment=run.experiment, source_run=run)
    model_package(model, files=2)
    of_model = {"organization": project.organization, "logged_model": model}
    registry.LoggedModelParam(key="depth", value="3", **of_model).save()
    registry.LoggedModelTag(key="owner", value="alice", **of_model).save()


def add_evaluation_dataset(run: registry.Run) -> None:
    dataset = EvaluationDatasetFactory(project=run.project)
    of_dataset = {"organization": run.organization, "dataset": dataset}
    registry.EvaluationDatasetTag(key="k", value="v", **of_dataset).save()
    registry.EvaluationDatasetExperiment(experiment=run.experiment, **of_dataset).save()


def add_version(project: tenants.Project, run: registry.Run) -> registry.ModelVersion:
    whole = {"organization": project.organization}
    model = RegisteredModelFactory(project=project)
    version = ModelVersionFactory(registered_model=model, run=run)
    of_model = {"registered_model": model}
    registry.RegisteredModelTag(key="k", value="v", **of_model, **whole).save()
    registry.ModelVersionTag(key="k", value="v", model_version=version, **whole).save()
    registry.Alias(name="best", model_version=version, **of_model, **whole).save()
    return version


def add_people(project: tenants.Project) -> None:
    membership = MembershipFactory(organization=project.organization)
    ProjectMemberFactory(project=project, user=membership.user)
    account = ServiceAccountFactory(organization=project.organization)
    ProjectMemberFactory(project=project, user=None, service_account=account)
    make_api_token(account, project.organization, project)
    ProjectFactory(organization=project.organization)
    InvitationFactory(organization=project.organization)
    SupportGrantFactory(organization=project.organization)


def costs(client: Any, rows: int) -> dict[str, int]:
    """Return what each list costs, of which each shows at least so many rows."""
    return {
        address: cost(client, address, rows)
        for route in list_routes()
        for address in addresses_of(route)
    }


def addresses_of(route: Route) -> list[str]:
    if "organization" not in route.parameters:
        return []  # a token has one; the test of sessions is below
    plain = f"{route.address(PLACE)}?limit=200"
    expands = "expand" in route.view_set.parameters.get("list", ())
    return [plain, plain + EXPAND] if expands else [plain]


def cost(client: Any, address: str, rows: int) -> int:
    """Ask twice: one request in many leases what the next ones may spend."""
    return min(cost_once(client, address, rows) for _ in range(2))


def cost_once(client: Any, address: str, rows: int) -> int:
    response = client.get(address)
    assert response.status_code == 200, f"{address}: {response.content!r}"
    assert len(response.json()["results"]) >= rows, address
    return int(response["X-Query-Count"])


def test_every_list_is_flat_in_queries(alice, cast):
    by_size = {}
    for more, rows in [(1, 1), (19, 20), (180, 200)]:
        grow(cast.fraud, more)
        by_size[rows] = costs(alice, rows)
    assert by_size[1] == by_size[20] == by_size[200]
    assert max(by_size[200].values()) <= CEILING
    assert len(by_size[200]) >= 15


@pytest.mark.parametrize("rows", [1, 20, 200])
def test_the_organizations_of_a_session_are_flat_in_queries(stranger, cast, rows):
    MembershipFactory.create_batch(rows - 1, user=cast.mallory)
    stranger.force_login(cast.mallory)
    stranger.get("/api/v1/organizations/")  # notes, once a minute, that it was seen
    response = stranger.get("/api/v1/organizations/?limit=200")
    assert len(response.json()["results"]) == rows
    # Session; user; savepoint; memberships; release.
    assert response["X-Query-Count"] == "5"
