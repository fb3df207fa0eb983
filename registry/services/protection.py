"""Protection rules: whose packages only some may push to or delete."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from mlops.db.uniques import claiming
from mlops.errors import Conflict, Forbidden, InvalidInput, LimitExceeded
from registry.models import (
    ModelVersion,
    Package,
    PackageProtectionRule,
    PackageRole,
    Stage,
)
from registry.sql import protection as sql
from tenants.context import Actor, acting
from tenants.models import Project
from tenants.permissions import TRUSTED

NOUN = "protection rule"
MAX_RULES = 100
PROTECTS_NOTHING = (
    "push_role and delete_role are both empty: name at least one of maintainer, admin"
    " and owner."
)
# Who may do what a rule asks a role for.
HOLDERS = {
    PackageRole.MAINTAINER: {"maintainer", "admin", "owner"},
    PackageRole.ADMIN: {"admin", "owner"},
    PackageRole.OWNER: {"owner"},
}


def roles_out_of_reach(actor: Actor) -> list[str]:
    """Return the roles that rules may ask for and the actor has not."""
    if actor.kind in TRUSTED:
        return []
    return [str(r) for r, holders in HOLDERS.items() if not actor.roles & holders]


def protected(package: Package, doing: str, pattern: str, role: str) -> Forbidden:
    return Forbidden(
        f"{doing} {package.name} needs the role {role}: the protection rule"
        f" {pattern!r} says so."
    )


def refuse_push(package: Package) -> None:
    """Raises Forbidden when a rule keeps the package from whoever acts.

    For a look ahead, before the bytes are read; attach_to() asks by itself.
    """
    _refuse(package, "Uploading to", deleting=False)


def refuse_delete(package: Package) -> None:
    """Raises Forbidden by a rule, Conflict when a version in Production has the files.

    The version is one that was registered with this package.
    """
    _refuse(package, "Deleting from", deleting=True)
    versions = ModelVersion.objects.in_stage(Stage.PRODUCTION)
    version = (
        versions.filter(
            organization_id=package.organization_id,
            project_id=package.project_id,
            package_id=package.pk,
        )
        .select_related("registered_model")
        .first()
    )
    if version:
        raise in_production(
            package, f"{version.registered_model.name} version {version.version}"
        )


def in_production(package: Package, version: str) -> Conflict:
    return Conflict(
        f"{version} is in Production with the files of {package.name}: they stay as"
        " they are. Move the version to another stage first."
    )


def _refuse(package: Package, doing: str, *, deleting: bool) -> None:
    out_of_reach = roles_out_of_reach(acting())
    if not out_of_reach:
        return
    if found := sql.find_rule(package, out_of_reach, deleting=deleting):
        raise protected(package, doing, *found)


# The rules themselves


@transaction.atomic
def create_rule(
    project: Project,
    *,
    name_pattern: str,
    package_type: str = "",
    push_role: str = "",
    delete_role: str = "",
) -> PackageProtectionRule:
    """Raises AlreadyExists for a second rule of the same pattern and type."""
    rules = PackageProtectionRule.objects.in_project(project.pk)
    if rules.count() >= MAX_RULES:
        raise LimitExceeded(f"A project has at most {MAX_RULES} protection rules.")
    rule = PackageProtectionRule(
        organization_id=project.organization_id,
        project_id=project.pk,
        name_pattern=checked_pattern(name_pattern),
        package_type=package_type,
        push_role=push_role,
        delete_role=delete_role,
        created_by=acting().id,
    )
    refuse_idle(rule)
    with claiming(NOUN, name_pattern=name_pattern):
        rule.save(force_insert=True)
    return rule


def update_rule(rule: PackageProtectionRule, **changes: Any) -> PackageProtectionRule:
    if "name_pattern" in changes:
        changes["name_pattern"] = checked_pattern(changes["name_pattern"])
    for field, value in changes.items():
        setattr(rule, field, value)
    refuse_idle(rule)
    with claiming(NOUN, name_pattern=rule.name_pattern):
        rule.save(update_fields=[*changes, "updated_at"])
    return rule


def delete_rule(rule: PackageProtectionRule) -> None:
    rule.delete()


def checked_pattern(pattern: str) -> str:
    if not pattern or not pattern.isprintable() or pattern != pattern.strip():
        raise InvalidInput(
            f"name_pattern={pattern[:50]!r}: write a name in which * stands for any"
            " text, without blanks at its ends."
        )
    return pattern


def refuse_idle(rule: PackageProtectionRule) -> None:
    if not rule.push_role and not rule.delete_role:
        raise InvalidInput(PROTECTS_NOTHING)
