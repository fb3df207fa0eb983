"""Retention rules: who may let packages go by themselves, and which ones they mean."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import CharField, F, Q, QuerySet, Value, Window
from django.db.models.functions import Cast, Concat, Replace, RowNumber
from django.utils import timezone

from mlops.db.uniques import claiming
from mlops.errors import InvalidInput
from registry import relations
from registry.models import (
    LoggedModel,
    LoggedModelTag,
    ModelVersion,
    Package,
    RetentionCounting,
    RetentionEffect,
    RetentionRule,
    Run,
    RunTag,
)
from registry.models.retention import RULED
from tenants.context import acting
from tenants.models import Project

NOUN = "retention rule"
FIELDS = (
    "name",
    "effect",
    "is_enabled",
    "name_pattern",
    "package_type",
    "package_status",
    "tag_key",
    "tag_value",
    "older_than_days",
    "keep_newest",
    "counting",
)


def create_rule(project: Project, **values: Any) -> RetentionRule:
    """Raises AlreadyExists for a name in use, InvalidInput for a rule without bound."""
    rule = RetentionRule(
        organization_id=project.organization_id,
        project=project,
        created_by=acting().id,
        **values,
    )
    refuse_boundless(rule)
    with claiming(NOUN, name=rule.name):
        rule.save(force_insert=True)
    return rule


def update_rule(rule: RetentionRule, **changes: Any) -> RetentionRule:
    for field, value in changes.items():
        setattr(rule, field, value)
    refuse_boundless(rule)
    with claiming(NOUN, name=rule.name):
        rule.save(update_fields=[*changes, "updated_at"])
    return rule


def delete_rule(rule: RetentionRule) -> None:
    rule.delete()


def refuse_boundless(rule: RetentionRule) -> None:
    bounds = (rule.older_than_days, rule.keep_newest)
    if rule.effect == RetentionEffect.DELETE and bounds == (None, None):
        raise InvalidInput(
            "older_than_days and keep_newest are both empty: the rule would delete"
            " whatever it matches, the newest included. Set one of them."
        )
    if rule.effect == RetentionEffect.KEEP and bounds != (None, None):
        raise InvalidInput(
            "A rule that keeps holds whatever it matches: leave older_than_days and"
            " keep_newest empty."
        )
    if rule.tag_value and not rule.tag_key:
        raise InvalidInput(f"tag_value={rule.tag_value!r} needs a tag_key.")


# What rules mean


def doomed_by(rule: RetentionRule, now: datetime | None = None) -> QuerySet[Package]:
    """Packages that the rule lets go: promoted ones never, kept ones neither."""
    if rule.effect != RetentionEffect.DELETE:
        return Package.objects.none()
    packages = matched_by(rule, now or timezone.now())
    return spared(unpromoted(packages, rule), rule)


def matched_by(
    rule: RetentionRule, now: datetime, *, deleted: bool = False
) -> QuerySet[Package]:
    """Packages for which all holds that the rule says, live or `deleted` ones."""
    packages: QuerySet[Package] = Package.objects.with_deleted().filter(
        organization_id=rule.organization_id, project_id=rule.project_id
    )
    statuses = [rule.package_status] if rule.package_status else RULED
    if deleted:
        packages = packages.filter(former_status__in=statuses)
    else:
        packages = packages.filter(deleted_at=None, status__in=statuses)
    if rule.name_pattern != "*":
        packages = packages.filter(name__regex=as_regex(rule.name_pattern))
    if rule.package_type:
        packages = packages.filter(type=rule.package_type)
    if rule.tag_key:
        packages = packages.filter(tagged(rule))
    if rule.keep_newest is not None:
        packages = beyond_newest(packages, rule)
    if rule.older_than_days is not None:
        oldest = now - timedelta(days=rule.older_than_days)
        packages = packages.filter(created_at__lt=oldest)
    return packages


def as_regex(pattern: str) -> str:
    return f"^{'.*'.join(re.escape(part) for part in pattern.split('*'))}$"


def tagged(rule: RetentionRule) -> Q:
    """The tag stands on the run or the logged model, or in the package's metadata."""
    wanted = {"key": rule.tag_key}
    if rule.tag_value:
        wanted["value"] = rule.tag_value
    of_runs = RunTag.objects.filter(run__project_id=rule.project_id, **wanted)
    of_models = LoggedModelTag.objects.filter(
        logged_model__project_id=rule.project_id, **wanted
    )
    in_metadata = (
        Q(metadata__contains={rule.tag_key: rule.tag_value})
        if rule.tag_value
        else Q(metadata__has_key=rule.tag_key)
    )
    return (
        in_metadata
        | Q(name__in=names_of_runs(rule, of_runs.values("run_id")))
        | Q(name__in=names_of_models(rule, of_models.values("logged_model_id")))
    )


def beyond_newest(
    packages: QuerySet[Package], rule: RetentionRule
) -> QuerySet[Package]:
    """Leave out the newest so many of all that match, whatever else is asked of them.

    In a query of its own: a condition added later would change who is counted.
    """
    by_name = rule.counting == RetentionCounting.NAME
    rank = Window(
        RowNumber(),
        partition_by=[F("name")] if by_name else None,
        order_by=F("pk").desc(),
    )
    older = packages.order_by().annotate(rank=rank).filter(rank__gt=rule.keep_newest)
    return Package.objects.with_deleted().filter(
        project_id=rule.project_id, pk__in=older.values_list("pk", flat=True)
    )


def unpromoted(packages: QuerySet[Package], rule: RetentionRule) -> QuerySet[Package]:
    """Leave out what a model version was made of, be it deleted: it may come back.

    It refers to the package, or to the run or logged model whose package it is.
    """
    versions = (
        ModelVersion.objects.with_deleted()
        .filter(project_id=rule.project_id)
        .order_by()
    )
    packed = versions.filter(package__isnull=False)
    of_runs = versions.filter(run__isnull=False)
    of_models = versions.filter(logged_model__isnull=False)
    return packages.exclude(
        Q(pk__in=packed.values("package_id"))
        | Q(name__in=names_of_runs(rule, of_runs.values("run_id")))
        | Q(name__in=names_of_models(rule, of_models.values("logged_model_id")))
    )


def names_of_runs(rule: RetentionRule, keys: QuerySet) -> QuerySet:
    runs = (
        Run.objects.with_deleted()
        .filter(project_id=rule.project_id, pk__in=keys)
        .order_by()
    )
    return runs.values_list(relations.package_name_of_run(), flat=True)


def names_of_models(rule: RetentionRule, keys: QuerySet) -> QuerySet:
    models = LoggedModel.objects.with_deleted().filter(
        project_id=rule.project_id, pk__in=keys
    )
    key = Replace(Cast("pk", CharField()), Value("-"), Value(""))
    name = Concat(Value(relations.MODEL_PREFIX), key)
    return models.order_by().values_list(name, flat=True)


def spared(packages: QuerySet[Package], rule: RetentionRule) -> QuerySet[Package]:
    """Leave out what a rule of the project keeps."""
    keeping = RetentionRule.objects.filter(
        project_id=rule.project_id, effect=RetentionEffect.KEEP, is_enabled=True
    )
    now = timezone.now()
    kept = [Q(pk__in=matched_by(each, now).values("pk")) for each in keeping]
    return packages.exclude(reduce(or_, kept)) if kept else packages
