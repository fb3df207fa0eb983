from __future__ import annotations

from datetime import UTC, datetime

from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Coalesce, Left

from registry.models.experiments import Experiment
from registry.querysets import ProjectRowManager, RunManager
from registry.relations import PREFIX, CandidatePackage
from tenants.models import (
    ALIVE,
    Organization,
    Personal,
    Project,
    SoftDeleted,
    TenantModel,
    TenantRow,
    purge_index,
)

# Where clients keep the name of who runs them.
USER_TAG = "mlflow.user"


class RunStatus(models.TextChoices):
    RUNNING = "RUNNING", "Running"
    SCHEDULED = "SCHEDULED", "Scheduled"
    FINISHED = "FINISHED", "Finished"
    FAILED = "FAILED", "Failed"
    KILLED = "KILLED", "Killed"


class Run(TenantModel, SoftDeleted):
    """One training execution, the candidate `iid` of its project.

    Times are milliseconds as the client sent them: MLflow allows any int64, more than
    a date can hold; `started_at` and `ended_at` are None for those.
    """

    project = models.ForeignKey(
        Project, models.RESTRICT, db_constraint=False, db_index=False
    )
    experiment = models.ForeignKey(
        Experiment,
        models.RESTRICT,
        related_name="runs",
        db_constraint=False,
        db_index=False,
    )
    iid = models.BigIntegerField("candidate number", editable=False)
    name = models.CharField(max_length=500, blank=True)
    status = models.CharField(
        max_length=9, choices=RunStatus, default=RunStatus.RUNNING
    )
    user_name = models.CharField(max_length=256, blank=True)
    start_time_ms = models.BigIntegerField(default=0)
    end_time_ms = models.BigIntegerField(null=True, blank=True)
    # Whose own it is: editors delete no others. On the hot path the column's default
    # says it (registry/migrations/0011_run_creators.py).
    created_by = models.UUIDField(null=True, editable=False)
    metadata = models.JSONField(default=dict, blank=True)

    personal = (Personal("user_name"),)
    package = CandidatePackage()
    objects = RunManager()

    class Meta:
        db_table = "experiment_runs"
        ordering = ["-id"]
        indexes = [
            # Read by the search of an experiment's runs, newest first, page by page.
            models.Index(
                fields=["experiment", "-start_time_ms", "id"],
                include=["organization"],
                name="experiment_runs_newest",
                condition=ALIVE,
            ),
            # Read by the same search where it asks for deleted runs, too.
            models.Index(
                fields=["experiment", "-start_time_ms", "id"],
                include=["organization"],
                name="experiment_runs_deleted",
                condition=Q(deleted_at__isnull=False),
            ),
            # Read by a search for a status, and by an order of ends: what else it asks
            # of a run lies in the index, too.
            models.Index(
                fields=["experiment", "status", "-start_time_ms", "id"],
                include=["organization", "end_time_ms"],
                name="experiment_runs_by_status",
                condition=ALIVE,
            ),
            # Read by the run list of a project (REST, admin), newest first.
            models.Index(
                fields=["project", "-id"],
                name="experiment_runs_of_project",
                condition=ALIVE,
            ),
            # Read by the purge.
            purge_index("experiment_runs"),
        ]
        constraints = [
            # Read by the candidate's number; a number is never handed out twice.
            models.UniqueConstraint(
                fields=["organization", "project", "iid"], name="experiment_runs_iid"
            ),
            models.CheckConstraint(
                condition=Q(status__in=RunStatus.values), name="experiment_runs_status"
            ),
            models.CheckConstraint(
                condition=Q(iid__gte=1), name="experiment_runs_iid_min"
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.id.hex

    @property
    def package_name(self) -> str:
        return f"{PREFIX}{self.iid}"

    @property
    def started_at(self) -> datetime | None:
        return moment(self.start_time_ms)

    @property
    def ended_at(self) -> datetime | None:
        return moment(self.end_time_ms)


def moment(milliseconds: int | None) -> datetime | None:
    """Return the moment, or None where there is none or no calendar holds it."""
    if not milliseconds:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


class BulkRow(TenantRow):
    """A row that comes by the hundred: the statement trigger that checks its run checks
    the organization too, where a key of its own would cost a look-up per row."""

    organization = models.ForeignKey(
        Organization,
        models.RESTRICT,
        db_index=False,
        db_constraint=False,
        editable=False,
    )

    class Meta:
        abstract = True


MAX_HEAD = 250


def head_of_value() -> models.GeneratedField:
    """Make the column that finds a value: an entry of an index holds no whole one.

    A column, and not an expression in the index: under row-level security only
    leakproof functions reach an index, and left() is none. By code points, so that a
    beginning of a text is a range of heads.
    """
    return models.GeneratedField(
        expression=Left("value", MAX_HEAD),
        output_field=models.CharField(max_length=MAX_HEAD, db_collation="C"),
        db_persist=True,
    )


class Param(BulkRow):
    """An immutable text of a run, such as a learning rate."""

    experiment_id = models.UUIDField(editable=False)
    run = models.ForeignKey(
        Run,
        models.RESTRICT,
        db_column="experiment_run_id",
        related_name="params",
        db_constraint=False,
        db_index=False,
    )
    key = models.CharField(max_length=250)
    value = models.CharField(max_length=6000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    head = head_of_value()

    objects = ProjectRowManager()

    class Meta:
        db_table = "run_params"
        indexes = [
            # Read by a search of an experiment's runs by a param.
            models.Index(
                fields=["experiment_id", "key", "head"],
                include=["run", "organization"],
                name="run_params_by_value",
            ),
        ]
        constraints = [
            # Read with the run; met by each repeated param.
            models.UniqueConstraint(
                fields=["organization", "run", "key"], name="run_params_key"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


class RunTag(BulkRow):
    """A mutable text label of a run."""

    experiment_id = models.UUIDField(editable=False)
    run = models.ForeignKey(
        Run,
        models.RESTRICT,
        db_column="experiment_run_id",
        related_name="tags",
        db_constraint=False,
        db_index=False,
    )
    key = models.CharField(max_length=250)
    value = models.CharField(max_length=8000, blank=True)
    head = head_of_value()

    personal = (Personal("value", by="run__created_by", where={"key": USER_TAG}),)

    objects = ProjectRowManager()

    class Meta:
        db_table = "run_tags"
        indexes = [
            # Read by a search of an experiment's runs by a tag.
            models.Index(
                fields=["experiment_id", "key", "head"],
                include=["run", "organization"],
                name="run_tags_by_value",
            ),
        ]
        constraints = [
            # Read with the run; met by each upsert.
            models.UniqueConstraint(
                fields=["organization", "run", "key"], name="run_tags_key"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


class Dataset(TenantModel):
    """A reference to data that runs of an experiment used."""

    experiment = models.ForeignKey(
        Experiment, models.RESTRICT, db_constraint=False, db_index=False
    )
    name = models.CharField(max_length=500)
    digest = models.CharField(max_length=36)
    source_type = models.CharField(max_length=36)
    source = models.TextField()
    schema = models.TextField(blank=True)
    profile = models.TextField(blank=True)

    objects = ProjectRowManager()

    class Meta:
        db_table = "datasets"
        constraints = [
            # Met by each input: the same data is one row of its experiment.
            models.UniqueConstraint(
                fields=["organization", "experiment", "name", "digest"],
                name="datasets_name_digest",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.digest})"


def context_of_use() -> models.GeneratedField:
    """Make the column that says what a run used a dataset for, "" where nobody did."""
    context = Func(
        F("tags"),
        template=(
            "jsonb_path_query_first(%(expressions)s, "
            "'$[*] ? (@.key == \"mlflow.data.context\").value') #>> '{}'"
        ),
    )
    return models.GeneratedField(
        expression=Coalesce(context, Value("")),
        output_field=models.TextField(db_collation="C"),
        db_persist=True,
    )


class RunInput(TenantRow):
    """The use of a dataset by a run."""

    run = models.ForeignKey(
        Run,
        models.RESTRICT,
        db_column="experiment_run_id",
        related_name="inputs",
        db_constraint=False,
        db_index=False,
    )
    dataset = models.ForeignKey(
        Dataset,
        models.RESTRICT,
        related_name="inputs",
        db_constraint=False,
        db_index=False,
    )
    # [{"key": "mlflow.data.context", "value": "training"}, …], as the client sent it.
    tags = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    dataset_context = context_of_use()

    objects = ProjectRowManager()

    class Meta:
        db_table = "run_inputs"
        indexes = [
            # Read by the list of an experiment's datasets, which hops from context to
            # context, and by a search for the runs that used one.
            models.Index(
                fields=["dataset", "dataset_context"],
                include=["run", "organization"],
                name="run_inputs_by_dataset",
            ),
        ]
        constraints = [
            # Read with the run; a dataset enters a run once.
            models.UniqueConstraint(
                fields=["organization", "run", "dataset"], name="run_inputs_dataset"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.dataset_id} in {self.run_id}"


class RunDocument(models.Model):
    """What MLflow's protocol says of a run at rest, built when it was last read.

    Derived: triggers throw it away with each write to the run, so whoever reads one
    reads the run. `id` is the run's.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    organization_id = models.UUIDField(editable=False)
    document = models.TextField()

    objects = ProjectRowManager()

    class Meta:
        db_table = "run_documents"

    def __str__(self) -> str:
        return self.id.hex
