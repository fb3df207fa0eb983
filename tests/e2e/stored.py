"""Rows for every page of the admin, stored by services, as an operator's command.

Run as a program in a platform's environment.
"""

from __future__ import annotations

from datetime import timedelta

import django

from tests.e2e.people import store_people

SLUG = "browsed"


def store(slug: str = SLUG) -> None:
    from django.utils import timezone

    from mlops.db.uuid7 import fact_id, uuid7
    from monitoring.models import Alert, DriftReport, MonitoringPoint
    from monitoring.services.rules import create_rule
    from registry import models
    from registry.services import deployments, experiments, runs, versions
    from registry.services import models as registered
    from tenants.context import Actor
    from tenants.services.organizations import create_organization
    from tenants.services.projects import create_project
    from tenants.unscoped import every_organization

    with every_organization(Actor(kind="command", label="e2e"), reason="e2e"):
        now = timezone.now()
        organization = create_organization(slug=slug, name=slug.title())
        project = create_project(organization, slug="fraud", name="Fraud")
        owned = {"organization": organization, "project": project}
        experiment = experiments.create_experiment(project, name="trees")
        run = runs.create_run(
            experiment, name="brisk-otter", start_time_ms=int(now.timestamp() * 1000)
        )
        below = {"organization": organization, "run": run}
        models.Param(
            **below, experiment_id=experiment.pk, key="max_depth", value="7"
        ).save()
        curve = [
            models.Metric(
                id=fact_id(step, run.pk, step),
                organization_id=organization.pk,
                run=run,
                name="val_auc",
                value=step / 100,
                timestamp_ms=step,
                step=step,
            )
            for step in range(90)
        ]
        models.Metric.objects.bulk_create(curve)
        models.LatestMetric(
            id=uuid7(),
            organization_id=organization.pk,
            experiment_id=experiment.pk,
            run=run,
            name="val_auc",
            value=0.89,
            timestamp_ms=89,
            step=89,
        ).save()
        package = models.Package(
            **owned, name=f"ml_candidate_{run.iid}", version="-", type="candidate"
        )
        package.save()
        blob = models.Blob(organization=organization, sha256="a" * 64, size_bytes=2048)
        blob.save()
        models.PackageFile(
            organization=organization,
            package=package,
            path="model/MLmodel",
            size_bytes=2048,
            sha256=blob.sha256,
            blob=blob,
        ).save()
        model = registered.create_model(project, name="detector")
        version = versions.create_version(model, run=run)
        registered.set_alias(model, name="champion", version=version)
        deployment = deployments.create_deployment(
            project,
            name="detector",
            model_version=version,
            status=models.DeploymentStatus.ACTIVE,
        )
        rule = create_rule(
            project,
            name="slow",
            deployment=deployment,
            metric_name="latency_ms",
            threshold=250,
        )
        Alert(
            **owned,
            rule=rule,
            deployment=deployment,
            fingerprint="f" * 64,
            severity="critical",
            summary="latency_ms is 400, above 250",
            value=400,
            triggered_at=now,
        ).save()
        DriftReport(
            **owned,
            deployment=deployment,
            period_start=now - timedelta(hours=1),
            period_end=now,
            status="done",
            drifted=True,
            result={"features": [{"feature": "amount", "p_value": 0.001}]},
        ).save()
        MonitoringPoint(
            id=fact_id(int(now.timestamp() * 1000), deployment.pk),
            organization_id=organization.pk,
            deployment=deployment,
            metric_name="latency_ms",
            recorded_at=now,
            value=400.0,
        ).save(force_insert=True)


if __name__ == "__main__":
    django.setup()
    store()
    store_people()
