"""What can be searched for, by entity: tables, and nothing that runs.

A name as it may be written stands left, what it means stands right. MLflow's names
differ from entity to entity; so do the prefixes before a dot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TypeAlias

from django.db.models import Case, IntegerField, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import NullIf

from registry.models import LoggedModelStatus
from registry.models.runs import MAX_HEAD
from registry.search.expressions import artifact_uri

NUMERIC = ("=", "!=", ">", ">=", "<", "<=")
TEXTUAL = ("=", "!=", "LIKE", "ILIKE")
LISTED = (*TEXTUAL, "IN", "NOT IN")
EXACT = ("=", "!=", "IN", "NOT IN")
NULLS = ("IS NULL", "IS NOT NULL")


class Kind(Enum):
    """How a value is written and what it is compared with."""

    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    # Stored as a date and time, written as milliseconds.
    MOMENT = "moment"
    # A UUID, written as hexadecimal digits, maybe behind a prefix.
    KEY = "key"
    # A whole number, written as text.
    LABEL = "label"


@dataclass(frozen=True, slots=True)
class Field:
    """An attribute of the entity: a column, or what is computed from some."""

    path: str | Combinable
    kind: Kind = Kind.TEXT
    operators: tuple[str, ...] = TEXTUAL
    # In an order, rows without a value come last.
    is_nullable: bool = False
    # Of a key; without one, a key that is missing compares as empty text.
    prefix: str = ""
    # All values that there are, if they are few.
    choices: tuple[str, ...] = ()
    # Of a number: what is no whole one is a mistake, not a border between two.
    is_whole: bool = False
    takes_quoted: bool = False
    # Tells all rows of a project apart, so what stands behind it orders nothing.
    is_unique: bool = False


@dataclass(frozen=True, slots=True)
class Child:
    """Values by key, in a table of their own: metrics, params, tags."""

    relation: str
    parent: str
    key: str = "key"
    kind: Kind = Kind.TEXT
    operators: tuple[str, ...] = (*TEXTUAL, *NULLS)
    # Its rows say which experiment they belong to, and are found by that.
    is_narrow: bool = False
    # Many rows may have one key: the newest one's value is what is meant.
    newest_first: tuple[str, ...] = ()
    # How much of a value an index holds, in a column of its own.
    head: int = 0
    # Fixed where an attribute is kept as a child, as the name of a run is.
    fixed_key: str = ""


@dataclass(frozen=True, slots=True)
class InputField:
    """A field of the datasets that a run used."""

    lookup: str
    operators: tuple[str, ...] = LISTED


Searched: TypeAlias = Field | Child | InputField


@dataclass(frozen=True, slots=True)
class Table:
    """All that may stand in a filter and an order of one entity."""

    # What may stand before a dot, and whose keys stand behind it.
    prefixes: Mapping[str, str]
    attributes: Mapping[str, Field | Child]
    orders: Mapping[str, Field]
    children: Mapping[str, Child]
    default_order: tuple[str, ...]
    # What is put behind an order that somebody asked for.
    ties: tuple[str, ...]
    # Behind all of that come the keys, which tell all rows apart.
    newest_key_first: bool = False
    inputs: Mapping[str, InputField] = field(default_factory=dict)
    # Whose keys an order may name, besides attributes.
    ordered_children: frozenset[str] = frozenset()
    # Texts may be written without quotes.
    takes_bare_texts: bool = False
    # A field that an order names twice is a mistake, not a repetition.
    refuses_repeated: bool = True
    # Rows with this tag are found only by who asks for them.
    hidden_by: tuple[str, str] | None = None
    # Where the tag of a row hides its siblings, too: the field that joins them.
    hidden_with: str = "pk"
    unknown_prefix: str = (
        "Invalid entity type '{prefix}'. Valid entity types are {prefixes}"
    )


def of_prefixes(**nouns: str) -> Mapping[str, str]:
    return {prefix: noun for noun, text in nouns.items() for prefix in text.split()}


CONTEXT = "dataset_context"
RUN_NAME_TAG = "mlflow.runName"
PROMPT_TAG = ("mlflow.prompt.is_prompt", "true")


# Runs

PRIMARY_KEY = Field("pk", Kind.KEY, LISTED, is_unique=True)
RUN_KEY = PRIMARY_KEY
RUN_STATUS = Field("status")
RUN_URI = Field(artifact_uri("experiment__"))
RUN_USER = Field("user_name")
STARTED = Field("start_time_ms", Kind.INTEGER, NUMERIC)
ENDED = Field("end_time_ms", Kind.INTEGER, NUMERIC, is_nullable=True)
RUN_NAME = Field("name")
RUN_TAGS = Child("tags", "run", is_narrow=True, head=MAX_HEAD)
NAME_IN_TAG = replace(RUN_TAGS, operators=TEXTUAL, fixed_key=RUN_NAME_TAG)
OF_RUNS: Mapping[str, Field] = {
    "run_id": RUN_KEY,
    "status": RUN_STATUS,
    "artifact_uri": RUN_URI,
    "user_id": RUN_USER,
    "start_time": STARTED,
    "end_time": ENDED,
    "created": STARTED,
    "Created": STARTED,
}
RUNS = Table(
    prefixes=of_prefixes(
        metric="metric metrics",
        parameter="parameter parameters param params",
        tag="tag tags",
        attribute="attribute attributes attr run",
        dataset="dataset datasets",
    ),
    attributes={
        **OF_RUNS,
        **dict.fromkeys(("run_name", "run name", "Run name", "Run Name"), NAME_IN_TAG),
    },
    orders={**OF_RUNS, "run_name": RUN_NAME},
    children={
        "metric": Child(
            "latest_metrics", "run", "name", Kind.NUMBER, NUMERIC, is_narrow=True
        ),
        "parameter": Child("params", "run", is_narrow=True, head=MAX_HEAD),
        "tag": RUN_TAGS,
    },
    inputs={
        "name": InputField("dataset__name"),
        "digest": InputField("dataset__digest"),
        "context": InputField(CONTEXT),
    },
    ordered_children=frozenset({"metric", "parameter", "tag"}),
    default_order=("start_time DESC", "run_id"),
    ties=("start_time DESC", "run_id"),
    unknown_prefix="Invalid entity type '{prefix}'. Valid values are {nouns}",
)


# Experiments

OF_EXPERIMENTS: Mapping[str, Field] = {
    "name": Field("name"),
    "experiment_id": Field("iid", Kind.LABEL, EXACT, is_unique=True),
    "creation_time": Field("created_at", Kind.MOMENT, NUMERIC, is_whole=True),
    "last_update_time": Field("updated_at", Kind.MOMENT, NUMERIC, is_whole=True),
}
EXPERIMENTS = Table(
    prefixes=of_prefixes(attribute="attribute attributes", tag="tag tags"),
    attributes=OF_EXPERIMENTS,
    orders=OF_EXPERIMENTS,
    children={"tag": Child("tags", "experiment")},
    default_order=("creation_time DESC", "experiment_id"),
    ties=("experiment_id DESC",),
    refuses_repeated=False,
)


# Registered models

MODEL_NAME = Field("name", operators=LISTED)
MODEL_UPDATED = Field("updated_at", Kind.MOMENT, NUMERIC)
MODELS = Table(
    prefixes=of_prefixes(attribute="attribute", tag="tag tags"),
    attributes={"name": MODEL_NAME},
    orders={
        "name": MODEL_NAME,
        "timestamp": MODEL_UPDATED,
        "last_updated_timestamp": MODEL_UPDATED,
    },
    children={"tag": Child("tags", "registered_model")},
    default_order=("name",),
    ties=("name",),
    hidden_by=PROMPT_TAG,
)


# Versions of registered models

VERSION_NAME = Field("registered_model__name", operators=LISTED)
VERSION_NUMBER = Field(
    "version", Kind.INTEGER, NUMERIC, is_whole=True, takes_quoted=True
)
VERSIONS = Table(
    prefixes=of_prefixes(attribute="attribute", tag="tag tags"),
    attributes={
        "name": VERSION_NAME,
        "version_number": VERSION_NUMBER,
        "run_id": Field("run_id", Kind.KEY, LISTED),
        "source_path": Field("source"),
    },
    orders={
        "name": VERSION_NAME,
        "version_number": VERSION_NUMBER,
        "creation_timestamp": Field("created_at", Kind.MOMENT, NUMERIC),
        "last_updated_timestamp": Field("updated_at", Kind.MOMENT, NUMERIC),
    },
    children={"tag": Child("tags", "model_version")},
    default_order=("last_updated_timestamp DESC", "name", "version_number DESC"),
    ties=("name", "version_number DESC"),
    hidden_by=PROMPT_TAG,
    hidden_with="registered_model_id",
)


# Logged models

# As models live through them, and as MLflow numbers and orders them.
STATUSES = ("UNSPECIFIED", *LoggedModelStatus.values)
STATUS_ORDER = Case(
    *(When(status=word, then=Value(number)) for number, word in enumerate(STATUSES)),
    output_field=IntegerField(),
)
MODEL_KEY = Field("pk", Kind.KEY, LISTED, prefix="m-", is_unique=True)
MODEL_CREATED = Field("created_at", Kind.MOMENT, NUMERIC)
MODEL_CHANGED = Field("updated_at", Kind.MOMENT, NUMERIC)
OF_LOGGED_MODELS: Mapping[str, Field] = {
    "name": Field("name", operators=LISTED),
    "model_id": MODEL_KEY,
    "model_type": Field("model_type", operators=LISTED),
    "status_message": Field("status_message", operators=LISTED),
    "source_run_id": Field("source_run_id", Kind.KEY, LISTED),
    "experiment_id": Field("experiment__iid", Kind.LABEL, EXACT),
    "artifact_location": Field(
        artifact_uri("experiment__", "models/", "m-"), operators=LISTED
    ),
    "creation_time": MODEL_CREATED,
    "creation_timestamp": MODEL_CREATED,
    "creation_timestamp_ms": MODEL_CREATED,
    "last_updated_time": MODEL_CHANGED,
    "last_updated_timestamp": MODEL_CHANGED,
    "last_updated_timestamp_ms": MODEL_CHANGED,
}
LOGGED_MODELS = Table(
    prefixes=of_prefixes(
        attribute="attributes", metric="metrics", parameter="params", tag="tags"
    ),
    attributes={
        **OF_LOGGED_MODELS,
        "status": Field("status", operators=EXACT, choices=STATUSES),
    },
    orders={
        **OF_LOGGED_MODELS,
        "status": Field(STATUS_ORDER, Kind.INTEGER, NUMERIC),
    },
    children={
        "metric": Child(
            "metrics",
            "logged_model",
            "name",
            Kind.NUMBER,
            NUMERIC,
            newest_first=("-step", "-timestamp_ms", "-value"),
        ),
        "parameter": Child("params", "logged_model", operators=(*LISTED, *NULLS)),
        "tag": Child("tags", "logged_model", operators=(*LISTED, *NULLS)),
    },
    ordered_children=frozenset({"metric"}),
    default_order=("creation_timestamp DESC", "model_id"),
    ties=("creation_timestamp DESC", "model_id"),
    takes_bare_texts=True,
    refuses_repeated=False,
    unknown_prefix="Invalid entity type: '{prefix}'. Expected one of {prefixes}.",
)


# Evaluation datasets


def person(column: str) -> Field:
    """Who is not known compares with nobody."""
    return Field(NullIf(column, Value("")))


DATASET_NAME = Field("name", operators=(*TEXTUAL, "IN"))
TIMES_OF_DATASETS: Mapping[str, Field] = {
    "created_time": Field("created_at", Kind.MOMENT, NUMERIC, is_whole=True),
    "last_update_time": Field("updated_at", Kind.MOMENT, NUMERIC, is_whole=True),
}
EVALUATION_DATASETS = Table(
    prefixes=of_prefixes(tag="tags"),
    attributes={
        "name": DATASET_NAME,
        "created_by": person("creator_name"),
        "last_updated_by": person("updater_name"),
        **TIMES_OF_DATASETS,
    },
    orders={"name": DATASET_NAME, **TIMES_OF_DATASETS},
    children={"tag": Child("tags", "dataset", operators=TEXTUAL)},
    default_order=("created_time DESC",),
    ties=(),
    newest_key_first=True,
    refuses_repeated=False,
    unknown_prefix="Invalid identifier token '{prefix}' specified",
)
