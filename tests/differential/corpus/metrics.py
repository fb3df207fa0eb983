"""Metrics, params and batches: values at the edges, limits, history."""

from __future__ import annotations

from typing import Any

from tests.differential.calls import get, post, raw, scene, variants


def point(key: Any, value: Any, timestamp: Any = 1000, **more: Any) -> dict[str, Any]:
    return {"key": key, "value": value, "timestamp": timestamp, **more}


METRICS = scene(
    "one point at a time",
    post("runs/create", experiment_id="0", run_name="metrics").keep(
        r_met="run.info.run_id"
    ),
    *(
        post("runs/log-metric", run_id="$r_met", **fields)
        for fields in variants(
            point("m", 1.5),
            point("m", 1.5),
            point("m", 2, 2000, step=3),
            point("m", 0.25, 3000, step=2),
            point("m", "7.5", "4000", step="1"),
            point("nan", "NaN"),
            point("inf", "Infinity"),
            point("minus inf", "-Infinity"),
            point("tiny", 5e-324),
            point("large", 1e308),
            point("minus zero", -0.0),
            point("whole", 3),
            point("text", "abc"),
            point("empty", ""),
            point("none", None),
            point("t", 1, -1),
            point("t", 1, 0),
            point("t", 1, "x"),
            point("t", 1, None),
            point("t", 1, 2**63 - 1),
            point("s", 1, step=-7),
            point("s", 1, step="x"),
            point("s", 1, step=None),
            point("s", 1, step=2**63 - 1),
            point("", 1),
            point("k" * 250, 1),
            point("k" * 251, 1),
            point("a/b", 1),
            point("a//b", 1),
            point("../a", 1),
            point("odd!", 1),
            point("größe", 1),
            point(5, 1),
            {"key": "m", "value": 1},
            {"key": "m", "timestamp": 1},
            {"value": 1, "timestamp": 1},
            point("m", 1, model_id="m-" + "0" * 32),
            point("m", 1, dataset_name="d", dataset_digest="x"),
        )
    ),
    post("runs/log-metric", **point("m", 1)),
    post("runs/log-metric", run_id="nope", **point("m", 1)),
    post("runs/log-metric", run_uuid="$r_met", **point("old", 1)),
    get("runs/get", run_id="$r_met"),
    *(
        get("metrics/get-history", run_id="$r_met", metric_key=key)
        for key in (
            "m",
            "nan",
            "inf",
            "minus inf",
            "tiny",
            "large",
            "minus zero",
            "s",
            "t",
            "never",
            "",
        )
    ),
)

HISTORY = scene(
    "history of a metric",
    post("runs/create", experiment_id="0", run_name="history").keep(
        r_hist="run.info.run_id"
    ),
    post(
        "runs/log-batch",
        run_id="$r_hist",
        metrics=[
            point("loss", value, timestamp, step=step)
            for value, timestamp, step in (
                (3.0, 30, 1),
                (1.0, 10, 5),
                (2.0, 10, 4),
                (2.5, 10, 4),
                ("NaN", 20, 2),
                (-1.0, 20, 2),
                ("Infinity", 20, 2),
                (9.0, 40, 0),
                (9.0, 40, 0),
            )
        ],
    ),
    get("runs/get", run_id="$r_hist"),
    get("metrics/get-history", run_id="$r_hist", metric_key="loss"),
    get("metrics/get-history", run_uuid="$r_hist", metric_key="loss"),
    get("metrics/get-history", run_id="$r_hist", metric_key="loss", max_results=3).keep(
        t_hist="next_page_token"
    ),
    get(
        "metrics/get-history",
        run_id="$r_hist",
        metric_key="loss",
        max_results=3,
        page_token="$t_hist",
    ),
    *(
        get("metrics/get-history", run_id="$r_hist", metric_key="loss", **fields)
        for fields in variants(
            {"max_results": 8},
            {"max_results": 100},
            {"max_results": 0},
            {"max_results": -1},
            {"max_results": "x"},
            {"max_results": 25_001},
            {"max_results": 2, "page_token": "junk"},
            {"page_token": "junk"},
        )
    ),
    get("metrics/get-history", run_id="$r_hist"),
    get("metrics/get-history", metric_key="loss"),
    get("metrics/get-history", run_id="nope", metric_key="loss"),
)

