"""Logged models and inputs: made, found, changed, used by runs."""

from __future__ import annotations

from typing import Any

from tests.differential.calls import delete, get, patch, post, scene, variants
from tests.differential.corpus.metrics import point
from tests.differential.corpus.runs import tagged

LIFE = scene(
    "the life of a logged model",
    post("experiments/create", name="$here models").keep(e_m="experiment_id"),
    post("runs/create", experiment_id="$e_m", run_name="source").keep(
        r_m="run.info.run_id"
    ),
    post(
        "logged-models",
        experiment_id="$e_m",
        name="first",
        model_type="agent",
        source_run_id="$r_m",
        params=[{"key": "p", "value": "1"}],
        tags=tagged(("t", "x")),
    ).keep(m_1="model.info.model_id"),
    get("logged-models/$m_1"),
    patch("logged-models/$m_1", model_id="$m_1", status="LOGGED_MODEL_READY"),
    get("logged-models/$m_1"),
    patch("logged-models/$m_1", status="LOGGED_MODEL_UPLOAD_FAILED"),
    patch("logged-models/$m_1", status="READY"),
    patch("logged-models/$m_1", status=2),
    patch("logged-models/$m_1"),
    patch("logged-models/$m_1/tags", tags=tagged(("t", "y"), ("u", ""))),
    patch("logged-models/$m_1/tags"),
    delete("logged-models/$m_1/tags/u"),
    delete("logged-models/$m_1/tags/u"),
    post(
        "logged-models/$m_1/params",
        model_id="$m_1",
        params=[{"key": "q", "value": "2"}],
    ),
    get("logged-models/$m_1"),
    get("logged-models/$m_1"),
    get("logged-models/$m_1/artifacts/directories"),
    post("runs/log-metric", run_id="$r_m", **point("acc", 0.5), model_id="$m_1"),
    post(
        "runs/log-batch",
        run_id="$r_m",
        metrics=[
            point(
                "acc",
                0.75,
                2000,
                step=1,
                model_id="$m_1",
                dataset_name="d",
                dataset_digest="one",
            ),
            point("f1", 0.25, model_id="$m_1"),
            point("nan", "NaN", model_id="$m_1"),
        ],
    ),
    get("logged-models/$m_1"),
    get("runs/get", run_id="$r_m"),
    delete("logged-models/$m_1"),
    get("logged-models/$m_1"),
    delete("logged-models/$m_1"),
    patch("logged-models/$m_1", status="LOGGED_MODEL_READY"),
)

CREATE = scene(
    "what a logged model may be made of",
    *(
        post("logged-models", **fields)
        for fields in variants(
            {},
            {"experiment_id": "987654321"},
            {"experiment_id": "abc"},
        )
    ),
    *(
        post("logged-models", experiment_id="0", **fields)
        for fields in variants(
            {},
            {"name": ""},
            {"name": "a/b"},
            {"name": "a:b"},
            {"name": "a.b"},
            {"name": "a%b"},
            {"name": 'a"b'},
            {"name": "a'b"},
            {"name": "größe"},
            {"name": "n" * 501},
            {"name": 5},
            {"model_type": "t" * 501},
            {"source_run_id": "nope"},
            {"source_run_id": "0" * 32},
            {"params": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]},
            {"params": [{"key": "", "value": "1"}]},
            {"params": [{"key": "k" * 251, "value": "1"}]},
            {"tags": tagged(("", "1"))},
            {"tags": tagged(("k" * 251, "1"))},
            {"tags": "x"},
        )
    ),
    get("logged-models/nope"),
    get("logged-models/m-" + "0" * 32),
    patch("logged-models/nope", status="LOGGED_MODEL_READY"),
    delete("logged-models/nope"),
    patch("logged-models/nope/tags", tags=tagged(("a", "b"))),
    post("logged-models/nope/params", params=[{"key": "q", "value": "2"}]),
)

LABELS = scene(
    "labels of a logged model that are refused, here or there",
    post("logged-models", experiment_id="0", name="labels").keep(
        m_l="model.info.model_id"
    ),
    patch("logged-models/$m_l/tags", tags=tagged(("k" * 251, "y"))),
    patch("logged-models/$m_l/tags", tags=tagged(("", "y"))),
    post("logged-models/$m_l/params", params=[{"key": "q", "value": "2"}]),
    *(
        post("logged-models/$m_l/params", model_id="$m_l", params=params)
        for params in (
            [{"key": "q", "value": "2"}],
            [{"key": "q", "value": "3"}],
            [{"key": "", "value": "3"}],
            [{"key": "l", "value": "v" * 6001}],
            [{"key": "k" * 251, "value": "v"}],
            [],
        )
    ),
)

MODELS = (
    ("one", "agent", "LOGGED_MODEL_READY", 1.0, "a"),
    ("two", "agent", "LOGGED_MODEL_READY", 2.0, "b"),
    ("three", "", "LOGGED_MODEL_UPLOAD_FAILED", None, "a"),
    ("four", "classifier", None, 3.0, None),
)


