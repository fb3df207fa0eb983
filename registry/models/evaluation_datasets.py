from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from registry.models.experiments import Experiment
from registry.models.runs import BulkRow
from registry.models.tags import Tag
from registry.querysets import EvaluationDatasetManager, ProjectRowManager
from tenants.models import ALIVE, Personal, Project, SoftDeleted, TenantRow, purge_index

DATASET_ID_PREFIX = "d-"
RECORD_ID_PREFIX = "dr-"
MAX_DATASET_NAME = MAX_TAG_KEY = MAX_PERSON = 255
MAX_DATASET_TAG = 5000


class EvaluationDataset(TenantRow, SoftDeleted):
    """Records to evaluate with: inputs, and what is expected of them.

    Its times are written by the services: what a change is, and when the records last
    changed, is MLflow's to say, and the digest is made of it.
    """

    project = models.ForeignKey(
        Project, models.RESTRICT, db_constraint=False, db_index=False
    )
    name = models.CharField(max_length=MAX_DATASET_NAME)
    digest = models.CharField(max_length=8)
    # JSON as MLflow writes it: the types of all fields that records ever had.
    schema = models.TextField(blank=True)
    # None until there is a first record.
    record_count = models.PositiveIntegerField("records", null=True, editable=False)
    # As clients call themselves; `created_by` is who it was.
    creator_name = models.CharField(max_length=MAX_PERSON, blank=True)
    updater_name = models.CharField(max_length=MAX_PERSON, blank=True)
    created_by = models.UUIDField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    personal = (Personal("creator_name"), Personal("updater_name"))
    objects = EvaluationDatasetManager()

    class Meta:
        db_table = "evaluation_datasets"
        ordering = ["-id"]
        indexes = [
            # Read by the search of a project's datasets, newest first, page by page.
            models.Index(
                fields=["project", "-created_at", "-id"],
                name="evaluation_datasets_newest",
                condition=ALIVE,
            ),
            # Read by clients that look for a dataset by its name.
            models.Index(
                fields=["project", "name", "-created_at", "-id"],
                name="evaluation_datasets_named",
                condition=ALIVE,
            ),
            # Read by the list of a project (REST, admin), newest first.
            models.Index(
                fields=["project", "-id"],
                name="evaluation_datasets_of_project",
                condition=ALIVE,
            ),
            # Read by the purge.
            purge_index("evaluation_datasets"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~Q(name=""), name="evaluation_datasets_name"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def dataset_id(self) -> str:
        """The id as MLflow writes it."""
        return f"{DATASET_ID_PREFIX}{self.pk.hex}"


class EvaluationDatasetTag(Tag):
    """A mutable text label of an evaluation dataset."""

    dataset = models.ForeignKey(
        EvaluationDataset,
        models.RESTRICT,
        related_name="tags",
        db_constraint=False,
        db_index=False,
    )
    key = models.CharField(max_length=MAX_TAG_KEY, blank=True)
    value = models.CharField(max_length=MAX_DATASET_TAG, blank=True)

    personal = (
        Personal("value", by="dataset__created_by", where={"key": "mlflow.user"}),
    )

    class Meta:
        db_table = "evaluation_dataset_tags"
        constraints = [
            # Read with the dataset; met by each upsert.
            models.UniqueConstraint(
                fields=["organization", "dataset", "key"],
                name="evaluation_dataset_tags_key",
            ),
        ]


class EvaluationDatasetExperiment(TenantRow):
    """An experiment that a dataset is meant for."""

    dataset = models.ForeignKey(
        EvaluationDataset,
        models.RESTRICT,
        related_name="links",
        db_constraint=False,
        db_index=False,
    )
    experiment = models.ForeignKey(
        Experiment,
        models.RESTRICT,
        related_name="evaluation_links",
        db_constraint=False,
        db_index=False,
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProjectRowManager()

    class Meta:
        db_table = "evaluation_dataset_experiments"
        verbose_name = "experiment of an evaluation dataset"
        verbose_name_plural = "experiments of evaluation datasets"
        indexes = [
            # Read by the search for the datasets of experiments.
            models.Index(
                fields=["experiment", "dataset"],
                include=["organization"],
                name="evaluation_datasets_of",
            ),
        ]
        constraints = [
            # Read with the dataset; a repeated request stores nothing.
            models.UniqueConstraint(
                fields=["organization", "dataset", "experiment"],
                name="evaluation_dataset_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.dataset_id} for {self.experiment_id}"


class EvaluationRecord(BulkRow):
    """One example of a dataset, told from the others by its inputs.

    Its parts are JSON as text, not jsonb: keys keep their order and numbers the way
    they are written, and clients send NaN and U+0000, which jsonb refuses. What is
    empty was not said.
    """

    dataset = models.ForeignKey(
        EvaluationDataset,
        models.RESTRICT,
        related_name="records",
        db_constraint=False,
        db_index=False,
    )
    # Of the inputs with their keys in order.
    inputs_sha256 = models.CharField(max_length=64)
    inputs = models.TextField()
    outputs = models.TextField(blank=True)
    expectations = models.TextField(blank=True)
    tags = models.TextField(blank=True)
    source = models.TextField(blank=True)
    # Of all these texts together.
    size_bytes = models.PositiveIntegerField()
    creator_name = models.CharField(max_length=MAX_PERSON, blank=True)
    updater_name = models.CharField(max_length=MAX_PERSON, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ProjectRowManager()

    class Meta:
        db_table = "evaluation_records"
        indexes = [
            # Read by the records of a dataset in the order they came, page by page,
            # and by how large a page is.
            models.Index(
                fields=["dataset", "id"],
                include=["size_bytes", "organization"],
                name="evaluation_records_of_dataset",
            ),
        ]
        constraints = [
            # Met by each upsert: the same inputs are one record of their dataset.
            models.UniqueConstraint(
                fields=["organization", "dataset", "inputs_sha256"],
                name="evaluation_records_inputs",
            ),
        ]

    def __str__(self) -> str:
        return self.record_id

    @property
    def record_id(self) -> str:
        """The id as MLflow writes it."""
        return f"{RECORD_ID_PREFIX}{self.pk.hex}"
