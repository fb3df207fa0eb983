from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display

from registry.admin.parts import run_line, tags_panel, text
from registry.admin.purging import Purgeable
from registry.admin.searching import SearchedByFilter
from registry.models import Dataset, Experiment, ExperimentTag, Run
from registry.models.runs import moment
from registry.search.fields import EXPERIMENTS
from registry.services import experiments
from tenants.admin import Dated, Restorable, TenantAdmin
from tenants.admin_lists import CreatedFilter, DeletedFilter
from tenants.admin_panels import Panel, link, link_to, list_url, stack, when
from tenants.models import Project


@admin.register(Experiment)
class ExperimentAdmin(Purgeable, Restorable, Dated, SearchedByFilter):
    list_display = ("title", "where", "runs", "last_run", "state", "created")
    list_filter = (
        ("organization", AutocompleteSelectFilter),
        ("project", AutocompleteSelectFilter),
        DeletedFilter,
        CreatedFilter,
    )
    list_select_related = ("organization", "project")
    search_fields = ("name", "iid__exact")
    table = EXPERIMENTS
    in_palette = True
    search_help_text = (
        "Id, number, start of the name, or a filter such as tags.team = 'risk'"
    )
    autocomplete_fields = ("project",)
    editable = ("name",)
    add_form = ModelForm
    add_fieldsets = ((None, {"fields": ("project", "name")}),)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "iid"),
                    ("project", "of_organization"),
                    "artifact_location",
                    ("state", "created", "updated"),
                    "key",
                )
            },
        ),
    )

    delete_service = staticmethod(experiments.delete_experiment)
    restore_service = staticmethod(experiments.restore_experiment)
    consequence = "Its runs go with it, and come back with it."

    def create_row(self, *, project: Project, **values: Any) -> Experiment:
        return experiments.create_experiment(project, **values)

    def change_row(self, row: Experiment, **changes: Any) -> Experiment:
        return experiments.rename_experiment(row, **changes)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        # By experiment_runs_newest, one look per row.
        newest = Run.objects.filter(experiment_id=OuterRef("pk"))
        newest = newest.order_by("-start_time_ms")
        started = Subquery(newest.values("start_time_ms")[:1])
        return super().get_queryset(request).annotate(last_started_ms=started)

    def label_of(self, row: Experiment) -> str:
        return f"{row.organization.slug} / {row.project.slug} / {row.name}"

    @display(description="Experiment", header=True)
    def title(self, row: Experiment) -> list[str]:
        return [row.name, f"experiment {row.iid}"]

    @display(description="Runs")
    def runs(self, row: Experiment) -> str:
        return link(list_url("registry_run", experiment__id__exact=row.pk), "Show runs")

    @display(description="Newest run")
    def last_run(self, row: Any) -> str:
        return when(moment(row.last_started_ms))

    def panels(self, request: HttpRequest, row: Experiment) -> list[Panel]:
        runs = Run.objects.filter(experiment_id=row.pk)
        tags = ExperimentTag.objects.filter(
            organization_id=row.organization_id, experiment_id=row.pk
        )
        return [
            Panel(
                "Newest runs",
                ("Run", "Status", "Started", "Took"),
                [run_line(run) for run in runs.order_by("-start_time_ms")[:20]],
                link=list_url("registry_run", experiment__id__exact=row.pk),
            ),
            tags_panel(tags),
        ]


@admin.register(Dataset)
class DatasetAdmin(Dated, TenantAdmin):
    list_display = ("title", "of_experiment", "source_type", "created")
    list_filter = (
        ("organization", AutocompleteSelectFilter),
        ("experiment", AutocompleteSelectFilter),
        CreatedFilter,
    )
    list_select_related = ("organization", "experiment")
    search_fields = ("name", "digest")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "digest"),
                    ("experiment", "source_type"),
                    "source",
                    "schema",
                    "profile",
                    ("created", "key"),
                )
            },
        ),
    )

    @display(description="Dataset")
    def title(self, row: Dataset) -> str:
        return stack(row.name, row.digest)

    @display(description="Experiment")
    def of_experiment(self, row: Dataset) -> str:
        return stack(link_to(row.experiment), row.organization.slug)

    @display(description="Source")
    def source(self, row: Dataset) -> str:
        return text(row.source)
