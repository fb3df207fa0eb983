"""Both servers, each on a data base of its own in one scratch cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from mlops.db.cluster import SUPERUSER
from mlops.db.embedded import Embedded
from tests.differential.sides import Side
from tests.e2e.running import Platform, Tenant, free_port, running

# Where `make programs` installs them, whatever the environment's folder is called.
PROGRAMS = Path(sys.prefix) / "programs"
START_SECONDS = 120


def mlflow_command() -> Path:
    command = PROGRAMS / "mlflow3" / "bin" / "mlflow"
    if not command.exists():
        pytest.fail("MLflow's own server is not installed: run `make programs`")
    return command


@contextmanager
def mlflow_server(platform: Platform) -> Iterator[str]:
    """Run MLflow's own server; return its address."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="mlops-reference-") as folder:
        arguments = {
            "--host": "127.0.0.1",
            "--port": str(port),
            "--workers": "1",
            "--backend-store-uri": make_database(platform),
            "--artifacts-destination": folder,
        }
        log_file = Path(folder) / "server.log"
        with log_file.open("wb") as log:
            server = subprocess.Popen(
                [
                    mlflow_command(),
                    "server",
                    *(w for a in arguments.items() for w in a),
                ],
                cwd=folder,
                env=quiet_environment(folder),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                address = f"http://127.0.0.1:{port}"
                wait_until_healthy(address, server, log_file)
                yield address
            finally:
                stop(server)


def quiet_environment(folder: str) -> dict[str, str]:
    """Leave out what a job runner, telemetry or an outer client would add."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": folder,
        "TMPDIR": folder,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def make_database(platform: Platform) -> str:
    """Make an empty data base beside the platform's; return SQLAlchemy's address."""
    server = Embedded(platform.var)
    with psycopg.connect(server.superuser_url, autocommit=True) as superuser:
        superuser.execute("CREATE DATABASE reference")
    return server.url(SUPERUSER, "reference").replace("://", "+psycopg2://", 1)


def wait_until_healthy(address: str, server: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"MLflow's own server does not start: {log.read_text()[-2000:]}")


def stop(server: subprocess.Popen) -> None:
    """End the server and the workers it has started."""
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@contextmanager
def both_servers() -> Iterator[tuple[Side, Side]]:
    """Start MLflow's own server and ours; return a side for each, in this order."""
    with running() as platform, mlflow_server(platform) as address:
        yield Side(address), side_of(platform.make_tenant())


def side_of(tenant: Tenant) -> Side:
    return Side(tenant.base_url, {"Authorization": f"Bearer {tenant.token}"})
