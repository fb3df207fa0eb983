from __future__ import annotations

from collections import Counter
from typing import Any

from registry.admin.charts import shares
from registry.admin.parts import (
    RUN_TONES,
    deployment_badge,
    run_line,
    version_name,
)
from registry.models import Deployment, ModelVersion, RegisteredModel, Run
from tenants.admin import tile
from tenants.admin_panels import Overview, Panel, link_to, list_url, stack, when

NEWEST = 200
RELATED = ("organization", "project", "experiment")


def overview() -> Overview:
    """The newest runs and deployments; no count reads more than 10,000 rows."""
    return Overview(
        tiles=[
            tile("Runs", Run.objects.all(), "registry_run", "directions_run"),
            tile(
                "Models",
                RegisteredModel.objects.all(),
                "registry_registeredmodel",
                "deployed_code",
            ),
            tile(
                "Versions",
                ModelVersion.objects.all(),
                "registry_modelversion",
                "history",
            ),
        ],
        panels=[runs_panel(), deployments_panel()],
    )


def runs_panel() -> Panel:
    newest = list(Run.objects.select_related(*RELATED).order_by("-id")[:NEWEST])
    counts = Counter(run.get_status_display() for run in newest)
    return Panel(
        "Newest runs",
        ("Run", "Status", "Experiment", "Started"),
        [recent_line(run) for run in newest[:8]],
        html=shares([(n.lower(), counts[n], tone) for n, tone in RUN_TONES.items()]),
        link=list_url("registry_run"),
        note=f"the last {len(newest)} by status" if newest else "",
        rank=1,
    )


def recent_line(run: Run) -> list[Any]:
    name, status, started, _ = run_line(run)
    where = f"{run.organization.slug} / {run.project.slug}"
    return [name, status, stack(link_to(run.experiment), where), started]


def deployments_panel() -> Panel:
    newest = Deployment.objects.select_related(
        "project", "organization", "model_version__registered_model"
    )
    return Panel(
        "Deployments",
        ("Deployment", "Status", "Model version", "Deployed"),
        [deployment_line(row) for row in newest.order_by("-id")[:9]],
        link=list_url("registry_deployment"),
        rank=3,
    )


def deployment_line(row: Deployment) -> list[Any]:
    where = f"{row.environment} · {row.organization.slug} / {row.project.slug}"
    return [
        stack(link_to(row, row.name), where),
        deployment_badge(row),
        version_name(row.model_version),
        when(row.deployed_at),
    ]
