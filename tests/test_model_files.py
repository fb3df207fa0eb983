"""Case H4: the server reads models as bytes; what could run them is never loaded."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("mlops", "tenants", "registry", "monitoring", "audit")
# Whatever unpickles, compiles or renders models; importing it is half the way.
LOADERS = frozenset(
    "mlflow joblib torch sklearn cloudpickle dill skops tensorflow keras onnx"
    " onnxruntime xgboost lightgbm catboost pandas transformers nbformat".split()
)
UNPICKLING = frozenset({"pickle", "_pickle", "marshal", "shelve", *LOADERS})

LOAD_ALL = """
import importlib, os, pkgutil, sys
from {wsgi} import application
from django.urls import get_resolver
def walk(patterns):
    for each in patterns:
        walk(getattr(each, "url_patterns", ()))
walk(get_resolver().url_patterns)
for package in {packages}:
    module = importlib.import_module(package)
    for found in pkgutil.walk_packages(module.__path__, package + "."):
        parts = found.name.split(".")
        if not {{"tests", "migrations", "bucket"}} & set(parts):
            importlib.import_module(found.name)
print(" ".join(sorted({{name.partition(".")[0] for name in sys.modules}})))
sys.stdout.flush()
os._exit(0)
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory) -> set[str]:
    """What is in memory once a server process has everything of ours that it may use.

    The database is not there: a process starts while it is away.
    """
    var = tmp_path_factory.mktemp("var")
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "mlops.settings",
        "VAR": str(var),
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    }
    code = LOAD_ALL.format(wsgi="mlops.wsgi", packages=PACKAGES)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return set(done.stdout.split())


def test_a_server_process_loads_nothing_that_opens_models(loaded):
    assert {"django", "registry", "psycopg"} <= loaded
    assert not loaded & LOADERS


def imported_names(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
    return names


def test_no_code_of_ours_unpickles():
    files = [
        file
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
        if "tests" not in file.parts
    ]
    assert len(files) > 200
    found = {
        str(file.relative_to(ROOT)): sorted(imported_names(file) & UNPICKLING)
        for file in files
        if imported_names(file) & UNPICKLING
    }
    assert found == {}


def test_the_look_for_loaders_finds_one(tmp_path):
    file = tmp_path / "loads.py"
    file.write_text("import os\nfrom joblib.numpy_pickle import load\nimport pickle\n")
    assert imported_names(file) & UNPICKLING == {"joblib", "pickle"}
