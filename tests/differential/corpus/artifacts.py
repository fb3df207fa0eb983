"""Artifacts: sent, listed, read, removed; paths that must lead nowhere."""

from __future__ import annotations

from tests.differential.calls import FILES, Call, get, post, raw, scene

OCTETS = "application/octet-stream"
UPLOAD = "/ajax-api/2.0/mlflow/upload-artifact"


def put(path: str, content: bytes) -> Call:
    return raw("PUT", f"{FILES}/{path}", content, OCTETS)


def take(path: str) -> Call:
    return Call("GET", f"{FILES}/{path}")


HOME = "$e_art/$r_art/artifacts"
NAMES = (
    "a.txt",
    "b.json",
    "c.html",
    "d.js",
    "e.py",
    "f.csv",
    "g.yaml",
    "h.md",
    "i.png",
    "j.svg",
    "k.bin",
    "l.unknown",
    "MLmodel",
    "m.pkl",
    "n.parquet",
    "o.xml",
    "p.log",
    "q.pdf",
    "sub/one.txt",
    "sub/two/three.txt",
    "sub/größe 模型.txt",
    "sub/with space & + (1).txt",
    ".hidden",
)
EVIL = (
    "../up",
    "a/../../up",
    "/etc/passwd",
    "a\\b",
    "%2e%2e/up",
    "%252e%252e/up",
    "file:///etc/passwd",
    "a//b",
    ".",
    "..",
    "a/./b",
    "a?b",
    "a#b",
    "C:/x",
    "http://example.org/x",
)

FILES_OF_A_RUN = scene(
    "files of a run",
    post("experiments/create", name="$here files").keep(e_art="experiment_id"),
    post("runs/create", experiment_id="$e_art", run_name="files").keep(
        r_art="run.info.run_id"
    ),
    get("artifacts/list", run_id="$r_art"),
    *(put(f"{HOME}/{name}", f"content of {name}".encode()) for name in NAMES),
    put(f"{HOME}/empty.txt", b""),
    put(f"{HOME}/a.txt", b"written twice"),
    *(take(f"{HOME}/{name}") for name in NAMES),
    take(f"{HOME}/empty.txt"),
    take(f"{HOME}/never.txt"),
    take(f"{HOME}/sub"),
    take(f"{HOME}/sub/never"),
    *(
        get("artifacts/list", run_id="$r_art", **fields)
        for fields in (
            {},
            {"path": ""},
            {"path": "sub"},
            {"path": "sub/"},
            {"path": "sub/two"},
            {"path": "a.txt"},
            {"path": "never"},
            {"page_token": "junk"},
        )
    ),
    *(get("artifacts/list", run_id="$r_art", path=path) for path in EVIL),
    get("artifacts/list", run_uuid="$r_art"),
    get("artifacts/list"),
    get("artifacts/list", run_id="nope"),
    *(
        get("/get-artifact", run_id="$r_art", **fields)
        for fields in (
            {"path": "a.txt"},
            {"path": "c.html"},
            {"path": "sub/größe 模型.txt"},
            {"path": "never.txt"},
            {"path": "sub"},
            {"path": ""},
            {},
        )
    ),
    *(get("/get-artifact", run_id="$r_art", path=path) for path in EVIL),
    get("/get-artifact", run_uuid="$r_art", path="a.txt"),
    get("/get-artifact", path="a.txt"),
    get("/get-artifact", run_id="nope", path="a.txt"),
    get(FILES, path="$e_art/$r_art/artifacts"),
    get(FILES, path="$e_art/$r_art/artifacts/sub"),
    get(FILES, path="$e_art/$r_art/artifacts/a.txt"),
    get(FILES, path="$e_art/$r_art/artifacts/never"),
    *(get(FILES, path=f"{HOME}/{path}") for path in EVIL),
    put(f"{HOME}/%2e%2e/up", b"evil"),
    *(take(f"{HOME}/{path}") for path in ("%2e%2e/up", "%252e%252e/up")),
    raw("DELETE", f"{FILES}/{HOME}/b.json", b"", ""),
    raw("DELETE", f"{FILES}/{HOME}/b.json", b"", ""),
    raw("DELETE", f"{FILES}/{HOME}/sub", b"", ""),
    take(f"{HOME}/b.json"),
    get("artifacts/list", run_id="$r_art"),
    Call("HEAD", f"{FILES}/{HOME}/a.txt"),
    *(
        Call("POST", UPLOAD, (("run_uuid", "$r_art"), ("path", path)), b"up", OCTETS)
        for path in ("up.txt", "new/up.txt", "", "../up.txt")
    ),
    Call("POST", UPLOAD, (("run_uuid", "nope"), ("path", "up.txt")), b"up", OCTETS),
    Call("POST", UPLOAD, (("path", "up.txt"),), b"up", OCTETS),
    Call("POST", UPLOAD, (("run_uuid", "$r_art"), ("path", "up.txt")), b"", OCTETS),
    get("/get-artifact", run_id="$r_art", path="new/up.txt"),
    raw("POST", "/api/2.0/mlflow-artifacts/mpu/create/" + HOME + "/big.bin", b"{}"),
    post("artifacts/presigned-upload-url", run_id="$r_art", path="x.txt"),
    post("artifacts/presigned-download-url", run_id="$r_art", path="a.txt"),
    Call("GET", f"/api/2.0/mlflow-artifacts/presigned/{HOME}/a.txt"),
)

ODD = scene(
    "names of files that are none here",
    post("experiments/create", name="$here odd files").keep(e_oart="experiment_id"),
    post("runs/create", experiment_id="$e_oart", run_name="odd files").keep(
        r_oart="run.info.run_id"
    ),
    *(
        call
        for path in ("a%5Cb", "a%00b", "a//b", "a/./b")
        for call in (
            put(f"$e_oart/$r_oart/artifacts/{path}", b"odd"),
            take(f"$e_oart/$r_oart/artifacts/{path}"),
        )
    ),
)

DELETED = scene(
    "files of a deleted run",
    post("runs/create", experiment_id="0", run_name="no files").keep(
        r_dart="run.info.run_id"
    ),
    put("0/$r_dart/artifacts/a.txt", b"before"),
    post("runs/delete", run_id="$r_dart"),
    put("0/$r_dart/artifacts/b.txt", b"after"),
    take("0/$r_dart/artifacts/a.txt"),
)

SCENES = (FILES_OF_A_RUN, ODD, DELETED)
