"""A whole platform of its own: database, web and jobs, below a folder in /tmp."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

from mlops.installation import Installation

ROOT = Path(__file__).resolve().parents[2]
# What would point our platform at another's database, settings or folder.
FOREIGN = ("DJANGO_SETTINGS_MODULE", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN")
DATABASES = ("DATABASE_URL", "OWNER_DATABASE_URL", "ADMIN_DATABASE_URL")


@dataclass(frozen=True)
class Tenant:
    """A project of an organization of its own, and a token that is bound to it."""

    base_url: str
    organization: str
    project: str
    token: str

    @property
    def by_path(self) -> str:
        return f"{self.base_url}/mlflow/{self.organization}/{self.project}"

    def address(self, mount: str) -> str:
        return {"token": self.base_url, "path": self.by_path}[mount]

    def environment(self, mount: str = "token") -> dict[str, str]:
        """What a data scientist sets, and nothing else."""
        return {
            "MLFLOW_TRACKING_URI": self.address(mount),
            "MLFLOW_TRACKING_TOKEN": self.token,
        }

    @contextmanager
    def client(self, mount: str = "token") -> Iterator[MlflowClient]:
        # Without its long ladder of retries: a refusal is to show at once.
        ours = {**self.environment(mount), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
        before = {name: os.environ.get(name) for name in ours}
        os.environ.update(ours)
        try:
            client = MlflowClient()
            # Else a test of what is refused would ask elsewhere, and prove nothing.
            assert client.tracking_uri == self.address(mount), "set by set_tracking_uri"
            yield client
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


class Platform:
    """`connection` holds what connection.env tells, by its names."""

    def __init__(self, var: Path, port: int) -> None:
        self.var = var
        self.port = port
        self.base_url = f"http://127.0.0.1:{port}"

    @property
    def connection(self) -> dict[str, str]:
        return Installation(self.var, self.port, self.base_url).connection()

    def manage(self, *words: str) -> Any:
        """Run a command with --json and return what it prints."""
        return json.loads(self.run("manage.py", *words, "--json"))

    def run(self, *words: str) -> str:
        """Run a Python program as the installation's operator; return what it prints.

        Raises RuntimeError with all it said when it fails.
        """
        foreign = (*FOREIGN, *DATABASES)
        own = {name: os.environ[name] for name in os.environ if name not in foreign}
        place = {"VAR": str(self.var), "PORT": str(self.port)}
        ran = subprocess.run(
            [sys.executable, *words],
            cwd=ROOT,
            env={**own, **place, "DJANGO_SETTINGS_MODULE": "mlops.settings"},
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise RuntimeError(f"{' '.join(words)}: {ran.stdout}{ran.stderr}")
        return ran.stdout

    def make_tenant(self) -> Tenant:
        made = self.manage("create_tenant")
        return Tenant(
            self.base_url, made["organization"], made["project"], made["token"]
        )


@contextmanager
def running() -> Iterator[Platform]:
    # Not pytest's own folder: the database's account must be able to enter.
    var = Path(tempfile.mkdtemp(prefix="mlops-e2e-"))
    var.chmod(0o711)
    platform = Platform(var, free_port())
    try:
        platform.manage("up", "--detach", "--no-example")
        yield platform
    finally:
        platform.manage("down")
        shutil.rmtree(var)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