ODD = scene(
    "points of other types",
    post("runs/create", experiment_id="0", run_name="odd").keep(
        r_odd="run.info.run_id"
    ),
    *(
        post("runs/log-metric", run_id="$r_odd", **fields)
        for fields in variants(
            point("flag", True),
            point("list", [1]),
            point("t", 1, 1.5),
            point("t", 1, True),
            point("t", 1, 2**63),
            point("s", 1, step=1.5),
            point("s", 1, step=2**63),
        )
    ),
    *(
        post("runs/log-batch", run_id="$r_odd", metrics=[each])
        for each in (
            point("m", "x"),
            point("m", True),
            point("m", 1.0, "x"),
            point("m", 1.0, 1.5),
            point("m", 1.0, step="x"),
            point("m", 1.0, step=1.5),
            5,
        )
    ),
)

BULK = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
INTERVAL = "metrics/get-history-bulk-interval"
MANY = scene(
    "history of many runs",
    post("runs/create", experiment_id="0", run_name="bulk 1").keep(
        r_b1="run.info.run_id"
    ),
    post("runs/create", experiment_id="0", run_name="bulk 2").keep(
        r_b2="run.info.run_id"
    ),
    *(
        post(
            "runs/log-batch",
            run_id=run,
            metrics=[point("m", i / 4, 1000 + i, step=i * 2) for i in range(40)],
        )
        for run in ("$r_b1", "$r_b2")
    ),
    post("runs/log-metric", run_id="$r_b1", **point("m", "NaN", 5000, step=100)),
    *(
        get(INTERVAL, run_ids=["$r_b1"], metric_key="m", **fields)
        for fields in variants(
            {},
            {"max_results": 5},
            {"max_results": 1},
            {"max_results": 2},
            {"max_results": 7},
            {"max_results": 0},
            {"max_results": -1},
            {"max_results": 2500},
            {"max_results": 2501},
            {"max_results": "x"},
            {"max_results": 5, "start_step": 10, "end_step": 40},
            {"start_step": 10, "end_step": 20},
            {"start_step": 10},
            {"end_step": 10},
            {"start_step": 20, "end_step": 10},
            {"start_step": "x", "end_step": 10},
            {"start_step": 1000, "end_step": 2000},
        )
    ),
    get(INTERVAL, run_ids=["$r_b1", "$r_b2"], metric_key="m", max_results=6),
    get(INTERVAL, run_ids=["$r_b2", "$r_b1"], metric_key="m", max_results=320),
    get(INTERVAL, run_ids=["$r_b1", "nope"], metric_key="m", max_results=6),
    get(INTERVAL, run_ids=["nope"], metric_key="m", max_results=6),
    get(INTERVAL, run_ids=["$r_b1"], metric_key="never"),
    get(INTERVAL, run_ids=["$r_b1"]),
    get(INTERVAL, metric_key="m"),
    get(INTERVAL, run_ids=["r"] * 101, metric_key="m"),
    get(f"/ajax-api/2.0/mlflow/{INTERVAL}", run_ids=["$r_b1"], metric_key="m"),
    get(BULK, run_id=["$r_b1"], metric_key="m", max_results=5),
    get(BULK, run_id=["$r_b1"], metric_key="m"),
    get(BULK, run_id=["$r_b1"], metric_key="never"),
    get(BULK, run_id=["nope"], metric_key="m"),
    get(BULK, run_id=["$r_b1"]),
    get(BULK, metric_key="m"),
    get(BULK, run_id=["r"] * 101, metric_key="m"),
    get(BULK, run_id=["$r_b1"], metric_key="m", max_results="x"),
)

PARAMS = scene(
    "params of a run",
    post("runs/create", experiment_id="0", run_name="params").keep(
        r_par="run.info.run_id"
    ),
    *(
        post("runs/log-parameter", run_id="$r_par", **fields)
        for fields in variants(
            {"key": "p", "value": "1"},
            {"key": "p", "value": "1"},
            {"key": "p", "value": "2"},
            {"key": "empty", "value": ""},
            {"key": "absent"},
            {"key": "", "value": "v"},
            {"value": "v"},
            {"key": "number", "value": 5},
            {"key": "flag", "value": True},
            {"key": "none", "value": None},
            {"key": "k" * 250, "value": "v"},
            {"key": "k" * 251, "value": "v"},
            {"key": "long", "value": "v" * 6000},
            {"key": "longer", "value": "v" * 6001},
            {"key": "longer", "value": "v" * 6002},
            {"key": "a//b", "value": "v"},
            {"key": "../b", "value": "v"},
            {"key": "odd!", "value": "v"},
            {"key": "größe", "value": "½"},
        )
    ),
    post("runs/log-parameter", key="p", value="1"),
    post("runs/log-parameter", run_id="nope", key="p", value="1"),
    get("runs/get", run_id="$r_par"),
)


