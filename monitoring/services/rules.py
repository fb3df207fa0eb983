"""Alert rules: what to watch."""

from __future__ import annotations

from typing import Any

from mlops.db.uniques import claiming
from mlops.errors import Conflict, InvalidInput
from monitoring.models import AlertRule, RuleKind
from monitoring.services.alerts import resolve_alerts_of
from tenants.context import acting
from tenants.models import Project
from tenants.services import deletion

NOUN = "alert rule"


def create_rule(project: Project, *, name: str, **fields: Any) -> AlertRule:
    """Raises AlreadyExists for the name of a live rule of the project."""
    rule = AlertRule(
        organization_id=project.organization_id,
        project=project,
        name=name,
        created_by=acting().id,
        **fields,
    )
    refuse_incomplete(rule)
    with claiming(NOUN, name=name):
        rule.save(force_insert=True)
    return rule


def update_rule(rule: AlertRule, **changes: Any) -> AlertRule:
    deletion.refuse_deleted(rule)
    for field, value in changes.items():
        setattr(rule, field, value)
    refuse_incomplete(rule)
    with claiming(NOUN, name=rule.name):
        rule.save(update_fields=[*changes, "updated_at"])
    return rule


def refuse_incomplete(rule: AlertRule) -> None:
    """Raises InvalidInput for a rule that could never fire."""
    if rule.kind == RuleKind.METRIC and not rule.metric_name:
        raise InvalidInput("metric_name='': a rule of kind metric needs one.")
    if rule.kind == RuleKind.METRIC and rule.threshold is None:
        raise InvalidInput("threshold=None: a rule of kind metric needs a number.")


def delete_rule(rule: AlertRule) -> None:
    """Mark it and resolve what it has open, with that reason."""
    if rule.deleted_at is None:
        resolve_alerts_of(rule, resolution="rule deleted")
        deletion.put(rule, deletion.new_mark(rule))


def restore_rule(rule: AlertRule) -> AlertRule:
    """Raises Conflict when another live rule has its name; its alerts stay resolved."""
    if rule.deleted_at is None:
        return rule
    deletion.refuse_orphan(rule.deployment)
    siblings = AlertRule.objects.in_project(rule.project_id)
    if twin := siblings.filter(name=rule.name).first():
        raise Conflict(
            f"Name {rule.name!r} of the deleted rule {rule.pk} belongs to rule"
            f" {twin.pk} now. Rename that one, for example to"
            f" {deletion.free_name(rule.name, siblings, longest=200)!r}, then restore."
        )
    with claiming(NOUN, name=rule.name):
        deletion.restore(rule)
    return rule
