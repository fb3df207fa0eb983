"""Experiments: made, read, renamed, labelled, deleted, brought back."""

from __future__ import annotations

from tests.differential.calls import get, post, raw, scene

LONG = "x" * 501

LIFE = scene(
    "the life of an experiment",
    post("experiments/create", name="$here life").keep(e_life="experiment_id"),
    get("experiments/get", experiment_id="$e_life"),
    get("experiments/get-by-name", experiment_name="$here life"),
    post("experiments/create", name="$here life"),
    post("experiments/update", experiment_id="$e_life", new_name="$here renamed"),
    post("experiments/update", experiment_id="$e_life", new_name="$here renamed"),
    get("experiments/get-by-name", experiment_name="$here life"),
    get("experiments/get-by-name", experiment_name="$here renamed"),
    post("experiments/restore", experiment_id="$e_life"),
    post("experiments/delete", experiment_id="$e_life"),
    post("experiments/delete", experiment_id="$e_life"),
    get("experiments/get", experiment_id="$e_life"),
    get("experiments/get-by-name", experiment_name="$here renamed"),
    post("experiments/create", name="$here renamed"),
    post("experiments/update", experiment_id="$e_life", new_name="$here other"),
    post("experiments/set-experiment-tag", experiment_id="$e_life", key="k", value="v"),
    post("experiments/delete-experiment-tag", experiment_id="$e_life", key="k"),
    post("runs/create", experiment_id="$e_life"),
    post("experiments/restore", experiment_id="$e_life"),
    post("experiments/restore", experiment_id="$e_life"),
    get("experiments/get", experiment_id="$e_life"),
)

DEFAULT = scene(
    "the Default experiment",
    get("experiments/get", experiment_id="0"),
    get("experiments/get", experiment_id="00"),
    get("experiments/get", experiment_id=" 0"),
    get("experiments/get-by-name", experiment_name="Default"),
    get("experiments/get-by-name", experiment_name="default"),
    post("experiments/create", name="Default"),
)

CREATE = scene(
    "what an experiment may be made of",
    post("experiments/create"),
    post("experiments/create", name=""),
    post("experiments/create", name=None),
    post("experiments/create", name=5),
    post("experiments/create", name=["a"]),
    post("experiments/create", name={"a": 1}),
    post("experiments/create", name=LONG),
    post("experiments/create", name="$here " + "y" * 240).keep(e_long="experiment_id"),
    get("experiments/get", experiment_id="$e_long"),
    post("experiments/create", name="$here é 模型 ☃").keep(e_script="experiment_id"),
    get("experiments/get", experiment_id="$e_script"),
    get("experiments/get-by-name", experiment_name="$here é 模型 ☃"),
    post("experiments/create", name="$here spaced  ").keep(e_spaced="experiment_id"),
    get("experiments/get-by-name", experiment_name="$here spaced"),
    get("experiments/get-by-name", experiment_name="$here spaced  "),
    post("experiments/create", name="$here a/b:c").keep(e_slash="experiment_id"),
    get("experiments/get", experiment_id="$e_slash"),
    post("experiments/create", name="$here x", unknown="field").keep(
        e_unknown="experiment_id"
    ),
    post(
        "experiments/create",
        name="$here tagged",
        tags=[{"key": "a", "value": "1"}, {"key": "b", "value": ""}],
    ).keep(e_tagged="experiment_id"),
    get("experiments/get", experiment_id="$e_tagged"),
    post(
        "experiments/create",
        name="$here twice",
        tags=[{"key": "a", "value": "1"}, {"key": "a", "value": "2"}],
    ),
    post("experiments/create", name="$here t1", tags=[{"key": "", "value": "1"}]),
    post("experiments/create", name="$here t2", tags=[{"value": "1"}]),
    post("experiments/create", name="$here t3", tags="a"),
    post("experiments/create", name="$here t4", tags=["a"]),
    post("experiments/create", name="$here t5", tags={"a": "b"}),
    post("experiments/create", name="$here t6", tags=[{"key": "k" * 251}]),
    post(
        "experiments/create",
        name="$here t7",
        tags=[{"key": "k", "value": "v" * 20_001}],
    ),
    post("experiments/create", name="$here t8", tags=[{"key": "k", "value": 5}]),
    post("experiments/create", name="$here s3", artifact_location="s3://bucket/there"),
    post("experiments/create", name="$here q", artifact_location="s3://bucket/a?b=c"),
    post("experiments/create", name="$here f", artifact_location="s3://bucket/a#c"),
    post("experiments/create", name="$here dots", artifact_location="../../there"),
    post("experiments/create", name="$here l", artifact_location="s3://b/" + LONG * 5),
    post(
        "experiments/create",
        name="$here here",
        artifact_location="mlflow-artifacts:/own/place",
    ),
)

