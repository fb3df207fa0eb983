from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from conftest import client_of
from monitoring.models import Alert
from monitoring.tests.factories import (
    START,
    AlertFactory,
    AlertRuleFactory,
    DriftReportFactory,
)
from registry.tests.factories import DeploymentFactory
from tenants.models import ProjectMember
from tenants.tests.factories import make_api_token

FRAUD = "/api/v1/organizations/acme/projects/fraud/"
JSON = {"content_type": "application/json"}


def rows_of(client, address):
    response = client.get(address)
    assert response.status_code == 200, response.content
    return response.json()["results"]


def error_of(response):
    return response.json()["error"]["message"]


@pytest.fixture
def deployment(cast):
    return DeploymentFactory(model_version__registered_model__project=cast.fraud)


@pytest.fixture
def editor(cast):
    """Bob, for once an editor of fraud."""
    ProjectMember._base_manager.filter(user=cast.bob).update(role="editor")
    return client_of(make_api_token(cast.bob, cast.acme).text)


@pytest.fixture
def alert(deployment):
    return AlertFactory(rule__deployment=deployment)


# Alerts


def test_an_alert_is_acknowledged_by_whoever_looks_after_it(editor, alert, cast):
    address = f"{FRAUD}alerts/{alert.pk}/acknowledge/"
    shown = editor.post(address).json()
    assert shown["status"] == "acknowledged"
    assert shown["acknowledged_by"] == str(cast.bob.pk)
    assert editor.post(address).json() == shown


def test_an_alert_is_resolved_once_with_its_reason(editor, alert):
    address = f"{FRAUD}alerts/{alert.pk}/"
    editor.post(address + "acknowledge/")
    shown = editor.post(address + "resolve/", {"resolution": "fixed"}, **JSON).json()
    assert (shown["status"], shown["resolution"]) == ("resolved", "fixed")
    again = editor.post(address + "resolve/", {"resolution": "other"}, **JSON)
    assert again.json() == shown
    late = editor.post(address + "acknowledge/")
    assert late.status_code == 400
    assert error_of(late) == "The alert is resolved already."
    assert Alert._base_manager.get(pk=alert.pk).transition_seq == 2


def test_a_viewer_acknowledges_nothing(bob, alert):
    assert bob.post(f"{FRAUD}alerts/{alert.pk}/acknowledge/").status_code == 403


def test_an_alert_is_not_written(alice, alert):
    address = f"{FRAUD}alerts/{alert.pk}/"
    for method in ("PATCH", "PUT", "DELETE"):
        response = alice.generic(method, address, b"{}", "application/json")
        assert response.status_code == 405


def test_filters_narrow_the_alerts(alice, alert, deployment):
    closed = AlertFactory(
        rule=alert.rule,
        status="resolved",
        severity="critical",
        triggered_at=START + timedelta(days=1),
        resolved_at=START + timedelta(days=2),
    )
    for query, expected in (
        ("", {alert, closed}),
        ("open=true", {alert}),
        ("open=false", {closed}),
        ("status=resolved", {closed}),
        ("severity=critical", {closed}),
        (f"rule={alert.rule_id}", {alert, closed}),
        (f"deployment={uuid4()}", set()),
        ("since=2026-01-01T12:00:00Z", {closed}),
        ("until=2026-01-01T12:00:00Z", {alert}),
    ):
        found = {row["id"] for row in rows_of(alice, f"{FRAUD}alerts/?{query}")}
        assert found == {str(each.pk) for each in expected}, query


@pytest.mark.parametrize("query", ["since=now", "status=open", "open=1x", "rule=x"])
def test_a_bad_filter_is_refused_by_name(alice, query):
    response = alice.get(f"{FRAUD}alerts/?{query}")
    assert response.status_code == 400
    assert query.partition("=")[0] in error_of(response)


# Rules


def test_create_makes_a_rule_for_a_deployment(editor, deployment):
    body = {
        "name": "slow",
        "deployment": str(deployment.pk),
        "metric_name": "latency_ms",
        "operator": ">",
        "threshold": 200,
        "severity": "critical",
    }
    made = editor.post(FRAUD + "alert-rules/", body, **JSON)
    assert made.status_code == 201, made.content
    assert made.json()["deployment"] == str(deployment.pk)
    taken = editor.post(FRAUD + "alert-rules/", body, **JSON)
    assert taken.status_code == 409
    assert "name 'slow'" in error_of(taken)


