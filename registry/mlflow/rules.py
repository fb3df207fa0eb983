"""What MLflow allows: limits, names, numbers and words, each refused in its words."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from mlops.errors import InvalidInput
from registry.mlflow.schema import INT64, SEE, invalid, mistyped
from registry.models import RunStatus
from registry.refusals import shown

MAX_KEY, MAX_NAME, MAX_USER = 250, 500, 256
MAX_PARAM, MAX_RUN_TAG, MAX_EXPERIMENT_TAG = 6000, 8000, 20_000
MAX_LOCATION = 2048
MAX_DESCRIPTION = 10_000
MAX_RUN_LINK = 500
MAX_METRICS, MAX_PARAMS, MAX_TAGS, MAX_ENTITIES = 1000, 100, 100, 1000
MAX_PAGE = 50_000
MAX_MODELS_PAGE, MAX_VERSIONS_PAGE = 1000, 200_000
MAX_HISTORY = 2**31 - 2
MAX_BULK_HISTORY, MAX_SAMPLE, MAX_RUNS = 25_000, 2500, 100
MAX_SUMMARIES, MAX_EXPERIMENTS_OF_DATASETS = 1000, 20
MAX_EXPERIMENTS = 10_000
MAX_BATCH_BYTES = 1_000_000
LARGE_BATCH = (
    "Batched logging API requests must be at most {limit} bytes, got a request of size "
    "{size}."
)

NAME = re.compile(r"[/\w.\- :]*")
# A name that is its own path without a look at the path: no slash, no dots in front.
PLAIN_NAME = re.compile(r"(?!\.\.|\.\Z)[\w.\- :]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
NUMBER = re.compile(r"-?[0-9]{1,400}")
BAD_CHARACTERS = (
    "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.),"
    " spaces ( ), colon(:) and slashes (/)."
)
VIEWS = {
    **dict.fromkeys(("ACTIVE_ONLY", "1"), "active"),
    **dict.fromkeys(("DELETED_ONLY", "2"), "deleted"),
    **dict.fromkeys(("ALL", "3"), "all"),
}
STATUSES = {name: name for name in RunStatus.values} | {
    str(number): name for number, name in enumerate(RunStatus.values, start=1)
}


def check_name(name: str, path: str) -> None:
    """Keys of metrics, params and tags may become paths: each has one spelling."""
    if PLAIN_NAME.fullmatch(name):
        return
    if not NAME.fullmatch(name):
        raise invalid(path, name, BAD_CHARACTERS)
    normal = posixpath.normpath(name)
    if normal != name or normal == "." or normal.startswith(("..", "/")):
        raise invalid(
            path,
            name,
            "Names may be treated as files in certain cases, and must not resolve to"
            f" other names when treated as such. This name would resolve to {normal!r}",
        )


def check_length(text: str, limit: int, path: str) -> None:
    if len(text) > limit:
        raise InvalidInput(f"'{path}' exceeds the maximum length of {limit} characters")


def check_label(text: str, path: str, limit: int = MAX_NAME) -> None:
    """Names that people read: of a bounded length, and all of it visible."""
    check_length(text, limit, path)
    if CONTROL.search(text):
        raise invalid(path, text, "It holds control characters.")


def check_batch(metrics: list, params: list, tags: list) -> None:
    total = len(metrics) + len(params) + len(tags)
    for noun, count, limit in (
        ("metrics", len(metrics), MAX_METRICS),
        ("params", len(params), MAX_PARAMS),
        ("tags", len(tags), MAX_TAGS),
        ("metrics, params, and tags", total, MAX_ENTITIES),
    ):
        if count > limit:
            raise InvalidInput(
                f"A batch logging request can contain at most {limit} {noun}. "
                f"Got {count} {noun}. Please split up {noun} across multiple requests "
                "and try again."
            )


def experiment_number(text: str) -> int:
    """Read an experiment's number; one that no column holds is the largest of all."""
    if not NUMBER.fullmatch(text):
        raise InvalidInput(
            f"Invalid experiment ID '{shown(text)}'. "
            "Experiment ID must be a valid integer."
        )
    return max(INT64[0], min(int(text), INT64[-1]))


