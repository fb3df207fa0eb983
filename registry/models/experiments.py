from __future__ import annotations

from django.db import models
from django.db.models import Q

from registry.models.tags import Tag
from registry.querysets import ExperimentManager
from tenants.models import ALIVE, Project, SoftDeleted, TenantModel, purge_index

DEFAULT_EXPERIMENT_IID = 0


class Experiment(TenantModel, SoftDeleted):
    """A named series of runs; `iid` is its number in the project, 0 is "Default"."""

    project = models.ForeignKey(
        Project, models.RESTRICT, db_constraint=False, db_index=False
    )
    iid = models.BigIntegerField("number", editable=False)
    name = models.CharField(max_length=500)
    artifact_location = models.CharField(max_length=2048, blank=True)
    created_by = models.UUIDField(null=True, editable=False)

    objects = ExperimentManager()

    class Meta:
        db_table = "experiments"
        ordering = ["-id"]
        indexes = [
            # Read by the experiment list of a project, newest first.
            models.Index(
                fields=["project", "-created_at", "iid"],
                name="experiments_of_project",
                condition=ALIVE,
            ),
            # Read by the purge.
            purge_index("experiments"),
        ]
        constraints = [
            # Read by every request that names an experiment by its number.
            models.UniqueConstraint(
                fields=["organization", "project", "iid"], name="experiments_iid"
            ),
            # Not partial: MLflow's clients rely on a deleted experiment's name
            # staying taken.
            models.UniqueConstraint(
                fields=["organization", "project", "name"], name="experiments_name"
            ),
            models.CheckConstraint(condition=Q(iid__gte=0), name="experiments_iid_min"),
        ]

    def __str__(self) -> str:
        return self.name


class ExperimentTag(Tag):
    """A mutable text label of an experiment."""

    experiment = models.ForeignKey(
        Experiment,
        models.RESTRICT,
        related_name="tags",
        db_constraint=False,
        db_index=False,
    )

    class Meta:
        db_table = "experiment_tags"
        constraints = [
            # Read with the experiment; met by each upsert.
            models.UniqueConstraint(
                fields=["organization", "experiment", "key"],
                name="experiment_tags_key",
            ),
        ]
