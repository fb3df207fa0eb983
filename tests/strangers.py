"""Organizations that look alike: one row of everything, under the same names in each.

That no route tells one organization of another is the matrix's to show (tests/access).
"""

from __future__ import annotations

from typing import Any

from audit.models import AuditLog
from audit.tests.factories import make_seal
from monitoring.tests.factories import (
    AlertFactory,
    AlertRuleFactory,
    DriftReportFactory,
)
from registry import models as registry
from registry.tests.factories import (
    DeploymentFactory,
    EvaluationDatasetFactory,
    ExperimentFactory,
    LoggedModelFactory,
    ModelVersionFactory,
    PackageFileFactory,
    ProtectionRuleFactory,
    RegisteredModelFactory,
    RetentionRuleFactory,
    RunFactory,
    UploadFactory,
    candidate_package,
)
from tenants import models as tenants
from tenants.tests.factories import (
    InvitationFactory,
    ProjectMemberFactory,
    ServiceAccountFactory,
    SingleSignOnFactory,
    SupportGrantFactory,
    make_api_token,
)
from tests.access.watch import digest, tenant_tables
from tests.routes import Route, routes

__all__ = ["tenant_tables"]
ADDRESSES = {"organization", "project"}


def populate(project: tenants.Project, user: tenants.User) -> dict[type, Any]:
    """Store one of everything that has a page, under the same names everywhere."""
    experiment = ExperimentFactory(project=project, iid=7, name="trees")
    run = RunFactory(experiment=experiment, iid=7, name="night")
    package = candidate_package(run, files=2)
    logged = LoggedModelFactory(experiment=experiment, name="forest", source_run=run)
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
    invitation = InvitationFactory(organization=project.organization)
    SingleSignOnFactory(organization=project.organization, domains=[f"{project}.io"])
    stored = (
        *(experiment, run, package, model, version, deployment, rule, account),
        logged,
        EvaluationDatasetFactory(project=project, name="questions"),
        invitation,
        SupportGrantFactory(organization=project.organization),
        PackageFileFactory(package=package),
        UploadFactory(project=project),
        RetentionRuleFactory(project=project, name="month"),
        ProtectionRuleFactory(project=project, name_pattern="release-*"),
        AlertFactory(rule=rule),
        DriftReportFactory(deployment=deployment),
        project,
        first(tenants.ProjectMember, project),
        first(tenants.Membership, project),
        first(tenants.ApiToken, project),
        first(AuditLog, project),
        make_seal(project.organization_id),
    )
    return {type(row): row for row in stored}


def first(model: Any, project: tenants.Project) -> Any:
    rows = model._base_manager.filter(organization_id=project.organization_id)
    return rows.order_by("-pk").first()


def field_of(view_set: Any) -> str:
    return "pk" if view_set.lookup_field == "pk" else view_set.lookup_field


def view_set_routes() -> list[Route]:
    return [r for r in routes() if hasattr(r.view_set, "queryset")]


def list_routes() -> list[Route]:
    return [route for route in view_set_routes() if route.actions.get("get") == "list"]


def snapshot(organization: tenants.Organization) -> dict[str, Any]:
    """Digest every table that holds rows of the organization."""
    return digest(organization.pk)
