"""One row of everything that has a page, all of whose texts bear one mark.

A new model with an organization gets a line in `populate`.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import models as django_models
from django.utils import timezone

from audit.models import AuditLog, Seal
from audit.tests.factories import make_seal
from mlops.db.uuid7 import fact_id, uuid7
from mlops.streams import Upload
from monitoring import models as monitoring
from monitoring.tests.factories import (
    AlertFactory,
    AlertRuleFactory,
    DriftReportFactory,
)
from registry import models as registry
from registry.storage import put_blob
from registry.storage.parts import put_part
from registry.tests.factories import (
    BlobFactory,
    DeploymentFactory,
    EvaluationDatasetFactory,
    EvaluationRecordFactory,
    ExperimentFactory,
    LoggedModelFactory,
    ModelVersionFactory,
    PackageFactory,
    PackageFileFactory,
    ProtectionRuleFactory,
    RegisteredModelFactory,
    RetentionRuleFactory,
    RunFactory,
    UploadFactory,
    UploadPartFactory,
    model_package,
)
from tenants import models as tenants
from tenants.tests.factories import (
    InvitationFactory,
    MembershipFactory,
    ProjectMemberFactory,
    ServiceAccountFactory,
    SingleSignOnFactory,
    UserFactory,
    make_api_token,
)

Rows = dict[type, Any]


@dataclass(frozen=True)
class Place:
    """Where rows are stored, how their texts begin, and the numbers that they bear."""

    project: tenants.Project
    mark: str
    number: int

    @property
    def organization(self) -> tenants.Organization:
        return self.project.organization

    @property
    def common(self) -> dict[str, Any]:
        return {"organization": self.organization}

    def text(self, noun: str) -> str:
        return f"{self.mark}-{noun}"

    def person(self, noun: str) -> str:
        """People are the organization's: who does not see the project sees them."""
        return f"{crowd_of(self.mark)}-{noun}"


def crowd_of(mark: str) -> str:
    return mark.replace("qz", "pp")


def populate(project: tenants.Project, mark: str, number: int) -> Rows:
    """Store one row of every model that a request can reach, by its model."""
    place = Place(project, mark, number)
    stored = [project, *people(place), *tracked(place)]
    rows = {type(row): row for row in stored}
    rows.update({type(row): row for row in registered(place, rows)})
    rows.update({type(row): row for row in monitored(place, rows)})
    rows.update({type(row): row for row in uploading(place, rows)})
    rows[AuditLog] = newest(AuditLog, project)
    rows[Seal] = make_seal(project.organization_id, key_id=place.person("key")[:16])
    return rows


def people(place: Place) -> list[Any]:
    """A person with a role in the project and no other, and a robot with a token."""
    user = UserFactory(
        username=place.person("user"),
        first_name=place.person("first"),
        last_name=place.person("last"),
        email=f"{crowd_of(place.mark)}@example.org",
    )
    robot = ServiceAccountFactory(
        **place.common, name=place.person("robot"), description=place.person("about")
    )
    spare = UserFactory(username=place.person("spare"))
    MembershipFactory(**place.common, user=spare)
    roles = {"project": place.project, "role": "viewer"}
    ProjectMemberFactory(**roles, user=None, service_account=robot)
    token = make_api_token(
        robot, place.organization, place.project, name=place.person("token")
    )
    helper = UserFactory(username=place.person("helper"), is_staff=True)
    grant = tenants.SupportGrant(
        **place.common, staff=helper, reason=place.person("reason")
    )
    grant.save(force_insert=True)
    key = tenants.IdempotencyKey(
        **place.common,
        caller_id=robot.pk,
        key=place.person("key"),
        fingerprint=place.text("fingerprint"),
        answer=place.text("answer"),
    )
    key.save(force_insert=True)
    return [
        user,
        robot,
        grant,
        key,
        InvitationFactory(
            **place.common,
            email=f"{place.person('new')}@example.org",
            # Long enough ago to be sent again.
            sent_at=timezone.now() - timedelta(hours=1),
        ),
        single_sign_on(place),
        MembershipFactory(**place.common, user=user),
        ProjectMemberFactory(**roles, user=user),
        tenants.ApiToken._base_manager.get(public_id=token.public_id),
    ]


def single_sign_on(place: Place) -> tenants.SingleSignOn:
    """An organization has one; the first place of it says what stands there."""
    rows = tenants.SingleSignOn._base_manager.filter(**place.common)
    return rows.first() or SingleSignOnFactory(
        **place.common,
        domains=[f"{place.person('domain')}.example.org"],
        group_roles={place.person("group"): "member"},
    )


