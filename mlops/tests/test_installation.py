from __future__ import annotations

import os
import subprocess
from multiprocessing import get_context

import pytest

from mlops import installation as module
from mlops.errors import Conflict
from mlops.installation import Installation

FIRST = {
    "tracking_uri": "http://127.0.0.1:8000/mlflow/demo/it's",
    "token": "mlp_s_1",
    "admin_username": "admin",
    "admin_password": "a b'c$d",
}
LATER = {**FIRST, "token": None, "admin_username": None, "admin_password": None}
URLS = {
    "DATABASE_URL": "postgresql://app_rw:x@/mlops?host=%2Ftmp&port=5432",
    "OWNER_DATABASE_URL": "postgresql://app_owner:y@/mlops?host=%2Ftmp&port=5432",
}


@pytest.fixture
def installation(tmp_path):
    return Installation(tmp_path, 8000, "http://127.0.0.1:8000")


def test_connection_file_is_read_by_shells(installation):
    installation.write_connection(FIRST, URLS)
    script = f". {installation.connection_file}; printf '%s|' "
    names = ("ADMIN_PASSWORD", "DATABASE_URL", "MLFLOW_TRACKING_URI")
    script += " ".join(f'"${name}"' for name in names)
    said = subprocess.check_output(["sh", "-c", script], text=True)
    assert said.split("|")[:-1] == [
        FIRST["admin_password"],
        URLS["DATABASE_URL"],
        FIRST["tracking_uri"],
    ]


def test_connection_file_is_ours_alone(installation):
    installation.write_connection(FIRST, URLS)
    assert installation.connection_file.stat().st_mode & 0o777 == 0o600
    assert list(installation.var.glob(".connection*")) == []


def test_connection_keeps_what_is_told_only_once(installation):
    first = installation.write_connection(FIRST, URLS)
    moved = Installation(installation.var, 8100, "http://127.0.0.1:8100")
    later = {**LATER, "tracking_uri": "http://127.0.0.1:8100"}
    assert moved.write_connection(later, URLS) == {
        **first,
        "BASE_URL": "http://127.0.0.1:8100",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:8100",
    }
    assert moved.connection() == moved.write_connection(later, URLS)


def test_connection_takes_a_path_for_the_tracking_uri(installation):
    told = installation.write_connection({**FIRST, "tracking_uri": "/mlflow/a/b"}, URLS)
    assert told["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:8000/mlflow/a/b"


def test_connection_holds_databases_that_the_environment_names(
    installation, monkeypatch
):
    for name, url in URLS.items():
        monkeypatch.setenv(name, url)
    told = installation.write_connection(FIRST, {})
    assert {name: told[name] for name in URLS} == URLS


def test_connection_takes_no_token_from_the_environment(installation, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "of another server")
    assert installation.write_connection(LATER, URLS)["MLFLOW_TRACKING_TOKEN"] == ""


def _try_to_supervise(var, answers):
    try:
        with Installation(var, 8000, "").supervised():
            answers.put("alone")
    except Conflict as refusal:
        answers.put(str(refusal))


def test_only_one_process_supervises(installation):
    context = get_context("spawn")
    answers = context.Queue()

    def other():
        process = context.Process(
            target=_try_to_supervise, args=(installation.var, answers)
        )
        process.start()
        process.join()
        return answers.get()

    with installation.supervised():
        assert "runs" in other()
    assert other() == "alone"


def test_supervision_believes_only_the_process_that_wrote(installation):
    assert installation.supervision() is None
    with installation.supervised():
        installation.enter("ready")
        found = installation.supervision()
        assert (found.pid, found.phase, found.port) == (os.getpid(), "ready", 8000)
        text = installation._state.read_text()
        installation._state.write_text(text.replace('"started": ', '"started": 1'))
        assert installation.supervision() is None
    assert not installation._state.exists()


def test_log_is_put_aside_when_it_grew_too_long(installation, monkeypatch):
    monkeypatch.setattr(module, "LOG_BYTES", 10)
    installation.log("web").write_text("short")
    assert installation.log("web").read_text() == "short"
    installation.log("web").write_text("longer than ten")
    assert not installation.log("web").exists()
    assert installation.log("web").with_suffix(".log.1").exists()


def test_folders_are_made_on_demand(installation):
    assert installation.folder("run").is_dir()
