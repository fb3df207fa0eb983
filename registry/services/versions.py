"""Model versions: numbers claimed once, stages, aliases lost and found again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import F, Max, OuterRef, Subquery
from django.db.models.functions import Greatest
from django.utils import timezone

from mlops.errors import InvalidInput, InvalidState
from registry.models import (
    Alias,
    LoggedModel,
    ModelVersion,
    ModelVersionTag,
    Package,
    RegisteredModel,
    Run,
    Stage,
    VersionStatus,
)
from registry.refusals import most
from registry.services.limits import demand_room, demand_room_for
from registry.services.models import lock, refuse_serving
from tenants.context import acting
from tenants.permissions import Permission, demand
from tenants.services import deletion

# Stages that one version holds at a time, if whoever moves another in asks for it.
EXCLUSIVE = frozenset({Stage.STAGING, Stage.PRODUCTION})
# Where a deleted version remembers the aliases it had.
LOST_ALIASES = "aliases_before_deletion"


def create_version(
    model: RegisteredModel,
    *,
    source: str = "",
    run: Run | None = None,
    run_link: str = "",
    logged_model: LoggedModel | None = None,
    package: Package | None = None,
    description: str = "",
    status: VersionStatus = VersionStatus.READY,
    tags: Mapping[str, str] | None = None,
    metadata: dict[str, Any] | None = None,
) -> ModelVersion:
    """Number and store a version; whoever comes second waits for its number.

    `source` is stored as it is: the skin says which addresses it takes. Raises
    LimitExceeded when the model is full; deleted versions count.
    """
    version = ModelVersion(
        organization_id=model.organization_id,
        project_id=model.project_id,
        registered_model=model,
        version=_claim_number(model),
        source=source,
        run=run,
        run_link=run_link,
        logged_model=logged_model,
        package=package,
        description=description,
        status=status,
        metadata=metadata or {},
        created_by=acting().id,
    )
    version.save(force_insert=True)
    set_version_tags(version, tags or {})
    return version


def _claim_number(model: RegisteredModel) -> int:
    """Count up on the model's row, which stays locked until the transaction ends.

    Versions that came in without a claim, by an import, count as well.
    """
    row = RegisteredModel.objects.filter(pk=model.pk)
    of_model = (
        ModelVersion.objects.with_deleted()
        .filter(registered_model=OuterRef("pk"))
        .order_by()
    )
    highest = of_model.values("registered_model").annotate(highest=Max("version"))
    last = Greatest(F("last_version"), Subquery(highest.values("highest")))
    if not row.update(last_version=last + 1, updated_at=timezone.now()):
        raise InvalidState("This registered model is deleted; restore it first.")
    model.refresh_from_db(fields=["last_version", "updated_at"])
    # Numbers are never reused: before this one there is room in any case.
    if model.last_version > most("model_versions"):
        held = ModelVersion.objects.with_deleted().filter(registered_model=model)
        demand_room("model_versions", f"Registered model {model.name}", held)
    return model.last_version


def update_version(version: ModelVersion, **changes: Any) -> ModelVersion:
    """Change `description`, `metadata`, `status` or `status_message`."""
    deletion.refuse_deleted(version)
    for field, value in changes.items():
        setattr(version, field, value)
    version.save(update_fields=[*changes, "updated_at"])
    return version


def transition_stage(
    version: ModelVersion, *, stage: Stage, archive_existing: bool = False
) -> ModelVersion:
    """Move the version to `stage`; `archive_existing` clears the stage of others.

    Into and out of Production needs the right to promote. Raises InvalidState when
    the version is deleted or still pending.
    """
    lock(version.registered_model)
    version.refresh_from_db()
    deletion.refuse_deleted(version)
    if archive_existing and stage not in EXCLUSIVE:
        raise InvalidInput(
            f"archive_existing=True with stage={stage.value!r}; it goes only with"
            " Staging and Production."
        )
    if version.status != VersionStatus.READY:
        raise InvalidState(f"Version {version.version} is not ready yet.")
    _demand_promotion(version, stage)
    if archive_existing:
        _archive_others(version, stage)
    if version.stage != stage:
        version.stage = stage
        version.save(update_fields=["stage", "updated_at"])
    return version


def _demand_promotion(version: ModelVersion, stage: Stage) -> None:
    if Stage.PRODUCTION in (version.stage, stage) and version.stage != stage:
        doing = f"Moving a version from {version.stage} to {stage.value}"
        demand(acting(), Permission.REGISTRY_PROMOTE, doing)


def _archive_others(version: ModelVersion, stage: Stage) -> None:
    others = version.registered_model.versions.in_stage(stage)
    others = others.exclude(pk=version.pk)
    if stage == Stage.PRODUCTION and others.exists():
        demand(acting(), Permission.REGISTRY_PROMOTE, "Archiving what is in Production")
    others.update(stage=Stage.ARCHIVED, updated_at=timezone.now())


def delete_version(version: ModelVersion) -> None:
    """Mark the version and take its aliases; its number is never used again.

    Raises Conflict while it serves.
    """
    lock(version.registered_model)
    version.refresh_from_db()
    if version.deleted_at is not None:
        return
    refuse_serving(ModelVersion.objects.filter(pk=version.pk))
    names = list(version.aliases.order_by("name").values_list("name", flat=True))
    version.aliases.all().delete()
    if names:
        version.metadata = {**version.metadata, LOST_ALIASES: names}
        version.save(update_fields=["metadata", "updated_at"])
    deletion.put(version, deletion.new_mark(version))


def restore_version(version: ModelVersion) -> list[str]:
    """Bring the version back, and return what it had to leave to others.

    An alias that points elsewhere by now, or a stage that another version holds, is
    not taken from it. Raises Conflict when the model itself is deleted.
    """
    model = lock(version.registered_model)
    version.refresh_from_db()
    if version.deleted_at is None:
        return []
    deletion.refuse_orphan(model)
    deletion.refuse_purged(version)
    left = _leave_taken_stage(version) + _find_aliases(version)
    version.save(update_fields=["metadata", "stage", "updated_at"])
    deletion.restore(version)
    return left


def _leave_taken_stage(version: ModelVersion) -> list[str]:
    holders = version.registered_model.versions.in_stage(version.stage)
    if version.stage not in EXCLUSIVE or not holders.exists():
        return []
    stage, version.stage = version.stage, Stage.NONE
    return [f"stage {stage}"]


def _find_aliases(version: ModelVersion) -> list[str]:
    names = version.metadata.pop(LOST_ALIASES, [])
    model = version.registered_model
    taken = set(model.aliases.filter(name__in=names).values_list("name", flat=True))
    Alias.objects.bulk_create(
        Alias(
            organization_id=version.organization_id,
            registered_model=model,
            name=name,
            model_version=version,
        )
        for name in names
        if name not in taken
    )
    return [f"alias {name}" for name in names if name in taken]


def set_version_tags(version: ModelVersion, tags: Mapping[str, str]) -> None:
    """Raises LimitExceeded when there is no room for the new ones."""
    deletion.refuse_deleted(version)
    owner = f"Version {version.version}"
    demand_room_for("version_tags", owner, version.tags.all(), tags)
    rows = [
        ModelVersionTag(
            organization_id=version.organization_id,
            model_version=version,
            key=key,
            value=tags[key],
        )
        # By key, so that two requests lock the rows in the same order.
        for key in sorted(tags)
    ]
    ModelVersionTag.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["organization", "model_version", "key"],
        update_fields=["value", "updated_at"],
    )


def delete_version_tag(version: ModelVersion, *, key: str) -> None:
    """Remove a label; an absent one is as good as removed."""
    deletion.refuse_deleted(version)
    version.tags.filter(key=key).delete()
