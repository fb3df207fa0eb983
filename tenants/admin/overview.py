from __future__ import annotations

from django.db.models import QuerySet

from tenants.admin_lists import BoundedPaginator
from tenants.admin_panels import Overview, Tile, list_url
from tenants.models import Organization, Project


def overview() -> Overview:
    return Overview(
        tiles=[
            tile(
                "Organizations",
                Organization.objects.all(),
                "tenants_organization",
                "domain",
            ),
            tile("Projects", Project.objects.all(), "tenants_project", "folder_open"),
        ]
    )


def tile(title: str, rows: QuerySet, model: str, icon: str) -> Tile:
    """Count up to 10,000 rows, beyond that the planner estimates."""
    total = BoundedPaginator(rows, 1).total
    return Tile(title, total, list_url(model), icon)
