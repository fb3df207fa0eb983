"""The whole platform as real processes, in a folder and on a port of its own."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest

from mlops import processes
from mlops.db.embedded import Embedded
from mlops.installation import Installation
from mlops.supervisor import CHILDREN, MARKER

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).resolve().parents[2]
PERSONAL = ("DATABASE_URL", "OWNER_DATABASE_URL", "ADMIN_DATABASE_URL", "BASE_URL")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Platform:
    def __init__(self, folder, **environment):
        self.var = folder / "var"
        self.port = free_port()
        kept = {key: os.environ[key] for key in os.environ if key not in PERSONAL}
        self.environment = {
            **kept,
            "DJANGO_SETTINGS_MODULE": "mlops.settings",
            "VAR": str(self.var),
            "PORT": str(self.port),
            **environment,
        }
        self.installation = Installation(self.var, self.port, self.base_url)

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self.port}"

    def manage(self, *words):
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            check=False,
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
        )

    def up(self, *words):
        return self.manage("up", "--detach", "--no-example", "--json", *words)

    def started(self):
        running = self.installation.supervision()
        if running and self.is_ready():
            return {"pid": running.pid}
        done = self.up()
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def is_ready(self):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            client.request("GET", "/health/ready")
            return client.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            client.close()

    def children(self, *names):
        markers = [f"{MARKER}={self.var}:{name}" for name in names or CHILDREN]
        return processes.carrying(*markers)

    def master(self, name):
        """The first process of a child, whose session the others are in."""
        for pid in self.children(name):
            if processes.stat(pid)[3:4] == [str(pid)]:
                return pid
        return None

    def is_gone(self):
        return not self.children() and not Embedded(self.var).lives()


@pytest.fixture(scope="module")
def folder():
    path = Path(tempfile.mkdtemp(prefix="mlops-up-", dir="/tmp"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def platform(folder):
    """One installation for this module; each test starts it if it needs it."""
    platform = Platform(folder)
    yield platform
    platform.manage("down")
    assert platform.is_gone()


def test_up_serves_and_writes_how_to_reach_it(platform):
    said = platform.started()
    assert said["base_url"] == platform.base_url
    assert platform.is_ready()
    assert platform.installation.connection_file.stat().st_mode & 0o777 == 0o600
    found = platform.installation.connection()
    assert found["BASE_URL"] == platform.base_url
    assert found["MLFLOW_TRACKING_URI"].startswith(platform.base_url)
    assert all(found.values())
    for name, role in (("DATABASE_URL", "app_rw"), ("OWNER_DATABASE_URL", "app_owner")):
        with psycopg.connect(found[name]) as connection:
            assert connection.info.user == role
    assert "DATABASE_URL" not in json.dumps(said)
    assert found["ADMIN_PASSWORD"] not in platform.installation.log("up").read_text()


def test_up_leaves_a_running_one_alone(platform):
    before = platform.started()
    again = platform.up()
    assert json.loads(again.stdout)["pid"] == before["pid"]
    refused = platform.up(f"--port={free_port()}")
    assert refused.returncode == 3
    assert f"runs already, on port {platform.port}" in refused.stderr
    assert platform.is_ready()


@pytest.mark.parametrize("name", ["web", "worker"])
def test_killed_children_are_started_again(platform, name):
    platform.started()
    killed = platform.master(name)
    os.kill(killed, signal.SIGKILL)

    def is_back():
        return platform.master(name) not in {None, killed} and platform.is_ready()

    assert processes.wait_until(is_back, 60)


def test_killed_database_is_started_again(platform):
    platform.started()
    killed = Embedded(platform.var).status().pid
    os.kill(killed, signal.SIGKILL)
    assert processes.wait_until(lambda: Embedded(platform.var).connects(), 60)
    assert Embedded(platform.var).status().pid != killed
    assert processes.wait_until(platform.is_ready, 60)


def test_prepare_changes_nothing_the_second_time(platform):
    platform.started()
    prepared = platform.manage("prepare", "--json")
    assert prepared.returncode == 0, prepared.stderr
    told = json.loads(prepared.stdout)
    assert (told["admin_password"], told["token"]) == (None, None)
    planned = platform.manage("prepare", "--dry-run")
    assert planned.stdout.startswith("Would migrate")


def test_children_and_database_end_with_a_killed_supervisor(platform):
    os.kill(platform.started()["pid"], signal.SIGKILL)
    assert processes.wait_until(platform.is_gone, 60)


def test_up_ends_orphans_and_keeps_what_was_told_once(platform):
    pid = platform.started()["pid"]
    before = platform.installation.connection()
    masters = [platform.master("web"), platform.master("worker")]
    os.kill(pid, signal.SIGSTOP)  # or it would start them again
    for killed in (*masters, pid):
        os.kill(killed, signal.SIGKILL)
    assert processes.wait_until(lambda: not platform.installation.supervision(), 30)
    orphans = platform.children("web")
    assert orphans
    platform.started()
    assert platform.is_ready()
    assert not set(orphans) & set(platform.children())
    assert platform.installation.connection() == before


def test_down_leaves_no_process(platform):
    platform.started()
    stopped = platform.manage("down", "--json")
    assert json.loads(stopped.stdout)["stopped"] is True
    assert platform.is_gone()
    again = platform.manage("down", "--json")
    assert (again.returncode, json.loads(again.stdout)["stopped"]) == (0, False)


def test_up_in_front_tells_and_stops_at_ctrl_c(platform):
    platform.manage("down")
    with subprocess.Popen(
        [sys.executable, "manage.py", "up", "--no-example"],
        cwd=REPOSITORY,
        env=platform.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as up:
        said = [up.stdout.readline()]
        while said[-1] and not said[-1].startswith("Logs are in"):
            said.append(up.stdout.readline())
        assert platform.is_ready()
        assert f"Ready at {platform.base_url}\n" in said
        exports = [line for line in said if "export MLFLOW_TRACKING_" in line]
        script = "".join(exports) + "printenv MLFLOW_TRACKING_TOKEN"
        token = subprocess.check_output(["sh", "-c", script], text=True).strip()
        assert token == platform.installation.connection()["MLFLOW_TRACKING_TOKEN"]
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0
    assert platform.is_gone()


def test_up_says_who_has_the_port(platform):
    platform.manage("down")
    with socket.create_server(("127.0.0.1", platform.port)):
        refused = platform.up()
    assert refused.returncode == 3
    assert f"Port {platform.port} of 127.0.0.1 cannot be had" in refused.stderr
    assert "PORT=8100" in json.loads(refused.stdout)["not_checked"][0]["reason"]
    assert platform.is_gone()


@pytest.fixture(scope="module")
def server(folder):
    """A PostgreSQL that is somebody else's business."""
    with Embedded(folder / "elsewhere").lease() as server:
        yield server


def test_up_makes_roles_over_a_superusers_url(folder, server):
    (folder / "over").mkdir(mode=0o711)
    shop = server.url("postgres", "shop")
    platform = Platform(folder / "over", DATABASE_URL=shop)
    try:
        platform.started()
        assert platform.is_ready()
        assert not (platform.var / "pgdata").exists()
        web = platform.installation.connection()["DATABASE_URL"]
        with psycopg.connect(web) as connection:
            assert (connection.info.user, connection.info.dbname) == ("app_rw", "shop")
    finally:
        platform.manage("down")
    assert platform.is_gone()
    assert server.connects()
    unprivileged = Platform(folder / "over", DATABASE_URL=web).up()
    assert unprivileged.returncode == 3
    assert "set OWNER_DATABASE_URL" in unprivileged.stderr
    assert platform.is_gone()
