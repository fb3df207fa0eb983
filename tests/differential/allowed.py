"""Every difference that we want, each with its reason.

An entry that no call needs any more fails `make differential`: so the list is never
longer than what really differs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.differential import wording
from tests.differential.comparing import Difference


@dataclass(frozen=True, slots=True)
class Allowed:
    """Matches a difference by regular expressions; an empty one matches everything.

    `agree` says whether two texts are the same but for what the reason names; `parts`
    says when sides hold different things afterwards, so that what a generated scene
    does next compares nothing.
    """

    reason: str
    what: str = ""
    endpoint: str = ""
    place: str = ""
    reference: str = ""
    ours: str = ""
    sent: str = ""
    agree: Callable[[str, str], bool] | None = None
    parts: bool = False

    def matches(self, difference: Difference) -> bool:
        return (
            fits(self.what, difference.what)
            and fits(self.endpoint, difference.call.endpoint)
            and fits(self.place, difference.place)
            and fits(self.reference, difference.reference)
            and fits(self.ours, difference.ours)
            and fits(self.sent, str(difference.call))
            and self.agrees(difference.reference, difference.ours)
        )

    def agrees(self, reference: Any, ours: Any) -> bool:
        return self.agree is None or self.agree(str(reference), str(ours))


def fits(pattern: str, value: Any) -> bool:
    return not pattern or bool(re.fullmatch(pattern, str(value), re.DOTALL))


def entry_for(difference: Difference) -> Allowed | None:
    return next((each for each in ALLOWED if each.matches(difference)), None)


SEARCHES = r"\w+ (runs|experiments|logged-models|/api/3\.0/mlflow/datasets)/search"
OF_DATASETS = r"\w+ /api/3\.0/mlflow/datasets/.*"
LOGGED_MODELS = r"\w+ (.*/)?logged-models.*"
FILES = (
    r"\w+ (artifacts/list|/get-artifact"
    r"|/(ajax-)?api/2\.0/(mlflow-artifacts|mlflow/upload-artifact).*)"
)
SQL = r"400 BAD_REQUEST (\(raised as .*)?\(psycopg2\..*"

ALLOWED = (
    # Forms of an answer
    Allowed(
        "Two fields of newer releases that repeat error_code; no client reads them, and"
        " tests of older ones compare the whole body.",
        what="body",
        place="error_class|sqlstate",
        ours="<absent>",
    ),
    Allowed(
        "MLflow names the one workspace that each of its servers has; ours is named by"
        " the token or the address.",
        what="body",
        place=r"experiments?(\.\d+)?\.workspace",
        reference="default",
        ours="<absent>",
    ),
    Allowed(
        "A run has one form here, wherever it stands: MLflow leaves the outputs out of"
        " a new one, which has none.",
        what="body",
        endpoint="POST runs/create",
        place="run.outputs",
        reference="<absent>",
        ours="{}",
    ),
    Allowed(
        "Where MLflow's web framework answers with a page, ours says it in JSON.",
        what="type",
        reference=r"40[045] text/html .*",
        ours=r"(400 INVALID_PARAMETER_VALUE|40[45] ENDPOINT_NOT_FOUND) .*",
    ),
    Allowed(
        "A folder is refused in the form of every other error.",
        endpoint=FILES,
        reference=r".*(refers to a directory, not a file).*",
        ours=r"(400 INVALID_PARAMETER_VALUE )?('.*' is a folder.*|Invalid path)",
    ),
    # What the reference does by accident
    Allowed(
        "MLflow's client tries again for minutes after a 5xx: what a request has caused"
        " is answered by a 400 here.",
        what="status",
        reference="500 (INTERNAL_ERROR|INVALID_STATE|text/html) .*",
        ours="400 (INVALID_PARAMETER_VALUE|INVALID_STATE) .*",
    ),
    Allowed(
        "MLflow's server shows the statement that its database refused; ours does not.",
        what="message",
        reference=r".* Error: \(psycopg2\..*",
        agree=wording.is_beginning,
    ),
    Allowed(
        "Where MLflow's server shows what its database refused, ours says what is wrong"
        " with the request, and what kind of error it is.",
        what="error_code",
        reference=SQL,
        ours="400 (INVALID_PARAMETER_VALUE|RESOURCE_ALREADY_EXISTS) .*",
    ),
    Allowed(
        "MLflow's server passes over a value of another type and stores a 0, an empty"
        " text or the rest of the request; ours refuses it by name.",
        # With nothing in it, the request fails later, if at all.
        reference=r"200 .*|(404 RESOURCE_DOES_NOT_EXIST )?Run with id=.* not found"
        r"|The run .* Current state is deleted\."
        r"|Invalid value .* for parameter '(\w+\[\d+\]\.)?(name|key|timestamp)' .*"
        r"|'[\w .\[\]]+' exceeds the maximum length of \d+ characters"
        r"|Invalid order by field name: ",
        ours=r'.*Invalid value (?!"-?\d+" for|-\d+ for).* for parameter .* supplied: '
        r"( Hint: Value was of type| ?\(timestamp=.*valid double| ?metric '.*Timestamp"
        r" must be| ?metric '.*Step must be).*",
        parts=True,
    ),
    Allowed(
        "A body that cannot be read is called that; MLflow's server takes it for an"
        " empty one, and misses its first field.",
        what="message",
        reference=r"Missing value for required parameter .*"
        r"|Invalid experiment name: ''",
        ours="The request body .*",
    ),
    Allowed(
        "Python's int() takes spaces around a number.",
        what="status",
        reference="200 .*",
        ours=r"400 INVALID_PARAMETER_VALUE Invalid experiment ID ' 0'\..*",
    ),
    Allowed(
        "Labels have a name: MLflow's server stores those without one, or says of them"
        " that they look like a path.",
        reference="200 .*|Invalid value \"\" for parameter 'key' .*",
        ours=r"(400 INVALID_PARAMETER_VALUE )?Missing value for required parameter"
        r" '(tags|params|datasets\[\d+\]\.tags)\[\d+\]\.key'.*",
        parts=True,
    ),
    Allowed(
        "Of a label that is given twice the last one counts, as in log-batch.",
        what="status",
        endpoint="POST (experiments/create|runs/create|runs/log-inputs)",
        reference=r"400 (RESOURCE_ALREADY_EXISTS|BAD_REQUEST) .*duplicate key.*",
        ours="200 .*",
        parts=True,
    ),
    Allowed(
        "A long tag is cut when a run is created, too, as everywhere else.",
        what="status",
        endpoint="POST runs/create",
        reference=SQL + r"value too long.*",
        ours="200 .*",
        sent=r".*'key': 'long'.*",
        parts=True,
    ),
    Allowed(
        "Names of runs may have 500 characters here, as those of experiments.",
        what="status",
        endpoint="POST runs/create",
        reference=SQL + r"value too long.*",
        ours="200 .*",
        sent=r".*'run_name': 'n{251}'.*",
        parts=True,
    ),
    Allowed(
        "A logged model that is not there is not found, wherever it is named.",
        what="status",
        reference=SQL + r"(ForeignKeyViolation).*",
        ours="404 RESOURCE_DOES_NOT_EXIST Logged model .*",
    ),
    Allowed(
        "An end at 0 ms is an end; MLflow's server leaves out what is 0.",
        what="body",
        place=r"(run\.info|run_info)\.end_time",
        reference="<absent>",
        ours="0",
        parts=True,
    ),
    Allowed(
        "The names of a Python set come in any order; ours come in one.",
        what="message",
        endpoint="POST runs/log-model",
        agree=wording.is_same_but_for_order,
    ),
    Allowed(
        "An empty file has a size: 0.",
        what="body",
        endpoint=FILES,
        place=r"files\.\d+\.file_size",
        reference="<absent>",
        ours="0",
    ),
    # Searches
    Allowed(
        "An error of a search says where in the filter or order it is.",
        what="message",
        endpoint=SEARCHES,
        agree=wording.is_same_but_for_position,
    ),
    Allowed(
        "Of a filter or order that cannot be read ours names the place and what is"
        " expected there, where MLflow repeats a part of it.",
        what="message",
        endpoint=SEARCHES,
        ours=r".*\(at position \d+( of order_by clause \d+)?\)",
    ),
    Allowed(
        "A filter of spaces is an empty one.",
        what="status",
        endpoint=SEARCHES,
        reference=r"400 INVALID_PARAMETER_VALUE Invalid filter '\s+'\..*",
        ours="200 .*",
    ),
    Allowed(
        "Behind the dot stands a name.",
        what="status",
        endpoint=SEARCHES,
        reference="200 .*",
        ours=r".*(Expected a name behind the dot|order_by clause '\w+\.'\.).*",
    ),
    Allowed(
        "Spaces around a clause mean nothing.",
        what="status",
        endpoint=SEARCHES,
        reference=r"400 INVALID_PARAMETER_VALUE Invalid order_by clause '  .*",
        ours="200 .*",
    ),
    Allowed(
        "A page that is too large is told how large it may be.",
        what="message",
        endpoint=SEARCHES,
        reference=r"Invalid value 50001 .*Hint: Value was of type 'int'\..*",
        ours=r"Invalid value 50001 for .* It must be at most 50000",
    ),
    Allowed(
        "A model's metric may be NaN; MLflow's server reads it back as 0.",
        what="body",
        endpoint=LOGGED_MODELS,
        place=r"models?(\.\d+)?\.data\.metrics\.\d+\.value",
        reference=r"0\.0",
        ours="NaN",
    ),
    Allowed(
        "NaN is written alike in every answer.",
        what="body",
        endpoint=r"GET (/ajax-api/2.0/mlflow/)?metrics/get-history-bulk",
        reference="nan",
        ours="NaN",
    ),
    Allowed(
        "What is missing in an order is said as everywhere else.",
        what="message",
        endpoint="POST logged-models/search",
        reference="Invalid order by field name: ",
        ours="Missing value for required parameter 'order_by.*",
    ),
    Allowed(
        "A page holds at least one model.",
        what="status",
        endpoint="POST logged-models/search",
        reference="200 .*",
        ours=r"400 .*'max_results' supplied\. It must be a positive integer",
    ),
    Allowed(
        "Both times of a model may be compared, by each of their names.",
        what="status",
        endpoint="POST logged-models/search",
        reference="400 .*Invalid comparison operator for attributes.last_updated_.*",
        ours="200 .*",
    ),
    Allowed(
        "Backticks are no part of the key that they hold, wherever they stand.",
        what="body",
        endpoint=OF_DATASETS,
        place="datasets",
        reference="<absent>",
        sent=r".*tags\.`odd key`.*",
    ),
    Allowed(
        "Names have no order in a filter.",
        what="status",
        endpoint=OF_DATASETS,
        reference="200 .*",
        ours=r"400 .*Invalid comparator '>' not one of .* for attribute 'name' .*",
    ),
    Allowed(
        "A deleted run takes no files.",
        what="status",
        endpoint=FILES,
        reference="200 .*",
        ours="400 .*The run .* must be in the 'active' state.*",
        parts=True,
    ),
    # What ours has for a reason of its own
    Allowed(
        "A text that was sent is repeated up to 250 characters, and not a whole body.",
        what="message",
        agree=wording.is_same_but_cut,
    ),
    Allowed(
        "This server keeps the artifacts itself; an operator allows other places by"
        " ARTIFACT_LOCATIONS.",
        what="status",
        endpoint="POST experiments/create",
        reference="200 .*",
        ours=r"400 INVALID_PARAMETER_VALUE .*artifact_location.*",
        parts=True,
    ),
    Allowed(
        "How long a location may be is not set by a variable of MLflow's.",
        what="message",
        endpoint="POST experiments/create",
        reference=r".*MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH environment variable\.",
        agree=wording.is_beginning,
    ),
    Allowed(
        "A run that is not there has no history either, and is not found: else a wrong"
        " id looks like an empty curve.",
        what="status",
        endpoint="GET metrics/get-history",
        reference="200 application/json {}",
        ours="404 RESOURCE_DOES_NOT_EXIST Run with id=.*",
    ),
    Allowed(
        "Tokens of pages are signed here, and belong to one request.",
        what="message",
        reference="Invalid page token, decoded value=.*"
        "|Filter string in the page token .*",
        ours="Invalid page token, .*",
    ),
    Allowed(
        "A body that is too large is refused before it is read.",
        what="message",
        endpoint="POST runs/log-batch",
        ours="Batched logging API requests must be at most 1000000 bytes.*",
    ),
    Allowed(
        "A file has one path here: none with empty steps, with dots, a backslash, a"
        " scheme or a drive, or that is empty.",
        endpoint=FILES,
        reference="(200|404|400) .*",
        ours="400 INVALID_PARAMETER_VALUE Invalid path",
        sent=r".*(//|\\|%5C|%00|/\./|[/=]\.( |$)|:/).*",
        parts=True,
    ),
    Allowed(
        "A path is no address, so that # may stand in it.",
        what="status",
        endpoint=FILES,
        reference="400 INVALID_PARAMETER_VALUE Invalid path",
        ours=r"(200|404) .*",
        sent=".*#.*",
    ),
    Allowed(
        "An error names the path below the run, as it was asked for.",
        what="message",
        endpoint=FILES,
        reference="No such artifact: '.*'",
        agree=wording.is_same_below_the_run,
    ),
    Allowed(
        "A model's address names it; what the body says of it does not count.",
        endpoint=LOGGED_MODELS,
        reference=r"(400 INVALID_PARAMETER_VALUE )?(Missing value for required"
        r"|Invalid value .* for) parameter 'model_id'.*",
        parts=True,
    ),
    Allowed(
        "A point of a model is looked at before its run is, as all others are.",
        endpoint="POST runs/log-metric",
        reference=r"(404 RESOURCE_DOES_NOT_EXIST )?(Run with id=.* not found"
        r"|The run .* must be in the 'active' state.*)",
        ours=r"(400 INVALID_PARAMETER_VALUE )?('Metric name' exceeds .*"
        r"|Invalid value .* for parameter '(name|timestamp)' supplied: .*)",
        sent=".*'model_id'.*",
    ),
    Allowed(
        "A state that is none is refused, and not stored.",
        what="status",
        endpoint=LOGGED_MODELS,
        reference="200 .*",
        ours="400 .* for parameter 'status' supplied: It must be one of LOGGED_MODEL.*",
        parts=True,
    ),
    Allowed(
        "An empty text where a time belongs is none.",
        what="message",
        endpoint="POST runs/log-metric",
        reference="Invalid value \"\" for parameter 'timestamp' supplied: .*",
        ours="Missing value for required parameter 'timestamp'.*",
    ),
    Allowed(
        "The keys of a logged model's labels are as long as a run's.",
        what="status",
        endpoint=LOGGED_MODELS,
        reference="200 .*",
        ours=r"400 .*\[0\]\.key' exceeds the maximum length of 250 characters",
        parts=True,
    ),
    Allowed(
        "The run that made a model must be there.",
        what="status",
        endpoint="POST logged-models",
        reference="200 .*",
        ours="404 RESOURCE_DOES_NOT_EXIST Run with id=.*",
    ),
    Allowed(
        "A data set has a name, a digest, a source and its type.",
        what="status",
        endpoint="POST runs/log-inputs",
        reference="200 .*",
        ours=r"400 .*Missing value for required parameter 'datasets\[0\]\.dataset.*",
        parts=True,
    ),
    Allowed(
        "The same words serve runs and logged models.",
        what="message",
        endpoint="POST artifacts/presigned-.*",
        reference="Presigned .* is not supported for runs .*",
        ours="Presigned .* is not supported .*",
    ),
    Allowed(
        "An output or input that is no logged model is refused.",
        what="status",
        endpoint="POST runs/log-inputs",
        reference="200 .*",
        ours="404 RESOURCE_DOES_NOT_EXIST Logged model .*",
        parts=True,
    ),
    Allowed(
        "A run may have saved one model at several steps.",
        what="status",
        endpoint="POST runs/outputs",
        reference=SQL + r"(UniqueViolation).*",
        ours="200 .*",
        parts=True,
    ),
    Allowed(
        "Which field is missing is said in the same words everywhere.",
        endpoint=FILES,
        reference=r"(404 RESOURCE_DOES_NOT_EXIST Run with id=None not found"
        r"|Request must specify (path|run_id or run_uuid)\.)",
        ours=r"(400 INVALID_PARAMETER_VALUE )?(Missing value for required parameter"
        r" 'run_id'.*|Invalid path)",
    ),
    Allowed(
        "A file may be empty, from the web UI too.",
        what="status",
        endpoint=FILES,
        reference="400 INVALID_PARAMETER_VALUE Request must specify data.",
        ours="200 .*",
        parts=True,
    ),
    Allowed(
        "The version is plain text.",
        what="type",
        endpoint="GET /version",
        reference="200 text/html .*",
        ours="200 text/plain .*",
    ),
    Allowed(
        "What the servers can do: files in parts here; addresses signed by a cloud's"
        " store, a gateway and skills there.",
        what="body",
        endpoint="GET /(ajax-)?api/3.0/mlflow/server-info",
        place=r"features_enabled\.gateway|presigned_upload_\w+|multipart_uploads_enabled"
        r"|model_artifact_presigned_downloads_supported|skill_content_max_\w+"
        r"|workspaces_enabled",
    ),
    Allowed(
        "Whoever signs in here is somebody, and the web UI is told who.",
        what="status",
        endpoint="GET /ajax-api/2.0/mlflow/users/current",
        reference="404 .*",
        ours="200 .*'user': .*",
    ),
    Allowed(
        "What the web UI may ask of data sets, a client may ask, too.",
        what="status",
        endpoint="POST experiments/search-datasets",
        reference="404 text/html .*",
        ours="200 .*",
    ),
    # GraphQL
    Allowed(
        "Without an id nothing is found; MLflow's server takes an experiment of no id"
        " for the Default one.",
        endpoint="POST /graphql",
        place=r"data\.mlflowGetExperiment|errors(\.0)?",
        reference=r"\{.*'experimentId': '0'.*|None|Run with id= not found",
        ours=r"None|.*Missing value for required parameter.*",
    ),
    Allowed(
        "GraphQL says where a filter is wrong, as the search itself.",
        endpoint="POST /graphql",
        place=r"errors\.0",
        ours=r".*\(at position \d+\)",
    ),
    Allowed(
        "A query that cannot be read is an error of the query.",
        what="status",
        endpoint="POST /graphql",
        reference="500 .*",
        ours=r"200 .*'errors': \['Syntax Error: .*",
    ),
    Allowed(
        "The schema is in the documentation, and is not told to whoever asks.",
        endpoint="POST /graphql",
        place="data|errors",
        ours=r"None|.*introspection has been disabled.*",
        sent=".*__schema.*",
    ),
    Allowed(
        "Of two limits that a query breaks, one is named.",
        endpoint="POST /graphql",
        place=r"errors\.0",
        reference="GraphQL queries should have at most 10 root fields.*",
        ours="GraphQL queries should have at most 10 aliases.*",
    ),
)
