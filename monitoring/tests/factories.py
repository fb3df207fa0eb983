from __future__ import annotations

from datetime import UTC, datetime, timedelta

import factory

from monitoring import models
from registry.tests.factories import DeploymentFactory
from tenants.tests.factories import TenantFactory

START = datetime(2026, 1, 1, tzinfo=UTC)


class AlertRuleFactory(TenantFactory):
    class Meta:
        model = models.AlertRule

    deployment = factory.SubFactory(DeploymentFactory)
    project = factory.SelfAttribute("deployment.project")
    organization = factory.SelfAttribute("project.organization")
    name = factory.Sequence(lambda n: f"rule-{n}")
    metric_name = "latency_ms"
    threshold = 200.0


class AlertFactory(TenantFactory):
    class Meta:
        model = models.Alert

    rule = factory.SubFactory(AlertRuleFactory)
    project = factory.SelfAttribute("rule.project")
    organization = factory.SelfAttribute("project.organization")
    deployment = factory.SelfAttribute("rule.deployment")
    fingerprint = factory.Sequence(lambda n: f"{n:064x}")
    summary = "latency_ms is above 200"
    triggered_at = START


class DriftReportFactory(TenantFactory):
    class Meta:
        model = models.DriftReport

    deployment = factory.SubFactory(DeploymentFactory)
    project = factory.SelfAttribute("deployment.project")
    organization = factory.SelfAttribute("project.organization")
    period_start = factory.Sequence(lambda n: START + timedelta(hours=n))
    period_end = factory.LazyAttribute(lambda r: r.period_start + timedelta(hours=1))
    status = "done"
