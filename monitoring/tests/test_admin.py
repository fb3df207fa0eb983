from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.models import AuditLog
from mlops.db.uuid7 import fact_id
from monitoring import models
from monitoring.admin.overview import SHOWN_OPEN, alerts_panel, alerts_tile
from monitoring.admin.reports import features_panel
from monitoring.tests.factories import (
    AlertFactory,
    AlertRuleFactory,
    DriftReportFactory,
)
from registry.tests.factories import DeploymentFactory
from tenants.tests.superuser import (
    AdminClient,
    messages_of,
    page_of,
    rows_of,
    shown,
    superuser,
)


@pytest.fixture
def root(db) -> AdminClient:
    return superuser()


def points(number, *, at: datetime | None = None, metric: str = "latency_ms"):
    deployment: Any = DeploymentFactory()
    moment = at or timezone.now() - timedelta(minutes=5)
    milliseconds = int(moment.timestamp() * 1000)
    rows = [
        models.MonitoringPoint(
            id=fact_id(milliseconds + n, deployment.pk, metric, n),
            organization_id=deployment.organization_id,
            deployment=deployment,
            metric_name=metric,
            recorded_at=moment + timedelta(milliseconds=n),
            value=n / 7,
        )
        for n in range(number)
    ]
    models.MonitoringPoint._base_manager.bulk_create(rows)
    return rows


LISTS = {
    "monitoring_alert": AlertFactory.create_batch,
    "monitoring_alertrule": lambda n: [
        AlertFactory(rule=rule) for rule in AlertRuleFactory.create_batch(n)
    ],
    "monitoring_driftreport": DriftReportFactory.create_batch,
    "monitoring_monitoringpoint": points,
}


@pytest.mark.parametrize("model", LISTS)
def test_a_list_costs_the_same_for_any_number_of_rows(root, model):
    LISTS[model](1)
    counts = [root.statements(model)]
    for more in (19, 40):
        LISTS[model](more)
        counts.append(root.statements(model))
    assert len(set(counts)) == 1, counts
    assert counts[0] <= 11  # with SET ROLE, savepoints, session, user and the trail


# Alerts


def test_alerts_show_how_bad_they_are(root):
    AlertFactory(severity="critical", summary="no predictions for 12 min")
    page = shown(root.listed("monitoring_alert"))
    assert "no predictions for 12 min" in page
    assert "bg-red-100" in page


@pytest.mark.parametrize(
    "chosen,expected",
    [
        ({"severity__exact": "critical"}, ["critical"]),
        ({"status__exact": "resolved"}, []),
        ({"q": "lat"}, ["info"]),
    ],
)
def test_alerts_can_be_narrowed(root, chosen, expected):
    AlertFactory(severity="critical", summary="drift")
    AlertFactory(severity="info", summary="latency")
    found = rows_of(root.listed("monitoring_alert", **chosen))
    assert [alert.severity for alert in found] == expected


def test_an_alert_is_acknowledged_by_whoever_asks(root):
    alert = AlertFactory()
    done = root.act("acknowledge", alert, confirmed="1")
    assert messages_of(done) == ["1 alert acknowledged."]
    alert = models.Alert._base_manager.get(pk=alert.pk)
    assert alert.status == "acknowledged"
    assert alert.acknowledged_by == root.user.pk
    assert "Acknowledged" in shown(root.opened(alert))


def test_an_alert_is_resolved_with_the_reason_that_was_typed(root):
    alerts = AlertFactory.create_batch(2)
    root.act("resolve", *alerts, confirmed="1", reason="rolled back")
    kept = models.Alert._base_manager.values_list("status", "resolution")
    assert set(kept) == {("resolved", "rolled back")}
    reasons = AuditLog._base_manager.filter(action="monitoring.alert.updated")
    assert set(reasons.values_list("reason", flat=True)) == {"rolled back"}


def test_a_resolved_alert_is_not_acknowledged_any_more(root):
    alert = AlertFactory(status="resolved", resolved_at=timezone.now())
    done = root.act("acknowledge", alert, confirmed="1")
    assert messages_of(done) == ["The alert is resolved already."]


# Rules


def rule_form(deployment, **changes):
    typed = {
        "project": str(deployment.project_id),
        "deployment": str(deployment.pk),
        "name": "slow",
        "kind": "metric",
        "metric_name": "latency_ms",
        "operator": ">",
        "threshold": "250",
        "for_seconds": "300",
        "severity": "warning",
        "is_enabled": "on",
    }
    return {**typed, **changes}


def test_a_rule_is_added_through_its_service(root):
    deployment = DeploymentFactory()
    address = reverse("admin:monitoring_alertrule_add")
    root.post(address, rule_form(deployment))
    rule = models.AlertRule._base_manager.get()
    assert (rule.name, rule.threshold) == ("slow", 250)
    assert rule.organization_id == deployment.organization_id
    assert "latency_ms &gt; 250" in shown(root.listed("monitoring_alertrule"))


