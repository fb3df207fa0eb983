from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from tenants.admin import TenantAdmin
from tenants.admin_lists import ExactTextFilter
from tenants.admin_panels import badge, code, when

# By label: only mlops.jobs knows the queue.
Job = apps.get_model("procrastinate", "ProcrastinateJob")
OTHERS = ("ProcrastinateEvent", "ProcrastinateWorker", "ProcrastinatePeriodicDefer")
TONES = {
    "doing": "info",
    "succeeded": "success",
    "failed": "danger",
    "cancelled": "warning",
    "aborted": "warning",
}

# The queue brings an admin whose filters read all rows.
for model in (Job, *(apps.get_model("procrastinate", name) for name in OTHERS)):
    if admin.site.is_registered(model):
        admin.site.unregister(model)


class TaskFilter(ExactTextFilter):
    title = "task (whole name)"
    parameter_name = column = "task_name"


@admin.register(Job)
class JobAdmin(TenantAdmin):
    """What the worker has done and has still to do."""

    list_display = ("title", "status_badge", "queue_name", "attempts", "due", "given")
    list_filter = (("status", ChoicesDropdownFilter), TaskFilter)
    ordering = ("-id",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("task_name", "status_badge"),
                    ("queue_name", "priority", "attempts"),
                    ("due", "lock", "queueing_lock"),
                    "args",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).order_by("-id")

    @display(description="Job", header=True)
    def title(self, row: Any) -> list[str]:
        module, _, name = row.task_name.rpartition(".")
        return [name, f"{row.pk} · {module}"]

    @display(description="Status")
    def status_badge(self, row: Any) -> str:
        return badge(row.status, TONES.get(row.status, ""))

    @display(description="Due")
    def due(self, row: Any) -> str:
        return when(row.scheduled_at)

    @display(description="Arguments")
    def given(self, row: Any) -> str:
        words = ", ".join(f"{name}={value}" for name, value in row.args.items())
        return code(words[:120])
