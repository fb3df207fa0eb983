"""Runs: made, read, changed, labelled, deleted, brought back."""

from __future__ import annotations

from tests.differential.calls import get, post, scene

NAME = "mlflow.runName"


def tagged(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in pairs]


CREATE = scene(
    "what a run may be made of",
    post("experiments/create", name="$here runs").keep(e_runs="experiment_id"),
    *(
        post("runs/create", **fields)
        for fields in (
            {},
            {"experiment_id": ""},
            {"experiment_id": "987654321"},
            {"experiment_id": "abc"},
            {"experiment_id": "1.5"},
            {"experiment_id": ["0"]},
        )
    ),
    *(
        post("runs/create", experiment_id="$e_runs", **fields)
        for fields in (
            {},
            {"run_name": "named"},
            {"run_name": ""},
            {"run_name": "n" * 251},
            {"run_name": 5},
            {"user_id": "someone"},
            {"user_id": ""},
            {"start_time": 123},
            {"start_time": "456"},
            {"start_time": -5},
            {"start_time": 1.5},
            {"start_time": "soon"},
            {"start_time": None},
            {"tags": tagged(("a", "1"), ("b", ""))},
            {"tags": tagged((NAME, "by tag"))},
            {"tags": tagged((NAME, "")), "run_name": "plain"},
            {"tags": tagged((NAME, "one")), "run_name": "one"},
            {"tags": tagged((NAME, "one")), "run_name": "other"},
            {"tags": tagged(("a", "1"), ("a", "2"))},
            {"tags": tagged(("", "1"))},
            {"tags": [{"value": "1"}]},
            {"tags": tagged(("k" * 250, "v"))},
            {"tags": tagged(("k" * 251, "v"))},
            {"tags": tagged(("long", "v" * 8001))},
            {"tags": tagged(("../up", "v"))},
            {"tags": tagged(("odd!", "v"))},
            {"tags": "a"},
            {"tags": [5]},
            {"tags": [{"key": "k", "value": 5}]},
            {"status": "FINISHED", "unknown": 1},
            {"run_name": "größe 模型"},
        )
    ),
)

READ = scene(
    "reading a run",
    post("experiments/create", name="$here read").keep(e_read="experiment_id"),
    post(
        "runs/create", experiment_id="$e_read", start_time=1000, run_name="read me"
    ).keep(r_read="run.info.run_id"),
    get("runs/get", run_id="$r_read"),
    get("runs/get", run_uuid="$r_read"),
    get("runs/get", run_id="$r_read", run_uuid="nonsense"),
    get("runs/get"),
    get("runs/get", run_id=""),
    get("runs/get", run_id="nope"),
    get("runs/get", run_id="0" * 32),
    get("runs/get", run_id="../etc"),
    get("runs/get", run_id="r" * 300),
    get("/ajax-api/2.0/mlflow/runs/get", run_id="$r_read"),
    post("runs/get", run_id="$r_read"),
)

UPDATE = scene(
    "changing a run",
    post("experiments/create", name="$here update").keep(e_up="experiment_id"),
    post("runs/create", experiment_id="$e_up", run_name="first").keep(
        r_up="run.info.run_id"
    ),
    *(
        post("runs/update", run_id="$r_up", **fields)
        for fields in (
            {},
            {"status": "FINISHED", "end_time": 2000},
            {"status": "RUNNING"},
            {"status": "SCHEDULED"},
            {"status": "KILLED"},
            {"status": "FAILED", "end_time": 3000},
            {"status": 3},
            {"status": "BAD"},
            {"status": 99},
            {"status": "finished"},
            {"end_time": 4000},
            {"end_time": "5000"},
            {"end_time": 0},
            {"end_time": -1},
            {"end_time": 1.5},
            {"end_time": "x"},
            {"run_name": "second"},
            {"run_name": ""},
            {"run_name": 7},
            {"run_name": "x", "status": "FINISHED", "end_time": 6000},
        )
    ),
    get("runs/get", run_id="$r_up"),
    post("runs/update", status="FINISHED"),
    post("runs/update", run_id="0" * 32, status="FINISHED"),
    post("runs/update", run_uuid="$r_up", status="RUNNING"),
    post("runs/set-tag", run_id="$r_up", key=NAME, value="by tag"),
    get("runs/get", run_id="$r_up"),
    post("runs/set-tag", run_id="$r_up", key=NAME, value=""),
    get("runs/get", run_id="$r_up"),
    post("runs/delete-tag", run_id="$r_up", key=NAME),
    get("runs/get", run_id="$r_up"),
)

