"""Inputs: which datasets a run has used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from registry.models import Dataset, Run, RunInput
from registry.services.limits import demand_room_for
from registry.services.runs import refuse_deleted

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class DatasetUse:
    """A dataset by name and digest, and the labels of its use by one run."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str = ""
    profile: str = ""
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> Key:
        return self.name, self.digest


def log_inputs(run: Run, uses: Sequence[DatasetUse]) -> None:
    """Store each dataset once per experiment and each use once per run.

    What is there already stays as it is, its labels included: 5 statements for any
    number of datasets. Raises LimitExceeded when there is no room for the new ones.
    """
    refuse_deleted(run)
    first = {use.key: use for use in reversed(uses)}
    if not first:
        return
    ids = _store_datasets(run, first)
    held = RunInput.objects.filter(run=run)
    wanted = [ids[key] for key in first]
    demand_room_for("run_inputs", f"Run {run.pk.hex}", held, wanted, field="dataset")
    RunInput.objects.bulk_create(
        [
            RunInput(
                organization_id=run.organization_id,
                run=run,
                dataset_id=ids[key],
                tags=[{"key": name, "value": text} for name, text in first[key].tags],
            )
            for key in sorted(first)
        ],
        ignore_conflicts=True,
    )


def _store_datasets(run: Run, uses: dict[Key, DatasetUse]) -> dict[Key, UUID]:
    """Return the id of each dataset, whoever stored it."""
    Dataset.objects.bulk_create(
        [
            Dataset(
                organization_id=run.organization_id,
                experiment_id=run.experiment_id,
                name=use.name,
                digest=use.digest,
                source_type=use.source_type,
                source=use.source,
                schema=use.schema,
                profile=use.profile,
            )
            # By key, so that two requests lock the rows in the same order.
            for _, use in sorted(uses.items())
        ],
        ignore_conflicts=True,
    )
    stored = Dataset.objects.filter(
        experiment_id=run.experiment_id,
        name__in={name for name, _ in uses},
        digest__in={digest for _, digest in uses},
    )
    return {
        (name, digest): pk
        for pk, name, digest in stored.values_list("pk", "name", "digest")
    }