def known_numbers(texts: Sequence[str]) -> list[int]:
    """Read the numbers of experiments among texts that may be anything."""
    return experiment_numbers([text for text in texts if NUMBER.fullmatch(text)])


def experiment_numbers(texts: Sequence[str]) -> list[int]:
    numbers = sorted({experiment_number(text) for text in texts})
    if len(numbers) > MAX_EXPERIMENTS:
        raise InvalidInput(
            f"'experiment_ids' names {len(numbers)} experiments; "
            f"search at most {MAX_EXPERIMENTS} at once."
        )
    return numbers


def view(value: object) -> str:
    """Read a view type; like MLflow, take a word that is none for the default."""
    return VIEWS.get(str(value), "active")


def status(value: object) -> str | None:
    """Read a run's state; like MLflow, pass over a word that is none."""
    wrong = type(value) is not str and str(value) not in STATUSES
    if value is not None and wrong:
        raise mistyped("status", value)
    return STATUSES.get(str(value))


def page_size(value: int, most: int = MAX_PAGE) -> int:
    """Raises InvalidInput outside of 1 to `most`."""
    if value <= 0:
        raise InvalidInput(
            f"Invalid value {value} for parameter 'max_results' supplied. "
            "It must be a positive integer"
        )
    if value > most:
        raise InvalidInput(
            f"Invalid value {value} for parameter 'max_results' supplied. "
            f"It must be at most {most}"
        )
    return value


def history_size(value: int | None) -> int | None:
    """Without a number the whole history comes; there is no upper bound."""
    if value is not None and value <= 0:
        raise InvalidInput(
            f"Invalid value {value} for parameter 'max_results' supplied. "
            "It must be a positive integer."
        )
    return value and min(value, MAX_HISTORY)


def check_dataset_search(experiment_ids: Sequence[str]) -> None:
    asker, count = "SearchDatasets request", len(experiment_ids)
    if not experiment_ids:
        raise InvalidInput(f"{asker} must specify at least one experiment_id.")
    if count > MAX_EXPERIMENTS_OF_DATASETS:
        raise InvalidInput(
            f"{asker} cannot specify more than {MAX_EXPERIMENTS_OF_DATASETS} "
            f"experiment_ids. Received {count} experiment_ids."
        )


def check_bulk_history(run_ids: Sequence[str], key: str | None, points: int) -> None:
    asker = "GetMetricHistoryBulk request"
    if not run_ids:
        raise InvalidInput(f"{asker} must specify at least one run_id.")
    if len(run_ids) > MAX_RUNS:
        raise InvalidInput(
            f"{asker} cannot specify more than {MAX_RUNS} run_ids. "
            f"Received {len(run_ids)} run_ids."
        )
    if key is None:
        raise InvalidInput(f"{asker} must specify a metric_key.")
    if points < 0:
        raise invalid("max_results", points, "It must be a nonnegative integer.")


def check_sample(run_ids: Sequence[str], points: int) -> None:
    if len(run_ids) > MAX_RUNS:
        raise InvalidInput(
            f"GetMetricHistoryBulkInterval request must specify at most {MAX_RUNS} "
            f"run_ids. Received {len(run_ids)} run_ids.{SEE}"
        )
    if not 1 <= points <= MAX_SAMPLE:
        raise InvalidInput(f"max_results must be between 1 and {MAX_SAMPLE}.{SEE}")


def interval(start: int | None, end: int | None) -> tuple[int, int]:
    """Return the first and the last step; without any, those of all steps."""
    if start is None and end is None:
        return INT64[0], INT64[-1]
    if start is None or end is None:
        raise InvalidInput(
            "If either start step or end step are specified, both must be specified."
        )
    if start > end:
        raise InvalidInput(
            "end_step must be greater than start_step. "
            f"Found start_step={start} and end_step={end}."
        )
    return start, end