@pytest.mark.parametrize(
    "change,named",
    [
        ({"threshold": None}, "threshold"),
        ({"threshold": "NaN"}, "threshold"),
        ({"threshold": True}, "threshold"),
        ({"threshold": "1e400"}, "threshold"),
        ({"metric_name": ""}, "metric_name"),
        ({"operator": "=="}, "operator"),
        ({"kind": "magic"}, "kind"),
        ({"for_seconds": -1}, "for_seconds"),
        ({"for_seconds": 10**10}, "for_seconds"),
        ({"labels": []}, "labels"),
        ({"deployment": "x"}, "deployment"),
        ({"deleted": False}, "deleted"),
    ],
)
def test_create_refuses_a_rule_that_could_not_work(alice, change, named):
    body = {"name": "slow", "metric_name": "m", "threshold": 1, **change}
    response = alice.post(FRAUD + "alert-rules/", body, **JSON)
    assert response.status_code == 400
    assert named in error_of(response)


def test_a_rule_watches_deployments_of_its_own_project(alice, cast):
    body = {"name": "slow", "metric_name": "m", "threshold": 1}
    unknown = alice.post(
        FRAUD + "alert-rules/", {**body, "deployment": str(uuid4())}, **JSON
    )
    for project in (cast.churn, cast.umbrella_fraud):
        theirs = DeploymentFactory(model_version__registered_model__project=project)
        named = {**body, "deployment": str(theirs.pk)}
        response = alice.post(FRAUD + "alert-rules/", named, **JSON)
        assert (response.status_code, response.content) == (404, unknown.content)


def test_a_change_cannot_break_a_rule(alice, deployment):
    rule = AlertRuleFactory(deployment=deployment)
    address = f"{FRAUD}alert-rules/{rule.pk}/"
    assert alice.patch(address, {"threshold": None}, **JSON).status_code == 400
    changed = alice.patch(address, {"is_enabled": False, "threshold": 5}, **JSON)
    assert (changed.json()["is_enabled"], changed.json()["threshold"]) == (False, 5.0)


def test_deleting_a_rule_resolves_its_alerts(alice, alert):
    address = f"{FRAUD}alert-rules/{alert.rule_id}/"
    assert alice.delete(address).status_code == 204
    shown = alice.get(f"{FRAUD}alerts/{alert.pk}/").json()
    assert (shown["status"], shown["resolution"]) == ("resolved", "rule deleted")
    assert rows_of(alice, FRAUD + "alert-rules/") == []
    assert alice.post(address + "restore/").json()["deleted_at"] is None
    assert len(rows_of(alice, FRAUD + "alert-rules/")) == 1


def test_a_restored_rule_meets_no_twin(alice, deployment):
    old = AlertRuleFactory(deployment=deployment, name="slow")
    alice.delete(f"{FRAUD}alert-rules/{old.pk}/")
    twin = AlertRuleFactory(deployment=deployment, name="slow")
    refused = alice.post(f"{FRAUD}alert-rules/{old.pk}/restore/")
    assert refused.status_code == 409
    assert str(twin.pk) in error_of(refused)


# Drift reports


def test_a_list_of_reports_leaves_the_verdicts_to_the_detail_page(alice, deployment):
    report = DriftReportFactory(deployment=deployment, result={"age": {"psi": 0.3}})
    (row,) = rows_of(alice, FRAUD + "drift-reports/")
    assert "result" not in row
    shown = alice.get(f"{FRAUD}drift-reports/{report.pk}/").json()
    assert shown["result"] == {"age": {"psi": 0.3}}


def test_filters_find_reports_whose_window_meets_the_one_asked_for(alice, deployment):
    early, late = (
        DriftReportFactory(
            deployment=deployment,
            period_start=START + timedelta(hours=hour),
            period_end=START + timedelta(hours=hour + 1),
            drifted=bool(hour),
        )
        for hour in (0, 5)
    )
    for query, expected in (
        ("since=2026-01-01T00:30:00Z&until=2026-01-01T00:45:00Z", {early}),
        ("since=2026-01-01T01:00:00Z", {late}),
        ("drifted=true", {late}),
        ("status=failed", set()),
    ):
        found = {r["id"] for r in rows_of(alice, f"{FRAUD}drift-reports/?{query}")}
        assert found == {str(each.pk) for each in expected}, query
