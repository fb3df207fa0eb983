from __future__ import annotations

from django.db import models
from django.db.models import Q

from registry.models.experiments import Experiment
from registry.models.runs import BulkRow, Run
from registry.models.tags import Tag
from registry.querysets import LoggedModelManager, ProjectRowManager
from registry.relations import MODEL_PREFIX, CandidatePackage
from tenants.models import (
    ALIVE,
    Project,
    SoftDeleted,
    TenantModel,
    TenantRow,
    purge_index,
)

MODEL_ID_PREFIX = "m-"


class LoggedModelStatus(models.TextChoices):
    PENDING = "PENDING", "Pending"
    READY = "READY", "Ready"
    FAILED = "FAILED", "Failed"


class LoggedModel(TenantModel, SoftDeleted):
    """A model as a run logs it; its files are a package of their own.

    Where they lie is told by the experiment and the id, and is stored nowhere.
    """

    project = models.ForeignKey(
        Project, models.RESTRICT, db_constraint=False, db_index=False
    )
    experiment = models.ForeignKey(
        Experiment,
        models.RESTRICT,
        related_name="logged_models",
        db_constraint=False,
        db_index=False,
    )
    name = models.CharField(max_length=500)
    model_type = models.CharField("type", max_length=500, blank=True)
    status = models.CharField(
        max_length=7, choices=LoggedModelStatus, default=LoggedModelStatus.PENDING
    )
    status_message = models.CharField(max_length=1000, blank=True)
    source_run = models.ForeignKey(
        Run,
        models.RESTRICT,
        null=True,
        blank=True,
        related_name="logged_models",
        db_constraint=False,
        db_index=False,
    )
    # What a client names as its run and is no id of one: MLflow takes any text.
    source_run_text = models.CharField(max_length=32, blank=True)
    created_by = models.UUIDField(null=True, editable=False)

    package = CandidatePackage()
    # Newest first, where whoever shows the model has prefetched them.
    newest_metrics: list[LoggedModelMetric]

    objects = LoggedModelManager()

    class Meta:
        db_table = "logged_models"
        ordering = ["-id"]
        indexes = [
            # Read by the search of an experiment's models, newest first, by pages.
            models.Index(
                fields=["experiment", "-created_at", "id"],
                name="logged_models_newest",
                condition=ALIVE,
            ),
            # Read by clients that look for the model of a run by its name.
            models.Index(
                fields=["experiment", "name", "-created_at", "id"],
                name="logged_models_named",
                condition=ALIVE,
            ),
            # Read by the list of a project (REST, admin), newest first.
            models.Index(
                fields=["project", "-id"],
                name="logged_models_of_project",
                condition=ALIVE,
            ),
            # Read by a run's page: what it has logged.
            models.Index(
                fields=["source_run", "-id"],
                name="logged_models_of_run",
                condition=Q(source_run__isnull=False),
            ),
            # Read by the purge.
            purge_index("logged_models"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=LoggedModelStatus.values),
                name="logged_models_status",
            ),
            models.CheckConstraint(condition=~Q(name=""), name="logged_models_name"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def model_id(self) -> str:
        """The id as MLflow writes it."""
        return f"{MODEL_ID_PREFIX}{self.pk.hex}"

    @property
    def package_name(self) -> str:
        return f"{MODEL_PREFIX}{self.pk.hex}"

    @property
    def artifact_uri(self) -> str:
        """Where clients read and write the files; may query the experiment."""
        root = self.experiment.artifact_location.rstrip("/")
        return f"{root}/models/{self.model_id}/artifacts"


class LoggedModelParam(BulkRow):
    """An immutable text of a logged model."""

    logged_model = models.ForeignKey(
        LoggedModel,
        models.RESTRICT,
        related_name="params",
        db_constraint=False,
        db_index=False,
    )
    key = models.CharField(max_length=250)
    value = models.CharField(max_length=6000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProjectRowManager()

    class Meta:
        db_table = "logged_model_params"
        constraints = [
            # Read with the model; met by each repeated param.
            models.UniqueConstraint(
                fields=["organization", "logged_model", "key"],
                name="logged_model_params_key",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


class LoggedModelTag(Tag):
    """A mutable text label of a logged model."""

    logged_model = models.ForeignKey(
        LoggedModel,
        models.RESTRICT,
        related_name="tags",
        db_constraint=False,
        db_index=False,
    )

    class Meta:
        db_table = "logged_model_tags"
        constraints = [
            # Read with the model; met by each upsert.
            models.UniqueConstraint(
                fields=["organization", "logged_model", "key"],
                name="logged_model_tags_key",
            ),
        ]


class LoggedModelMetric(models.Model):
    """One point that a run logged of a model, a fact: its id is derived."""

    id = models.UUIDField(primary_key=True, editable=False)
    organization_id = models.UUIDField(editable=False)
    logged_model = models.ForeignKey(
        LoggedModel,
        models.RESTRICT,
        related_name="metrics",
        db_constraint=False,
        db_index=False,
    )
    run = models.ForeignKey(
        Run,
        models.RESTRICT,
        db_column="experiment_run_id",
        related_name="model_metrics",
        db_constraint=False,
        db_index=False,
    )
    name = models.CharField(max_length=250, db_column="metric_name")
    value = models.FloatField()
    timestamp_ms = models.BigIntegerField()
    step = models.BigIntegerField(default=0)
    dataset_name = models.CharField(max_length=500, blank=True)
    dataset_digest = models.CharField(max_length=36, blank=True)

    objects = ProjectRowManager()

    class Meta:
        db_table = "logged_model_metrics"
        indexes = [
            # Read with the model: its newest points, ids being ordered by time.
            models.Index(
                fields=["logged_model", "-id"], name="logged_model_metrics_newest"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}={self.value} at step {self.step}"


class ModelRole(models.TextChoices):
    INPUT = "input", "input"
    OUTPUT = "output", "output"


class RunModel(TenantRow):
    """What a run has to do with a logged model: it used it, or brought it forth."""

    run = models.ForeignKey(
        Run,
        models.RESTRICT,
        db_column="experiment_run_id",
        related_name="models",
        db_constraint=False,
        db_index=False,
    )
    logged_model = models.ForeignKey(
        LoggedModel,
        models.RESTRICT,
        related_name="uses",
        db_constraint=False,
        db_index=False,
    )
    role = models.CharField(max_length=6, choices=ModelRole)
    # Of an output; an input has none, which is 0.
    step = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProjectRowManager()

    class Meta:
        db_table = "run_models"
        indexes = [
            # Read by a model's page: which runs used it or brought it forth.
            models.Index(
                fields=["organization", "logged_model"], name="run_models_of_model"
            ),
        ]
        constraints = [
            # Read with the run; a repeated request stores nothing.
            models.UniqueConstraint(
                fields=["organization", "run", "role", "logged_model", "step"],
                name="run_models_once",
            ),
            models.CheckConstraint(
                condition=Q(role__in=ModelRole.values), name="run_models_role"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.logged_model_id} of {self.run_id}"