def test_a_rule_that_could_never_fire_is_refused_on_its_form(root):
    address = reverse("admin:monitoring_alertrule_add")
    response = root.post(address, rule_form(DeploymentFactory(), threshold=""))
    assert "needs a number" in shown(response)
    assert not models.AlertRule._base_manager.exists()


def test_deleting_a_rule_resolves_what_it_has_open(root):
    alert = AlertFactory()
    root.act("delete_rows", alert.rule, confirmed="1")
    assert models.Alert._base_manager.get(pk=alert.pk).status == "resolved"


# Drift reports


def test_a_report_shows_its_verdict_feature_by_feature(root):
    result = {
        "features": [
            {"feature": "amount", "p_value": 0.00012, "drifted": True, "bins": [1, 2]},
            {"feature": "<i>hour</i>", "p_value": 0.5, "drifted": False},
        ]
    }
    start = datetime(2026, 1, 1, 9, tzinfo=UTC)
    report = DriftReportFactory(
        drifted=True, result=result, label_coverage=0.25, period_start=start
    )
    page = shown(root.opened(report))
    for piece in (
        "2026-01-01 09:00:00 UTC",
        "amount",
        "0.00012",
        "25%",
        "&lt;i&gt;hour&lt;/i&gt;",
    ):
        assert piece in page
    assert "<i>hour" not in page


@pytest.mark.parametrize("drifted,word", [(True, "drift"), (None, "undecided")])
def test_a_verdict_is_in_the_list(root, drifted, word):
    DriftReportFactory(drifted=drifted)
    assert word in shown(root.listed("monitoring_driftreport"))


def test_features_may_stand_by_name():
    panel = features_panel({"amount": {"psi": 0.25}, "hour": {"psi": None}})
    assert panel.columns == ["Feature", "Psi"]
    assert panel.rows == [["amount", "0.25"], ["hour", "–"]]


# Points


def test_points_are_neither_added_changed_nor_deleted(root):
    (point,) = points(1)
    assert root.opened(point).status_code == 200
    assert root.post(page_of(point), {"value": "0"}).status_code == 403
    assert root.post(page_of(point, "delete"), {"post": "yes"}).status_code == 403
    address = reverse("admin:monitoring_monitoringpoint_add")
    assert root.post(address, {}).status_code == 403


def test_points_can_be_narrowed_to_a_deployment_and_a_metric(root):
    slow, _fast = points(2), points(2, metric="predictions")
    chosen = {"deployment__id__exact": str(slow[0].deployment_id)}
    found = rows_of(root.listed("monitoring_monitoringpoint", **chosen))
    assert {point.metric_name for point in found} == {"latency_ms"}
    named = root.listed("monitoring_monitoringpoint", metric_name="predictions")
    assert {point.metric_name for point in rows_of(named)} == {"predictions"}


def test_points_are_looked_for_in_few_months(root):
    with CaptureQueriesContext(connection) as captured:
        root.listed("monitoring_monitoringpoint")
    rows = [q["sql"] for q in captured if 'FROM "model_monitoring"' in q["sql"]]
    assert rows
    assert all('"model_monitoring"."id" >=' in statement for statement in rows)


# Jobs and the overview


def test_jobs_are_listed(root):
    job = apps.get_model("procrastinate", "ProcrastinateJob")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status)"
            " VALUES ('default', 'mlops.upkeep.sweep', '{\"due\": 1}', 'failed')"
        )
    page = shown(root.listed("procrastinate_procrastinatejob"))
    assert "mlops.upkeep" in page
    assert "due=1" in page
    assert root.opened(job.objects.get()).status_code == 200


def test_the_overview_shows_the_worst_alerts_first(root):
    AlertFactory(severity="info", summary="harmless", triggered_at=timezone.now())
    AlertFactory(severity="critical", summary="burning")
    AlertFactory(status="resolved", resolved_at=timezone.now(), summary="forgotten")
    page = shown(root.get("/admin/"))
    assert page.index("burning") < page.index("harmless")
    assert "forgotten" not in page
    assert "1 critical, 1 info" in page


def test_the_overview_is_quiet_when_nothing_is_wrong(root):
    page = shown(root.get("/admin/"))
    assert "All quiet" in page
    assert "Nothing is wrong." in page


def test_the_number_of_open_alerts_ends_where_reading_ends():
    from collections import Counter

    tile = alerts_tile(Counter(critical=SHOWN_OPEN))
    assert (tile.value, tile.tone) == (f"{SHOWN_OPEN}+", "danger")
    assert alerts_panel([]).rows == []


def test_an_alert_of_long_ago_says_its_day(root):
    AlertFactory(triggered_at=datetime(2020, 2, 3, tzinfo=UTC))
    assert "2020-02-03" in shown(root.listed("monitoring_alert"))
