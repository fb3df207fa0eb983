"""Evaluation datasets: what is made, linked, labelled, recorded and found again."""

from __future__ import annotations

import json
from typing import Any

from tests.differential.calls import delete, get, patch, post, scene, variants

DATASETS = "/api/3.0/mlflow/datasets"


def example(question: str, **more: Any) -> dict[str, Any]:
    return {"inputs": {"question": question}, **more}


def upsert(dataset: str, *records: Any) -> Any:
    return post(f"{DATASETS}/{dataset}/records", records=json.dumps(records))


LIFE = scene(
    "an evaluation dataset from its beginning to its end",
    post("experiments/create", name="$here evaluated").keep(e_ev="experiment_id"),
    post("experiments/create", name="$here evaluated too").keep(e_ev2="experiment_id"),
    post(
        f"{DATASETS}/create",
        name="$here questions",
        experiment_ids=["$e_ev"],
        tags=json.dumps({"team": "a", "stage": "1"}),
    ).keep(d_1="dataset.dataset_id"),
    get(f"{DATASETS}/$d_1"),
    get(f"{DATASETS}/$d_1/experiment-ids"),
    get(f"{DATASETS}/$d_1/records"),
    # Those of one call come in any order.
    upsert("$d_1", example("one")),
    upsert("$d_1", example("two", expectations={"answer": "2"})),
    get(f"{DATASETS}/$d_1"),
    upsert(
        "$d_1",
        example("two", expectations={"more": [1, None, 2.5]}, tags={"hard": "yes"}),
        example("three", outputs={"said": "3"}),
    ),
    upsert("$d_1", example("four"), example("four", tags={"again": "1"})),
    get(f"{DATASETS}/$d_1/records"),
    get(f"{DATASETS}/$d_1/records", max_results=2).keep(t_ev="next_page_token"),
    get(f"{DATASETS}/$d_1/records", max_results=2, page_token="$t_ev"),
    get(f"{DATASETS}/$d_1"),
    patch(f"{DATASETS}/$d_1/tags", tags=json.dumps({"team": "b", "new": ""})),
    get(f"{DATASETS}/$d_1"),
    delete(f"{DATASETS}/$d_1/tags/stage"),
    delete(f"{DATASETS}/$d_1/tags/never"),
    post(f"{DATASETS}/$d_1/add-experiments", experiment_ids=["$e_ev", "$e_ev2"]),
    post(f"{DATASETS}/$d_1/add-experiments", experiment_ids=[]),
    get(f"{DATASETS}/$d_1/experiment-ids"),
    post(f"{DATASETS}/$d_1/remove-experiments", experiment_ids=["$e_ev"]),
    post(f"{DATASETS}/$d_1/remove-experiments", experiment_ids=["$e_ev"]),
    get(f"{DATASETS}/$d_1/experiment-ids"),
    delete(f"{DATASETS}/$d_1/records", dataset_record_ids=["dr-" + "0" * 32]),
    delete(f"{DATASETS}/$d_1"),
    get(f"{DATASETS}/$d_1"),
    get(f"{DATASETS}/$d_1/records"),
    delete(f"{DATASETS}/$d_1"),
)

NEVER = "d-" + "0" * 32

WRONG = scene(
    "what is refused of an evaluation dataset",
    post(f"{DATASETS}/create", name="$here wrong").keep(d_w="dataset.dataset_id"),
    *(
        post(f"{DATASETS}/create", **fields)
        for fields in variants(
            {},
            {"name": ""},
            {"name": 5},
            {"name": "$here w2", "experiment_ids": "0"},
            {"name": "$here w3", "tags": {}},
            {"name": "$here w4", "tags": "{"},
        )
    ),
    get(f"{DATASETS}/{NEVER}"),
    get(f"{DATASETS}/{NEVER}/experiment-ids"),
    delete(f"{DATASETS}/{NEVER}"),
    patch(f"{DATASETS}/{NEVER}/tags", tags="{}"),
    patch(f"{DATASETS}/$d_w/tags"),
    delete(f"{DATASETS}/{NEVER}/tags/a"),
    post(f"{DATASETS}/{NEVER}/add-experiments", experiment_ids=["0"]),
    post(f"{DATASETS}/{NEVER}/remove-experiments", experiment_ids=["0"]),
    post(f"{DATASETS}/$d_w/add-experiments", experiment_ids=["987654321"]),
    post(f"{DATASETS}/$d_w/records"),
    post(f"{DATASETS}/$d_w/records", records=[]),
    upsert("$d_w"),
    get(f"{DATASETS}/$d_w/records", max_results="x"),
    get(f"{DATASETS}/$d_w"),
)

SEARCHED = ("one", "two", "three")
OURS = "name LIKE '$here found%'"

SEARCH = scene(
    "search of evaluation datasets",
    post("experiments/create", name="$here found").keep(e_fd="experiment_id"),
    *(
        post(
            f"{DATASETS}/create",
            name=f"$here found {name}",
            experiment_ids=["$e_fd"] if name != "two" else [],
            tags=json.dumps({"team": name, "odd key": "1"}),
        ).keep(**{f"d_{name}": "dataset.dataset_id"})
        for name in SEARCHED
    ),
    *(
        post(f"{DATASETS}/search", filter_string=text, order_by=["name"])
        for text in (
            OURS,
            f"{OURS} AND tags.team = 'one'",
            f"{OURS} AND tags.team != 'one'",
            f"{OURS} AND tags.`odd key` = '1'",
            f"{OURS} AND tags.team LIKE 't%'",
            "name = '$here found one'",
            "name ILIKE '$here FOUND one'",
            "name IN ('a')",
            "name > 'a'",
            "nonsense = 'x'",
            "metrics.m > 1",
            "name = 'a' OR name = 'b'",
        )
    ),
    *(
        post(f"{DATASETS}/search", filter_string=OURS, order_by=each)
        for each in variants(
            ["name DESC"], ["created_time ASC"], ["nonsense"], ["name UP"], [""]
        )
    ),
    *(
        post(f"{DATASETS}/search", **fields)
        for fields in variants(
            {"experiment_ids": ["$e_fd"], "order_by": ["name"]},
            {"experiment_ids": ["987654321"]},
            {"filter_string": OURS, "order_by": ["name"], "max_results": 2},
            {"filter_string": OURS, "page_token": "junk"},
            {"filter_string": 5},
            {"max_results": -1},
            {"max_results": "x"},
        )
    ),
    get(f"{DATASETS}/search", experiment_ids=["$e_fd"], order_by=["name DESC"]),
)

SCENES = (LIFE, WRONG, SEARCH)
