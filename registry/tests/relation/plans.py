"""How PostgreSQL finds the packages of a page: by which index, in how many pages."""

from __future__ import annotations

import json
from collections.abc import Iterator

from registry.models import Run
from registry.querysets import PackageQuerySet

BUFFERS_PER_RUN = 8

FILL_RUNS = """
INSERT INTO experiment_runs (id, organization_id, project_id, experiment_id, iid, name,
                             status, user_name, start_time_ms, metadata, created_at,
                             updated_at)
SELECT gen_random_uuid(), %s, %s, %s, n, 'run', 'FINISHED', '', 0, '{}', now(), now()
FROM generate_series(1, %s) AS n
"""
FILL_PACKAGES = """
INSERT INTO packages (id, organization_id, project_id, name, version, type, status,
                      metadata, created_at, updated_at)
SELECT gen_random_uuid(), p.organization_id, p.id, 'ml_candidate_' || n, '-',
       'candidate', 'default', '{}', now(), now()
FROM projects p, generate_series(1, %s) AS n
WHERE p.id = ANY(%s)
"""


def plan_of(queryset) -> dict:
    text = queryset.explain(format="json", analyze=True, buffers=True)
    return json.loads(text)[0]["Plan"]


def nodes_of(plan: dict) -> Iterator[dict]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes_of(child)


def plan_faults(plan: dict, runs: int) -> list[str]:
    nodes = list(nodes_of(plan))
    faults = [
        f"sequential scan of {node['Relation Name']}"
        for node in nodes
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] == "packages"
    ]
    used = {node["Index Name"] for node in nodes if "Index Name" in node}
    # For a tenth of a project's packages, reading all of them by project is as cheap.
    fitting = {"packages_live_name"} | (
        {"packages_of_project"} if runs > 200 else set()
    )
    if not used & fitting:
        faults.append(f"packages_live_name is not used for {runs} runs, but {used}")
    buffers = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    if buffers > BUFFERS_PER_RUN * runs + 20:  # 20: what planning one page costs
        faults.append(f"{buffers} buffers for {runs} runs")
    return faults


def packages_for(page) -> PackageQuerySet:
    """The very query that a prefetch runs for this page."""
    instances = list(page)
    return Run.package.get_prefetch_querysets(instances)[0]