def many(noun: str, count: int) -> dict[str, Any]:
    one: dict[str, Any] = {"value": "v"}
    if noun == "metrics":
        one = {"value": 1.0, "timestamp": 1}
    return {noun: [{"key": f"k{i}", **one} for i in range(count)]}


BATCH = scene(
    "batches",
    post("runs/create", experiment_id="0", run_name="batch").keep(
        r_bat="run.info.run_id"
    ),
    post(
        "runs/log-batch",
        run_id="$r_bat",
        metrics=[point("m", 1.0), point("m", 2.0, step=1)],
        params=[{"key": "p", "value": "1"}],
        tags=[{"key": "t", "value": "1"}],
    ),
    *(
        post("runs/log-batch", run_id="$r_bat", **fields)
        for fields in variants(
            {},
            {"metrics": []},
            many("tags", 100),
            many("tags", 101),
            many("params", 101),
            many("metrics", 1001),
            {**many("metrics", 901), **many("params", 100)},
            {"params": [{"key": "a", "value": "1"}, {"key": "a", "value": "1"}]},
            {"params": [{"key": "b", "value": "1"}, {"key": "b", "value": "2"}]},
            {"tags": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]},
            {
                "params": [{"key": "p", "value": "2"}],
                "tags": [{"key": "not written", "value": "1"}],
            },
            {
                "params": [{"key": "p", "value": "2"}, {"key": "q", "value": "1"}],
                "metrics": [point("not written", 1.0)],
            },
            {"params": [{"key": "long", "value": "v" * 6001}]},
            {"tags": [{"key": "long", "value": "v" * 8001}]},
            {"params": [{"key": "k" * 251, "value": "v"}]},
            {"tags": [{"key": "k" * 251, "value": "v"}]},
            {"metrics": [point("k" * 251, 1.0)]},
            {"params": [{"key": "", "value": "v"}]},
            {"params": [{"value": "v"}]},
            {"params": [{"key": "no value"}]},
            {"tags": [{"key": "no value"}]},
            {"params": [{"key": "../a", "value": "v"}]},
            {"tags": [{"key": "odd!", "value": "v"}]},
            {"metrics": [point("odd!", 1.0)]},
            {"metrics": [{"key": "m", "value": 1.0}]},
            {"metrics": [{"key": "m", "timestamp": 1}]},
            {"metrics": [{"value": 1.0, "timestamp": 1}]},
            {"metrics": [point("m", "NaN", step=9), point("m", "-Infinity", step=8)]},
            {"metrics": [point("m", 1.0, -1)]},
            {"metrics": [point("odd!", 1.0), {"key": "m", "timestamp": 1}]},
            {"metrics": [point("odd!", 1.0)], "tags": [{"value": "no key"}]},
            {"metrics": [point("m", "x"), point("odd!", 1.0)], "params": [{"key": ""}]},
            {"params": [{"key": "p"}, {"key": "p"}], "tags": [{"key": "../t"}]},
            {**many("tags", 101), "params": [{"key": "../p"}]},
            {"metrics": "x"},
            {"params": {"a": "b"}},
            {"tags": [[]]},
            {"tags": [{"key": "mlflow.runName", "value": "renamed"}]},
        )
    ),
    get("runs/get", run_id="$r_bat"),
    post("runs/log-batch", params=[]),
    post("runs/log-batch", run_id="nope", params=[]),
    post("runs/log-batch", run_id="nope", params=[{"key": "a", "value": "b"}]),
    raw(
        "POST",
        "runs/log-batch",
        b'{"run_id": "x", "tags": [{"key": "' + b"k" * 1_000_000 + b'"}]}',
    ),
)

SCENES = (METRICS, ODD, HISTORY, MANY, PARAMS, BATCH)
