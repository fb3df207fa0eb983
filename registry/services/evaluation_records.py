"""The records of an evaluation dataset: added, merged with those there, removed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from mlops.errors import InvalidInput, LimitExceeded
from registry.models import EvaluationDataset, EvaluationRecord
from registry.services.evaluation_datasets import digest_of, owner_of
from registry.services.evaluation_schemas import with_fields_of
from registry.services.limits import demand_fit

MAX_RECORD_BYTES = 1024**2
# Of the records that one request may change: all of them are read.
MAX_MERGED_BYTES = 64 * 1024**2
PARTS = ("inputs", "outputs", "expectations", "tags", "source")
CHANGED = (*PARTS[1:], "size_bytes", "updater_name", "updated_at")
BY_INPUTS: TypeAlias = dict[str, EvaluationRecord]


@dataclass(frozen=True, slots=True)
class Example:
    """A record as it is sent; what is None or empty says nothing of its part."""

    inputs: dict[str, Any]
    outputs: Any = None
    # Left out, outputs stay what they were; None takes them away.
    has_outputs: bool = False
    expectations: dict[str, Any] | None = None
    tags: dict[str, Any] | None = None
    source: dict[str, Any] | None = None
    # As the client calls whoever sends it.
    user_name: str = ""


@dataclass(slots=True)
class Merging:
    """Records while examples are merged into them, by the digest of their inputs."""

    dataset: EvaluationDataset
    now: datetime
    records: BY_INPUTS
    inserted: int = 0
    updated: int = 0
    changed: BY_INPUTS = field(default_factory=dict)

    def add(self, digest: str, example: Example) -> None:
        record = self.records.get(digest)
        if record is None:
            record = self.records[digest] = self._new_record(digest, example)
            self.inserted += 1
        else:
            merge(record, example, self.now)
            self.updated += 1
        record.size_bytes = sum(len(getattr(record, part)) for part in PARTS)
        demand_small(record)
        self.changed[digest] = record

    def _new_record(self, digest: str, example: Example) -> EvaluationRecord:
        outputs = example.outputs if example.has_outputs else {}
        return EvaluationRecord(
            organization_id=self.dataset.organization_id,
            dataset=self.dataset,
            inputs_sha256=digest,
            inputs=json.dumps(example.inputs),
            outputs=written(outputs),
            expectations=written(example.expectations),
            tags=written(example.tags),
            source=written(example.source),
            creator_name=example.user_name,
            updater_name=example.user_name,
            created_at=self.now,
            updated_at=self.now,
        )


@transaction.atomic
def upsert_records(
    dataset: EvaluationDataset, examples: Sequence[Example]
) -> tuple[int, int]:
    """Add the examples, or merge them into the records that have the same inputs.

    Return how many were added, and how many merged; 5 statements for any number. Raises
    InvalidInput for a record that grows too large, LimitExceeded when there is no room.
    """
    dataset = locked(dataset)
    now = timezone.now()
    digests = [inputs_digest(example) for example in examples]
    merging = Merging(dataset, now, known_records(dataset, set(digests)))
    for digest, example in zip(digests, examples, strict=True):
        merging.add(digest, example)
    count = (dataset.record_count or 0) + merging.inserted
    if merging.inserted:
        held = count - merging.inserted
        demand_fit("evaluation_dataset_records", owner_of(dataset), count, holds=held)
    store(merging.changed.values())
    dataset.schema = with_fields_of(dataset.schema, examples)
    # Without records there is still none, or there is none any more.
    dataset.record_count = count if count else dataset.record_count
    names = [example.user_name for example in examples if example.user_name]
    dataset.updater_name = names[-1] if names else ""
    dataset.updated_at = now
    dataset.digest = digest_of(dataset.name, now)
    dataset.save(
        update_fields=["schema", "record_count", "updater_name", "updated_at", "digest"]
    )
    return merging.inserted, merging.updated


@transaction.atomic
def delete_records(dataset: EvaluationDataset, keys: Collection[UUID]) -> int:
    """Remove those of the records that are the dataset's, and return how many."""
    dataset = locked(dataset)
    rows = EvaluationRecord.objects.filter(dataset=dataset, pk__in=keys)
    removed, _ = rows.delete()
    if removed:
        dataset.record_count = max(0, (dataset.record_count or 0) - removed)
        dataset.save(update_fields=["record_count"])
    return removed


def locked(dataset: EvaluationDataset) -> EvaluationDataset:
    """Read it again, so that whoever else changes its records comes after this."""
    rows = EvaluationDataset.objects.with_deleted().select_for_update(no_key=True)
    return rows.get(pk=dataset.pk)


def known_records(dataset: EvaluationDataset, digests: Collection[str]) -> BY_INPUTS:
    """Read the records of these inputs. Raises LimitExceeded if they are too large."""
    if not digests or dataset.record_count is None:
        return {}
    rows = EvaluationRecord.objects.filter(dataset=dataset, inputs_sha256__in=digests)
    size = rows.aggregate(size=Sum("size_bytes"))["size"] or 0
    if size > MAX_MERGED_BYTES:
        raise LimitExceeded(
            f"The records that 'records' would change have {size} bytes; send fewer at "
            f"once, so that they have at most {MAX_MERGED_BYTES}."
        )
    return {row.inputs_sha256: row for row in rows}


def inputs_digest(example: Example) -> str:
    """Return the same digest for the same inputs, whatever the order of their keys."""
    text = json.dumps(example.inputs, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def merge(record: EvaluationRecord, example: Example, now: datetime) -> None:
    """Put what the example says over what the record said; its source stays."""
    if example.has_outputs:
        record.outputs = written(example.outputs)
    for part in ("expectations", "tags"):
        if said := getattr(example, part):
            held = json.loads(getattr(record, part) or "{}")
            setattr(record, part, written({**held, **said}))
    record.updater_name = example.user_name or record.updater_name
    record.updated_at = now


def written(part: Any) -> str:
    return "" if part is None else json.dumps(part)


def demand_small(record: EvaluationRecord) -> None:
    if record.size_bytes > MAX_RECORD_BYTES:
        raise InvalidInput(
            f"A record of 'records' has {record.size_bytes} bytes, what it is merged "
            f"with included; a record may have at most {MAX_RECORD_BYTES}."
        )


def store(records: Collection[EvaluationRecord]) -> None:
    """Insert new ones and update the others, in one statement."""
    EvaluationRecord.objects.bulk_create(
        records,
        update_conflicts=True,
        unique_fields=["organization", "dataset", "inputs_sha256"],
        update_fields=CHANGED,
    )