def planted(
    name: str, kind: str, status: str | None, value: Any, tag: str | None
) -> list:
    calls = [
        post(
            "logged-models",
            experiment_id="$e_ms",
            name=name,
            model_type=kind,
            source_run_id="$r_ms",
            tags=tagged(("t", tag)) if tag else [],
            params=[{"key": "p", "value": name}],
        ).keep(**{f"m_{name}": "model.info.model_id"})
    ]
    if status:
        path, model_id = f"logged-models/$m_{name}", f"$m_{name}"
        calls.append(patch(path, model_id=model_id, status=status))
    if value is not None:
        calls.append(
            post(
                "runs/log-metric",
                run_id="$r_ms",
                model_id=f"$m_{name}",
                **point("m", value),
            )
        )
    return calls


FILTERS = (
    "",
    "name = 'one'",
    "attributes.name = 'one'",
    "name != 'one'",
    "name LIKE 't%'",
    "name ILIKE 'T%'",
    "name IN ('one', 'two')",
    "model_id = '$m_one'",
    "model_id IN ('$m_one', '$m_two')",
    "attributes.model_id IN ('$m_one')",
    "model_type = 'agent'",
    "status = 'READY'",
    "status = 'FAILED'",
    "status = 'PENDING'",
    "status != 'READY'",
    "status = 'LOGGED_MODEL_READY'",
    "source_run_id = '$r_ms'",
    "creation_time > 0",
    "creation_timestamp > 0",
    "last_updated_timestamp > 0",
    "last_updated_time > 0",
    "creation_time = 'x'",
    "metrics.m > 0",
    "metrics.m >= 1 AND params.p = 'one'",
    "metrics.m != 1",
    "metrics.m LIKE 'x'",
    "params.p = 'one'",
    "params.p != 'one'",
    "params.p LIKE 't%'",
    "tags.t = 'a'",
    "tags.t != 'a'",
    "tags.`t` = 'a'",
    "nonsense = 'x'",
    "things.x = 'x'",
    "name = 'one' OR name = 'two'",
    "name = 'one",
    "gibberish",
)
ORDERS: tuple[Any, ...] = (
    [{"field_name": "name"}],
    [{"field_name": "name", "ascending": True}],
    [{"field_name": "name", "ascending": False}],
    [{"field_name": "attributes.name", "ascending": True}],
    [{"field_name": "creation_time", "ascending": True}],
    [{"field_name": "creation_timestamp", "ascending": False}],
    [{"field_name": "last_updated_timestamp", "ascending": True}],
    [{"field_name": "metrics.m", "ascending": True}],
    [{"field_name": "metrics.m", "ascending": False}],
    [{"field_name": "metrics.m", "dataset_name": "d", "dataset_digest": "one"}],
    [{"field_name": "metrics.m", "dataset_digest": "one"}],
    [{"field_name": "name", "dataset_name": "d"}],
    [{"field_name": "params.p"}],
    [{"field_name": "tags.t"}],
    [{"field_name": "nonsense"}],
    [{"field_name": ""}],
    [{}],
    ["name"],
    [{"field_name": "status"}],
    [{"field_name": "model_type"}, {"field_name": "name", "ascending": True}],
)

SEARCH = scene(
    "search of logged models",
    post("experiments/create", name="$here model search").keep(e_ms="experiment_id"),
    post("runs/create", experiment_id="$e_ms", run_name="source").keep(
        r_ms="run.info.run_id"
    ),
    *(call for model in MODELS for call in planted(*model)),
    *(
        post("logged-models/search", experiment_ids=["$e_ms"], filter=text)
        for text in FILTERS
    ),
    *(
        post("logged-models/search", experiment_ids=["$e_ms"], order_by=each)
        for each in ORDERS
    ),
    *(
        post("logged-models/search", **fields)
        for fields in variants(
            {},
            {"experiment_ids": []},
            {"experiment_ids": ["987654321"]},
            {"experiment_ids": ["abc"]},
            {"experiment_ids": ["$e_ms"], "max_results": 0},
            {"experiment_ids": ["$e_ms"], "max_results": -1},
            {"experiment_ids": ["$e_ms"], "max_results": 51},
            {"experiment_ids": ["$e_ms"], "max_results": "x"},
            {"experiment_ids": ["$e_ms"], "page_token": "junk"},
            {
                "experiment_ids": ["$e_ms"],
                "filter": "metrics.m > 0",
                "datasets": [{"dataset_name": "d"}],
            },
            {"experiment_ids": ["$e_ms"], "datasets": [{"dataset_digest": "x"}]},
        )
    ),
    post("logged-models/search", experiment_ids=["$e_ms"], max_results=3).keep(
        t_m="next_page_token"
    ),
    post(
        "logged-models/search",
        experiment_ids=["$e_ms"],
        max_results=3,
        page_token="$t_m",
    ),
    post(
        "logged-models/search",
        experiment_ids=["$e_ms"],
        max_results=3,
        page_token="$t_m",
        filter="name = 'one'",
    ),
)


def dataset(name: str = "d", **fields: Any) -> dict[str, Any]:
    given = {"name": name, "digest": "x", "source_type": "local", "source": "there"}
    return {"dataset": {**given, **fields}}