ABSENT = scene(
    "experiments that are not there",
    *(
        get("experiments/get", experiment_id=text)
        for text in ("987654321", "-1", "abc", "1.5", "1e3", "99999999999999999999", "")
    ),
    get("experiments/get"),
    get("experiments/get-by-name"),
    get("experiments/get-by-name", experiment_name=""),
    get("experiments/get-by-name", experiment_name="no such one"),
    post("experiments/delete", experiment_id="987654321"),
    post("experiments/delete", experiment_id="abc"),
    post("experiments/delete"),
    post("experiments/restore", experiment_id="987654321"),
    post("experiments/restore"),
    post("experiments/update", experiment_id="987654321", new_name="x"),
    post("experiments/update", experiment_id="987654321"),
    post("experiments/update", new_name="x"),
    post(
        "experiments/set-experiment-tag", experiment_id="987654321", key="k", value=""
    ),
    post("experiments/delete-experiment-tag", experiment_id="987654321", key="k"),
    post("experiments/delete", experiment_id=5),
)

TAGS = scene(
    "tags of an experiment",
    post("experiments/create", name="$here tags").keep(e_tags="experiment_id"),
    *(
        post("experiments/set-experiment-tag", experiment_id="$e_tags", **fields)
        for fields in (
            {"key": "a", "value": "1"},
            {"key": "a", "value": "2"},
            {"key": "empty", "value": ""},
            {"key": "absent"},
            {"key": "", "value": "v"},
            {"value": "v"},
            {"key": "k" * 250, "value": "v"},
            {"key": "k" * 251, "value": "v"},
            {"key": "long", "value": "v" * 5000},
            {"key": "longer", "value": "v" * 5001},
            {"key": "longest", "value": "v" * 20_001},
            {"key": "number", "value": 5},
            {"key": 5, "value": "v"},
            {"key": "a/b", "value": "v"},
            {"key": "a//b", "value": "v"},
            {"key": "../b", "value": "v"},
            {"key": "ключ", "value": "значение"},
            {"key": "a,b!", "value": "v"},
            {"key": "mlflow.note.content", "value": "# *Note*"},
        )
    ),
    get("experiments/get", experiment_id="$e_tags"),
    post("experiments/delete-experiment-tag", experiment_id="$e_tags", key="a"),
    post("experiments/delete-experiment-tag", experiment_id="$e_tags", key="a"),
    post("experiments/delete-experiment-tag", experiment_id="$e_tags", key="never"),
    post("experiments/delete-experiment-tag", experiment_id="$e_tags"),
    post("experiments/delete-experiment-tag", experiment_id="$e_tags", key=""),
    get("experiments/get", experiment_id="$e_tags"),
)

RENAME = scene(
    "names an experiment may not take",
    post("experiments/create", name="$here one").keep(e_one="experiment_id"),
    post("experiments/create", name="$here two").keep(e_two="experiment_id"),
    post("experiments/update", experiment_id="$e_one", new_name="$here two"),
    post("experiments/update", experiment_id="$e_one", new_name=""),
    post("experiments/update", experiment_id="$e_one"),
    post("experiments/update", experiment_id="$e_one", new_name=LONG),
    post("experiments/update", experiment_id="$e_one", new_name=7),
    get("experiments/get", experiment_id="$e_one"),
)

CASCADE = scene(
    "runs go and come back with their experiment",
    post("experiments/create", name="$here cascade").keep(e_casc="experiment_id"),
    post("runs/create", experiment_id="$e_casc", run_name="r1").keep(
        r_casc="run.info.run_id"
    ),
    post("runs/create", experiment_id="$e_casc", run_name="r2").keep(
        r_casc2="run.info.run_id"
    ),
    post("runs/delete", run_id="$r_casc2"),
    post("experiments/delete", experiment_id="$e_casc"),
    get("runs/get", run_id="$r_casc"),
    get("runs/get", run_id="$r_casc2"),
    post("runs/log-metric", run_id="$r_casc", key="m", value=1, timestamp=1),
    post("runs/restore", run_id="$r_casc"),
    post("runs/search", experiment_ids=["$e_casc"]),
    post("experiments/restore", experiment_id="$e_casc"),
    get("runs/get", run_id="$r_casc"),
    get("runs/get", run_id="$r_casc2"),
    post("runs/log-metric", run_id="$r_casc2", key="m", value=1, timestamp=1),
)

RAW = scene(
    "bodies that are no request",
    *(
        raw("POST", "experiments/create", body)
        for body in (
            b"",
            b"{",
            b"[]",
            b"null",
            b'"text"',
            b"5",
            b"{'name': 'x'}",
            b'{"name": }',
            b"\xff\xfe",
            b'{"name": "\\ud800"}',
            b'{"name": "a\\u0000b"}',
        )
    ),
    raw("POST", "experiments/create", b'{"name": "x"}', "text/plain"),
    raw("POST", "experiments/create", b"name=x", "application/x-www-form-urlencoded"),
    raw("POST", "experiments/create", b'{"name": "x"}', ""),
    raw(
        "POST",
        "experiments/create",
        b'{"name": "Default"}',
        "application/json; charset=utf-8",
    ),
    raw("DELETE", "experiments/create", b"{}"),
    raw("GET", "experiments/create", b""),
    raw("PUT", "experiments/search", b"{}"),
    get("experiments/no-such-endpoint"),
    post("no-such-thing"),
)

SCENES = (LIFE, DEFAULT, CREATE, ABSENT, TAGS, RENAME, CASCADE, RAW)
