from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display

from registry.admin.facts import PartAdmin
from registry.admin.parts import tags_panel, text
from registry.admin.searching import SearchedByFilter
from registry.models import (
    EvaluationDataset,
    EvaluationDatasetExperiment,
    EvaluationDatasetTag,
    EvaluationRecord,
)
from registry.search.fields import EVALUATION_DATASETS
from registry.services import evaluation_datasets
from tenants.admin import Dated, Restorable
from tenants.admin_lists import CreatedFilter, DeletedFilter
from tenants.admin_panels import Panel, code, link_to, list_url, size, stack, when

RECORDS_SHOWN = 50
# Of each part of a record on its own page.
LONGEST = 20_000


@admin.register(EvaluationDataset)
class EvaluationDatasetAdmin(Restorable, Dated, SearchedByFilter):
    """Data that models are evaluated with; clients are who writes it."""

    list_display = ("title", "where", "records", "last_change", "state", "created")
    list_filter = (
        ("organization", AutocompleteSelectFilter),
        ("project", AutocompleteSelectFilter),
        DeletedFilter,
        CreatedFilter,
    )
    list_select_related = ("organization", "project")
    search_fields = ("name",)
    table = EVALUATION_DATASETS
    search_help_text = "Id, start of the name, or a filter such as tags.team = 'risk'"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "digest", "records"),
                    ("project", "of_organization"),
                    ("creator_name", "updater_name"),
                    ("state", "created", "updated"),
                    ("id_of_clients", "key"),
                )
            },
        ),
    )

    delete_service = staticmethod(evaluation_datasets.delete_evaluation_dataset)
    restore_service = staticmethod(evaluation_datasets.restore_evaluation_dataset)
    consequence = "Its records stay, and come back with it."

    def label_of(self, row: EvaluationDataset) -> str:
        return f"{row.organization.slug} / {row.project.slug} / {row.name}"

    @display(description="Evaluation dataset")
    def title(self, row: EvaluationDataset) -> str:
        return stack(row.name, row.digest)

    @display(description="Records")
    def records(self, row: EvaluationDataset) -> str:
        return f"{row.record_count or 0:,}"

    @display(description="Last change")
    def last_change(self, row: EvaluationDataset) -> str:
        return stack(when(row.updated_at), row.updater_name)

    @display(description="Dataset id")
    def id_of_clients(self, row: EvaluationDataset) -> str:
        return code(row.dataset_id)

    def panels(self, request: HttpRequest, row: EvaluationDataset) -> list[Panel]:
        mine = {"organization_id": row.organization_id, "dataset_id": row.pk}
        return [
            fields_panel(row),
            experiments_panel(EvaluationDatasetExperiment.objects.filter(**mine)),
            tags_panel(EvaluationDatasetTag.objects.filter(**mine)),
            records_panel(row, EvaluationRecord.objects.filter(**mine)),
        ]


def fields_panel(row: EvaluationDataset) -> Panel:
    """What the schema says: the parts of records, and the types of their fields."""
    schema = json.loads(row.schema) if row.schema else {}
    lines = []
    for part in ("inputs", "outputs", "expectations"):
        known = schema.get(part, {})
        named = known.items() if isinstance(known, dict) else [("", known)]
        lines += [[part, text(name), kind] for name, kind in named]
    return Panel("Fields", ("Part", "Field", "Type"), lines)


def experiments_panel(links: QuerySet) -> Panel:
    rows = links.select_related("experiment").order_by("id")[:RECORDS_SHOWN]
    return Panel(
        "Experiments",
        ("Experiment", "Number"),
        [[link_to(row.experiment), row.experiment.iid] for row in rows],
    )


def records_panel(dataset: EvaluationDataset, records: QuerySet) -> Panel:
    return Panel(
        "First records",
        ("Inputs", "Expectations", "Size", "Changed"),
        [
            [
                link_to(row, text(row.inputs)),
                text(row.expectations),
                size(row.size_bytes),
                when(row.updated_at),
            ]
            for row in records.order_by("id")[:RECORDS_SHOWN]
        ],
        link=list_url("registry_evaluationrecord", dataset=dataset.pk),
        wide=True,
    )


# Rows below a dataset


@admin.register(EvaluationDatasetTag)
class EvaluationDatasetTagAdmin(PartAdmin):
    parent = "dataset"


@admin.register(EvaluationDatasetExperiment)
class EvaluationDatasetExperimentAdmin(PartAdmin):
    parent = "dataset"

    def get_list_select_related(self, request: HttpRequest) -> list[str]:
        return ["dataset", "experiment"]

    @display(description="Experiment")
    def name_of(self, row: EvaluationDatasetExperiment) -> str:
        return link_to(row.experiment)

    @display(description="Number")
    def value_of(self, row: EvaluationDatasetExperiment) -> int:
        return row.experiment.iid


@admin.register(EvaluationRecord)
class EvaluationRecordAdmin(PartAdmin):
    parent = "dataset"
    list_display = ("name_of", "value_of", "bytes", "belongs_to")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        parts = ("inputs_text", "outputs_text", "value_of", "tags_text", "source_text")
        about = ("belongs_to", ("bytes", "creator_name", "updater_name"), "key")
        return [(None, {"fields": [*parts, *about]})]

    @display(description="Inputs")
    def name_of(self, row: EvaluationRecord) -> str:
        return text(row.inputs)

    @display(description="Expectations")
    def value_of(self, row: EvaluationRecord) -> str:
        return text(row.expectations)

    @display(description="Inputs")
    def inputs_text(self, row: EvaluationRecord) -> str:
        return text(row.inputs, LONGEST)

    @display(description="Outputs")
    def outputs_text(self, row: EvaluationRecord) -> str:
        return text(row.outputs, LONGEST)

    @display(description="Tags")
    def tags_text(self, row: EvaluationRecord) -> str:
        return text(row.tags, LONGEST)

    @display(description="Source")
    def source_text(self, row: EvaluationRecord) -> str:
        return text(row.source, LONGEST)

    @display(description="Size")
    def bytes(self, row: EvaluationRecord) -> str:
        return size(row.size_bytes)