INPUTS = scene(
    "inputs and outputs of a run",
    post("experiments/create", name="$here inputs").keep(e_in="experiment_id"),
    post("runs/create", experiment_id="$e_in", run_name="inputs").keep(
        r_in="run.info.run_id"
    ),
    post("runs/log-inputs", run_id="$r_in", datasets=[dataset()]),
    post("runs/log-inputs", run_id="$r_in", datasets=[dataset()]),
    get("runs/get", run_id="$r_in"),
    *(
        post("runs/log-inputs", run_id="$r_in", datasets=datasets)
        for datasets in variants(
            [],
            [dataset("e", schema="{}", profile='{"rows": 1}')],
            [{**dataset("f"), "tags": tagged(("mlflow.data.context", "train"))}],
            [{**dataset("g"), "tags": tagged(("a", "1"), ("b", ""))}],
            [{**dataset("h"), "tags": tagged(("k" * 256, "1"))}],
            [{**dataset("h"), "tags": tagged(("k", "v" * 501))}],
            [dataset("h", digest="x" * 37)],
            [dataset("n" * 501)],
            [dataset("h", schema="s" * 65_536)],
        )
    ),
    post("runs/log-inputs", datasets=[dataset()]),
    post("runs/log-inputs", run_id="nope", datasets=[dataset()]),
    get("runs/get", run_id="$r_in"),
    post("logged-models", experiment_id="$e_in", name="used").keep(
        m_in="model.info.model_id"
    ),
    post("runs/log-inputs", run_id="$r_in", models=[{"model_id": "$m_in"}]),
    post("runs/outputs", run_id="$r_in", models=[{"model_id": "$m_in", "step": 3}]),
    post("runs/outputs", run_id="$r_in", models=[]),
    post("runs/outputs", run_id="nope", models=[{"model_id": "$m_in", "step": 3}]),
    post("runs/outputs", run_id="nope"),
    post("runs/outputs", run_id="$r_in", models=""),
    get("runs/get", run_id="$r_in"),
    *(
        post("/ajax-api/2.0/mlflow/experiments/search-datasets", **fields)
        for fields in variants(
            {"experiment_ids": ["$e_in"]},
            {"experiment_ids": []},
            {"experiment_ids": ["987654321"]},
            {"experiment_ids": ["abc"]},
            {},
        )
    ),
    post("experiments/search-datasets", experiment_ids=["$e_in"]),
)

ODD_INPUTS = scene(
    "inputs that are none, here or there",
    post("runs/create", experiment_id="0", run_name="odd inputs").keep(
        r_oin="run.info.run_id"
    ),
    *(
        post("runs/log-inputs", run_id="$r_oin", datasets=datasets)
        for datasets in variants(
            [{**dataset("h"), "tags": tagged(("", "1"))}],
            [{**dataset("twice"), "tags": tagged(("a", "1"), ("a", "2"))}],
            [{"tags": []}],
            [{"dataset": {}}],
            [{"dataset": {"name": "h"}}],
            [dataset("")],
            [dataset("h", digest="")],
            [dataset("h", source_type="")],
            [dataset("h", source="")],
            [5],
            "x",
        )
    ),
    post("runs/log-inputs", run_id="$r_oin", models=[{"model_id": "nope"}]),
    post("logged-models", experiment_id="0", name="twice").keep(
        m_oin="model.info.model_id"
    ),
    post("runs/outputs", run_id="$r_oin", models=[{"model_id": "$m_oin", "step": 3}]),
    post("runs/outputs", run_id="$r_oin", models=[{"model_id": "$m_oin"}]),
)

REFUSED: dict[str, Any] = {"key": "../refused", "value": 1, "timestamp": 1}

REFUSED_POINTS = scene(
    "points of a model that are refused",
    post("runs/create", experiment_id="0").keep(r_rp="run.info.run_id"),
    post("logged-models", experiment_id="0", name="model").keep(
        m_rp="model.info.model_id"
    ),
    post("runs/log-metric", run_id="$r_rp", model_id="$m_rp", **point("acc", 0.5)),
    post("runs/log-metric", run_id="$r_rp", model_id="$m_rp", **REFUSED),
    get("logged-models/$m_rp"),
    get("runs/get", run_id="$r_rp"),
    post("runs/log-metric", run_id="nope", model_id="$m_rp", **REFUSED),
    post("runs/delete", run_id="$r_rp"),
    post("runs/log-metric", run_id="$r_rp", model_id="$m_rp", **REFUSED),
    post("runs/log-metric", run_id="$r_rp", model_id="$m_rp", **point("m", 1, -1)),
    post("runs/log-metric", run_id="$r_rp", model_id="$m_rp", **point("k" * 251, 1)),
    post("runs/log-metric", run_id="$r_rp", **point("m", 1, "")),
    patch("logged-models/$m_rp", model_id="$m_rp", status=5),
)

SCENES = (LIFE, CREATE, LABELS, SEARCH, INPUTS, ODD_INPUTS, REFUSED_POINTS)