def tracked(place: Place) -> list[Any]:
    experiment = ExperimentFactory(
        project=place.project,
        iid=place.number,
        name=place.text("trees"),
        artifact_location=f"mlflow-artifacts:/{place.number}",
    )
    run = RunFactory(
        experiment=experiment,
        iid=place.number,
        name=place.text("night"),
        user_name=place.text("login"),
        metadata={"note": place.text("note")},
    )
    tag = registry.ExperimentTag(
        **place.common,
        experiment=experiment,
        key=place.text("key"),
        value=place.text("value"),
    )
    tag.save()
    rule = RetentionRuleFactory(
        project=place.project, name=place.text("rule"), tag_key=place.text("key")
    )
    models, stored = logged_models(place, experiment, run), files(place)
    file = stored[-1]
    PackageFileFactory(package=model_package(models[0]), path=file.path, blob=file.blob)
    rows = [*logged(place, experiment, run), *models, *stored]
    rows += evaluation(place, experiment)
    protection = ProtectionRuleFactory(
        project=place.project, name_pattern=place.text("protected")
    )
    return [experiment, run, tag, rule, protection, *rows]


def logged(place: Place, experiment: Any, run: Any) -> list[Any]:
    """What a run holds: a param, a tag, a metric and the dataset that it used."""
    of_run = {**place.common, "experiment_id": experiment.pk, "run": run}
    point = {
        "organization_id": place.organization.pk,
        "run": run,
        "name": place.text("loss"),
        "value": 1.5,
        "timestamp_ms": 1_710_000_000_000,
    }
    dataset = registry.Dataset(
        **place.common,
        experiment=experiment,
        name=place.text("data"),
        digest=place.text("digest"),
        source_type="local",
        source=place.text("source"),
    )
    rows = [
        registry.Param(
            **of_run, id=uuid7(), key=place.text("depth"), value=place.text("param")
        ),
        registry.RunTag(
            **of_run, id=uuid7(), key=place.text("key"), value=place.text("value")
        ),
        registry.Metric(id=uuid7(), **point),
        registry.LatestMetric(id=uuid7(), experiment_id=experiment.pk, **point),
        dataset,
        registry.RunInput(
            **place.common,
            run=run,
            dataset=dataset,
            tags=[{"key": place.text("key"), "value": place.text("value")}],
        ),
    ]
    for row in rows:
        row.save(force_insert=True)
    return rows


def logged_models(place: Place, experiment: Any, run: Any) -> list[Any]:
    """A model that the run brought forth, with a param, a tag and a metric of it."""
    model = LoggedModelFactory(
        experiment=experiment,
        name=place.text("forest"),
        model_type=place.text("kind"),
        source_run=run,
    )
    of_model = {**place.common, "logged_model": model}
    rows = [
        registry.LoggedModelParam(
            **of_model, key=place.text("depth"), value=place.text("param")
        ),
        registry.LoggedModelTag(
            **of_model, key=place.text("key"), value=place.text("value")
        ),
        registry.LoggedModelMetric(
            id=uuid7(),
            organization_id=place.organization.pk,
            logged_model=model,
            run=run,
            name=place.text("loss"),
            value=1.5,
            timestamp_ms=1_710_000_000_000,
            dataset_name=place.text("data"),
        ),
        registry.RunModel(**of_model, run=run, role="output"),
    ]
    for row in rows:
        row.save(force_insert=True)
    return [model, *rows]


def evaluation(place: Place, experiment: Any) -> list[Any]:
    """A dataset for the experiment, with a tag and a record."""
    dataset = EvaluationDatasetFactory(
        project=place.project,
        name=place.text("questions"),
        schema=json.dumps({"inputs": {place.text("question"): "string"}}),
        record_count=1,
        creator_name=place.text("login"),
        updater_name=place.text("login"),
    )
    of_dataset = {**place.common, "dataset": dataset}
    rows = [
        registry.EvaluationDatasetTag(
            **of_dataset, key=place.text("key"), value=place.text("value")
        ),
        registry.EvaluationDatasetExperiment(**of_dataset, experiment=experiment),
    ]
    for row in rows:
        row.save(force_insert=True)
    record = EvaluationRecordFactory(
        dataset=dataset,
        inputs=json.dumps({place.text("question"): place.text("input")}),
        outputs=json.dumps(place.text("output")),
        expectations=json.dumps({place.text("answer"): place.text("expected")}),
        tags=json.dumps({place.text("key"): place.text("value")}),
        creator_name=place.text("login"),
    )
    return [dataset, *rows, record]


