from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
)
from unfold.decorators import display

from registry.admin.charts import figures, is_curve
from registry.admin.parts import (
    SHOWN,
    StrictList,
    content,
    duration,
    files_panel,
    params_panel,
    run_badge,
    tags_panel,
    text,
    versions_panel,
)
from registry.admin.purging import Purgeable
from registry.admin.searching import SearchedByFilter
from registry.models import (
    LatestMetric,
    ModelVersion,
    Param,
    Run,
    RunInput,
    RunModel,
    RunTag,
)
from registry.search.fields import RUNS
from registry.services import runs
from registry.sql.curves import sample_curves
from tenants.admin import Dated, Restorable
from tenants.admin_lists import CreatedFilter, DeletedFilter
from tenants.admin_panels import Panel, link_to, number, stack, when

CURVES = 8
POINTS_OF_A_CURVE = 200


@admin.register(Run)
class RunAdmin(StrictList, Purgeable, Restorable, Dated, SearchedByFilter):
    """Runs with their packages: three queries for any page of any size."""

    list_display = (
        "title",
        "status_badge",
        "of_experiment",
        "files",
        "started",
        "took",
        "user_name",
    )
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("organization", AutocompleteSelectFilter),
        ("project", AutocompleteSelectFilter),
        ("experiment", AutocompleteSelectFilter),
        DeletedFilter,
        CreatedFilter,
    )
    list_select_related = ("organization", "project", "experiment")
    search_fields = ("name", "iid__exact")
    table = RUNS
    in_palette = True
    search_help_text = (
        "Run id, candidate number, start of the name, or a filter such as "
        "metrics.loss < 0.1 AND params.depth = '3'"
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("status_badge", "experiment", "of_project"),
                    ("started", "ended", "took"),
                    ("user_name", "iid", "state"),
                    ("run_id", "updated"),
                )
            },
        ),
        ("Metadata", {"fields": ("metadata",), "classes": ("collapse",)}),
    )

    delete_service = staticmethod(runs.delete_run)
    restore_service = staticmethod(runs.restore_run)

    @display(description="Run", header=True)
    def title(self, row: Run) -> list[Any]:
        deleted = " · deleted" if row.deleted_at else ""
        return [str(row), f"candidate {row.iid}{deleted}"]

    @display(description="Status")
    def status_badge(self, row: Run) -> str:
        return run_badge(row)

    @display(description="Experiment")
    def of_experiment(self, row: Run) -> str:
        where = f"{row.organization.slug} / {row.project.slug}"
        return stack(link_to(row.experiment), where)

    @display(description="Project")
    def of_project(self, row: Run) -> str:
        return link_to(row.project, f"{row.organization.slug} / {row.project.slug}")

    @display(description="Package")
    def files(self, row: Run) -> str:
        return content(row.package)

    @display(description="Started")
    def started(self, row: Run) -> str:
        return when(row.started_at)

    @display(description="Ended")
    def ended(self, row: Run) -> str:
        return when(row.ended_at)

    @display(description="Took")
    def took(self, row: Run) -> str:
        return duration(row)

    @display(description="Run id")
    def run_id(self, row: Run) -> str:
        return format_html('<code class="mp-code">{}</code>', row.pk.hex)

    def panels(self, request: HttpRequest, row: Run) -> list[Panel]:
        mine = {"organization_id": row.organization_id, "run_id": row.pk}
        metrics = list(LatestMetric.objects.filter(**mine).order_by("name")[:SHOWN])
        versions = ModelVersion.objects.with_deleted().filter(run_id=row.pk)
        return [
            *curves_panels(row, [m.name for m in metrics if m.step]),
            metrics_panel(metrics),
            params_panel(Param.objects.filter(**mine)),
            tags_panel(RunTag.objects.filter(**mine)),
            inputs_panel(RunInput.objects.filter(**mine)),
            models_panel(RunModel.objects.filter(**mine)),
            files_panel(row.package),
            versions_panel(versions, "Registered from this run"),
        ]


def curves_panels(run: Run, names: list[str]) -> list[Panel]:
    """Draw the first metrics that have a course; those of the machine come last."""
    names = sorted(names, key=lambda name: name.startswith("system/"))
    sampled = sample_curves(
        run._state.db or "default",
        run.organization_id,
        run.pk,
        names[:CURVES],
        points=POINTS_OF_A_CURVE,
    )
    curves = {n: sampled[n] for n in names if is_curve(sampled.get(n, []))}
    if not curves:
        return []
    note = f"{len(curves)} of {len(names)}, at most {POINTS_OF_A_CURVE} points each"
    return [Panel("Curves", html=figures(curves), wide=True, note=note)]


def metrics_panel(metrics: list[LatestMetric]) -> Panel:
    return Panel(
        "Latest metrics",
        ("Metric", "Value", "Step"),
        [[metric.name, number(metric.value), metric.step] for metric in metrics],
    )


def inputs_panel(inputs: QuerySet) -> Panel:
    rows = inputs.select_related("dataset").order_by("id")[:SHOWN]
    return Panel(
        "Inputs",
        ("Dataset", "Context", "Source"),
        [[used_data(row), context_of(row), text(row.dataset.source)] for row in rows],
    )


def models_panel(uses: QuerySet) -> Panel:
    rows = uses.select_related("logged_model").order_by("id")[:SHOWN]
    return Panel(
        "Logged models",
        ("Model", "Role", "Step", "Status"),
        [
            [
                link_to(row.logged_model),
                row.get_role_display(),
                row.step,
                row.logged_model.get_status_display(),
            ]
            for row in rows
        ],
    )


def used_data(row: RunInput) -> str:
    return stack(link_to(row.dataset, row.dataset.name), row.dataset.digest)


def context_of(row: RunInput) -> str:
    found = (t.get("value") for t in row.tags if t.get("key") == "mlflow.data.context")
    return str(next(found, ""))