DELETE = scene(
    "a run that is deleted",
    post("experiments/create", name="$here delete").keep(e_del="experiment_id"),
    post("runs/create", experiment_id="$e_del", run_name="gone").keep(
        r_del="run.info.run_id"
    ),
    post("runs/set-tag", run_id="$r_del", key="t", value="v"),
    post("runs/delete", run_id="$r_del"),
    post("runs/delete", run_id="$r_del"),
    get("runs/get", run_id="$r_del"),
    post("runs/update", run_id="$r_del", status="FINISHED"),
    post("runs/log-metric", run_id="$r_del", key="m", value=1, timestamp=1),
    post("runs/log-parameter", run_id="$r_del", key="p", value="1"),
    post("runs/set-tag", run_id="$r_del", key="t", value="w"),
    post("runs/delete-tag", run_id="$r_del", key="t"),
    post("runs/log-batch", run_id="$r_del", tags=tagged(("t", "x"))),
    post("runs/log-batch", run_id="$r_del"),
    post("runs/log-inputs", run_id="$r_del", datasets=[]),
    get("metrics/get-history", run_id="$r_del", metric_key="m"),
    get("artifacts/list", run_id="$r_del"),
    post("runs/search", experiment_ids=["$e_del"]),
    post("runs/search", experiment_ids=["$e_del"], run_view_type="DELETED_ONLY"),
    post("runs/search", experiment_ids=["$e_del"], run_view_type="ALL"),
    post("runs/restore", run_id="$r_del"),
    post("runs/restore", run_id="$r_del"),
    get("runs/get", run_id="$r_del"),
    post("runs/delete"),
    post("runs/delete", run_id="0" * 32),
    post("runs/restore"),
    post("runs/restore", run_id="nope"),
)

TAGS = scene(
    "tags of a run",
    post("runs/create", experiment_id="0", run_name="tagged").keep(
        r_tags="run.info.run_id"
    ),
    *(
        post("runs/set-tag", run_id="$r_tags", **fields)
        for fields in (
            {"key": "a", "value": "1"},
            {"key": "a", "value": "2"},
            {"key": "empty", "value": ""},
            {"key": "absent"},
            {"key": "", "value": "v"},
            {"value": "v"},
            {"key": "k" * 250, "value": "v"},
            {"key": "k" * 251, "value": "v"},
            {"key": "long", "value": "v" * 8000},
            {"key": "longer", "value": "v" * 8001},
            {"key": "number", "value": 5},
            {"key": "flag", "value": True},
            {"key": 5, "value": "v"},
            {"key": "a/b", "value": "v"},
            {"key": "a//b", "value": "v"},
            {"key": "a/", "value": "v"},
            {"key": "/a", "value": "v"},
            {"key": "../b", "value": "v"},
            {"key": ".", "value": "v"},
            {"key": "a/../b", "value": "v"},
            {"key": "a,b!", "value": "v"},
            {"key": "a:b c-d.e_f", "value": "v"},
            {"key": "größe", "value": "½"},
            {"key": " padded ", "value": " v "},
            {"key": "lines", "value": "a\nb\tc"},
        )
    ),
    post("runs/set-tag", key="a", value="1"),
    post("runs/set-tag", run_id="nope", key="a", value="1"),
    post("runs/set-tag", run_uuid="$r_tags", key="old", value="client"),
    get("runs/get", run_id="$r_tags"),
    post("runs/delete-tag", run_id="$r_tags", key="a"),
    post("runs/delete-tag", run_id="$r_tags", key="a"),
    post("runs/delete-tag", run_id="$r_tags"),
    post("runs/delete-tag", run_id="nope", key="a"),
    post("runs/delete-tag", key="a"),
)

MODEL = '{"artifact_path": "m", "flavors": {}, "utc_time_created": "2026", "run_id": '
LOG_MODEL = scene(
    "what clients before 3.0 say of a model",
    post("runs/create", experiment_id="0", run_name="log model").keep(
        r_lm="run.info.run_id"
    ),
    post("runs/log-model", run_id="$r_lm", model_json=MODEL + '"$r_lm"}'),
    post("runs/log-model", run_id="$r_lm", model_json=MODEL + '"other"}'),
    get("runs/get", run_id="$r_lm"),
    post("runs/log-model", run_id="$r_lm", model_json="{"),
    post("runs/log-model", run_id="$r_lm", model_json="{}"),
    post("runs/log-model", run_id="$r_lm", model_json="[]"),
    post("runs/log-model", run_id="$r_lm", model_json=""),
    post("runs/log-model", run_id="$r_lm"),
    post("runs/log-model", run_id="nope", model_json=MODEL + '"nope"}'),
    post("runs/log-model", model_json=MODEL + '"x"}'),
)

SCENES = (CREATE, READ, UPDATE, DELETE, TAGS, LOG_MODEL)