def files(place: Place) -> list[Any]:
    """The candidate's package with one file, whose bytes are in the store."""
    stored = put_blob(
        place.organization.pk,
        io.BytesIO(f"{place.mark}-bytes".encode()),
        max_bytes=1000,
    )
    blob = BlobFactory(
        **place.common, sha256=stored.sha256, size_bytes=stored.size_bytes
    )
    package = PackageFactory(
        project=place.project,
        name=f"ml_candidate_{place.number}",
        version="-",
        metadata={"note": place.text("note")},
    )
    path = f"{place.text('folder')}/{place.text('file')}.txt"
    return [blob, package, PackageFileFactory(package=package, path=path, blob=blob)]


def uploading(place: Place, rows: Rows) -> list[Any]:
    """A file of the run that is sent in one part, which has arrived."""
    root = f"{place.number}/{rows[registry.Run].pk.hex}/artifacts"
    upload = UploadFactory(
        project=place.project,
        location=f"{root}/{place.text('folder')}/{place.text('sent')}.bin",
        part_count=1,
    )
    body = Upload(io.BytesIO(f"{place.mark}-part".encode()))
    part = put_part(upload.pk, 1, body, max_bytes=1000)
    row = UploadPartFactory(
        upload=upload, size_bytes=part.size_bytes, sha256=part.sha256
    )
    return [upload, row]


def registered(place: Place, rows: Rows) -> list[Any]:
    model = RegisteredModelFactory(
        project=place.project,
        name=place.text("scorer"),
        description=place.text("about"),
        last_version=1,
    )
    version = ModelVersionFactory(
        registered_model=model,
        version=1,
        run=rows[registry.Run],
        package=rows[registry.Package],
        description=place.text("about"),
        source=f"runs:/{rows[registry.Run].pk.hex}/{place.text('folder')}",
        metadata={"note": place.text("note")},
    )
    label = {"key": place.text("key"), "value": place.text("value")}
    more = [
        registry.RegisteredModelTag(**place.common, registered_model=model, **label),
        registry.ModelVersionTag(**place.common, model_version=version, **label),
        registry.Alias(
            **place.common,
            registered_model=model,
            name=place.text("alias"),
            model_version=version,
        ),
    ]
    for row in more:
        row.save(force_insert=True)
    deployment = DeploymentFactory(
        model_version=version,
        name=place.text("live"),
        endpoint_url=f"https://{place.mark}.example.org/",
        metadata={"note": place.text("note")},
    )
    return [model, version, deployment, *more]


def monitored(place: Place, rows: Rows) -> list[Any]:
    deployment = rows[registry.Deployment]
    rule = AlertRuleFactory(
        deployment=deployment,
        name=place.text("slow"),
        metric_name=place.text("latency"),
        labels={"note": place.text("note")},
    )
    moment = timezone.now().replace(microsecond=0)
    return [
        rule,
        AlertFactory(rule=rule, summary=place.text("summary")),
        DriftReportFactory(
            deployment=deployment,
            segment=place.text("segment"),
            error=place.text("error"),
            result={"note": place.text("note")},
        ),
        point_of(place, deployment, moment),
    ]


def point_of(place: Place, deployment: Any, moment: datetime) -> Any:
    moment_ms = int(moment.timestamp() * 1000)
    point = monitoring.MonitoringPoint(
        id=fact_id(moment_ms, place.mark),
        organization_id=place.organization.pk,
        deployment=deployment,
        metric_name=place.text("latency"),
        segment=place.text("segment"),
        recorded_at=moment,
        value=1.0,
    )
    point.save(force_insert=True)
    return point


def newest(model: type[django_models.Model], project: tenants.Project) -> Any:
    rows = model._base_manager.filter(organization_id=project.organization_id)
    return rows.order_by("-pk").first()


def delete_softly(rows: Rows) -> None:
    """Mark what can be marked as deleted, and revoke what can be revoked."""
    mark = {"deleted_at": timezone.now() - timedelta(days=1), "delete_batch": uuid7()}
    for model, row in rows.items():
        if hasattr(model, "revoked_at"):
            changes: dict[str, Any] = {"revoked_at": timezone.now()}
        elif issubclass(model, tenants.SoftDeleted) and model is not tenants.Project:
            changes = mark
        else:
            continue
        type(row)._base_manager.filter(pk=row.pk).update(**changes)
