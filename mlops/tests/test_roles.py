"""Roles on a server of this module's own, since they belong to the whole cluster; with
DATABASE_URL on that one, so that every major is tried."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from django.core.management import call_command
from psycopg.conninfo import make_conninfo
from psycopg.errors import InsufficientPrivilege

from mlops import env
from mlops.db import roles
from mlops.db.embedded import Embedded
from mlops.errors import Unavailable

DATABASE = f"test_roles_{os.getpid()}"
PASSWORDS = {role: f"test-{role}" for role in roles.LOGINS}


@pytest.fixture(scope="module")
def cluster():
    if url := env.text("DATABASE_URL"):
        yield url
        return
    folder = Path(tempfile.mkdtemp(prefix="mlops-roles-", dir="/tmp"))
    folder.chmod(0o711)
    with Embedded(folder / "var").lease() as server:
        yield server.superuser_url
    shutil.rmtree(folder)


@pytest.fixture
def superuser(cluster):
    with psycopg.connect(cluster, autocommit=True) as connection:
        yield connection
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        connection.execute("DROP ROLE IF EXISTS test_admin")


@pytest.fixture
def made(cluster, superuser):
    """Return a function that connects as a role to the database once made."""
    roles.bootstrap(cluster, DATABASE, PASSWORDS)
    opened = []

    def connect(role):
        url = roles.url_for(cluster, role, PASSWORDS[role])
        conninfo = make_conninfo(url, dbname=DATABASE)
        opened.append(psycopg.connect(conninfo, autocommit=True))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


def one(connection, query, *values):
    return connection.execute(query, values).fetchone()[0]


def attributes(superuser):
    query = """
        SELECT rolname, rolcanlogin, rolbypassrls,
               rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication
        FROM pg_roles WHERE rolname = ANY(%s)
    """
    names = [role.name for role in roles.ROLES]
    return {name: rest for name, *rest in superuser.execute(query, [names])}


def test_bootstrap_gives_each_role_what_it_needs_and_no_more(superuser, made):
    assert attributes(superuser) == {
        "app_owner": [True, False, False],
        "app_rw": [True, False, False],
        "app_maint": [True, True, False],
        "app_ro": [True, False, False],
        "audit_owner": [False, False, False],
    }
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s"
    assert one(superuser, owner, DATABASE) == "app_owner"
    encoding = (
        "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = %s"
    )
    assert one(superuser, encoding, DATABASE) == "UTF8"


@pytest.mark.parametrize(
    "role, statement, lock, idle",
    [
        ("app_rw", "5s", "2s", "10s"),
        ("app_maint", "1min", "5s", "1min"),
        ("app_owner", "0", "0", None),
        ("app_ro", "30s", "0", None),
    ],
)
def test_timeouts_follow_the_role(made, role, statement, lock, idle):
    connection = made(role)
    assert one(connection, "SHOW statement_timeout") == statement
    assert one(connection, "SHOW lock_timeout") == lock
    if idle:
        assert one(connection, "SHOW idle_in_transaction_session_timeout") == idle
    assert one(connection, "SHOW plan_cache_mode") == "auto"


@pytest.mark.parametrize(
    "role, refused",
    [
        ("app_rw", "CREATE TABLE t (n int)"),
        ("app_rw", "CREATE TEMPORARY TABLE t (n int)"),
        ("app_rw", "CREATE SCHEMA s"),
        ("app_rw", "SET ROLE app_maint"),
        ("app_rw", "SET ROLE audit_owner"),
        ("app_rw", "SET ROLE app_owner"),
        ("app_rw", "SELECT * FROM kept"),
        ("app_rw", "TRUNCATE kept"),
        ("app_rw", "SET session_replication_role = replica"),
        ("app_maint", "CREATE TABLE t (n int)"),
        ("app_maint", "SET ROLE app_owner"),
        ("app_maint", "SET ROLE audit_owner"),
        ("app_maint", "SELECT * FROM kept"),
        ("app_ro", "SELECT * FROM kept"),
        ("app_ro", "SET ROLE app_maint"),
        ("app_owner", "CREATE ROLE other"),
    ],
)
def test_roles_are_refused_what_is_not_theirs(made, role, refused):
    made("app_owner").execute("CREATE TABLE kept (n int)")
    with pytest.raises(InsufficientPrivilege):
        made(role).execute(refused)


def test_force_binds_the_owner_and_lets_app_maint_through(made):
    owner = made("app_owner")
    owner.execute("CREATE TABLE kept (n int)")
    owner.execute("INSERT INTO kept VALUES (1)")
    owner.execute("ALTER TABLE kept ENABLE ROW LEVEL SECURITY")
    owner.execute("ALTER TABLE kept FORCE ROW LEVEL SECURITY")
    owner.execute("GRANT SELECT ON kept TO app_rw, app_maint")
    assert one(owner, "SELECT count(*) FROM kept") == 0
    assert one(made("app_rw"), "SELECT count(*) FROM kept") == 0
    maint = made("app_maint")
    assert one(maint, "SELECT count(*) FROM kept") == 1
    maint.execute("SET ROLE app_rw")
    assert one(maint, "SELECT count(*) FROM kept") == 0


def test_owner_hands_tables_to_roles_it_may_become_without_their_rights(made):
    owner = made("app_owner")
    owner.execute("CREATE TABLE trail (n int)")
    owner.execute("ALTER TABLE trail OWNER TO audit_owner")
    with pytest.raises(InsufficientPrivilege):
        owner.execute("INSERT INTO trail VALUES (1)")
    owner.execute("SET ROLE audit_owner")
    owner.execute("INSERT INTO trail VALUES (1)")
    owner.execute("CREATE TABLE trail_2026_11 (n int)")
    owner.execute("SET ROLE app_maint")
    assert one(owner, "SELECT current_user") == "app_maint"


def test_statistics_are_open_to_app_ro(made):
    connection = made("app_ro")
    assert one(connection, "SELECT pg_has_role('pg_monitor', 'USAGE')")
    connection.execute("SELECT count(*) FROM pgstatindex('pg_class_oid_index')")


def test_nobody_else_connects_to_the_database(superuser, made):
    grant = "SELECT has_database_privilege('public', %s, 'CONNECT')"
    assert not one(superuser, grant, DATABASE)


def test_bootstrap_mends_what_was_changed(cluster, superuser, made):
    before = attributes(superuser)
    superuser.execute("ALTER ROLE app_rw SUPERUSER BYPASSRLS PASSWORD 'other'")
    superuser.execute("ALTER ROLE audit_owner LOGIN")
    superuser.execute(f"ALTER ROLE app_rw IN DATABASE {DATABASE} RESET ALL")
    superuser.execute(f"ALTER DATABASE {DATABASE} OWNER TO CURRENT_USER")
    roles.bootstrap(cluster, DATABASE, PASSWORDS)
    assert attributes(superuser) == before
    assert one(made("app_rw"), "SHOW statement_timeout") == "5s"
    made("app_owner").execute("CREATE TABLE again (n int)")


def test_bootstrap_by_several_at_once(cluster, superuser):
    def run(_):
        return roles.bootstrap(cluster, DATABASE, PASSWORDS)

    with ThreadPoolExecutor(6) as threads:
        assert len(list(threads.map(run, range(6)))) == 6


def test_bootstrap_starts_from_a_url_whose_database_is_yet_to_be_made(
    cluster, superuser
):
    url = make_conninfo(cluster, dbname=DATABASE)
    roles.bootstrap(url, DATABASE, PASSWORDS)
    assert one(
        superuser, "SELECT count(*) FROM pg_database WHERE datname = %s", DATABASE
    )


def test_bootstrap_by_a_role_that_is_no_superuser(cluster, superuser, made):
    superuser.execute(f"DROP DATABASE {DATABASE}")
    superuser.execute(
        "CREATE ROLE test_admin LOGIN CREATEROLE CREATEDB BYPASSRLS PASSWORD 'admin'"
    )
    # As if it had made them.
    for role in roles.ROLES:
        superuser.execute(f"GRANT {role.name} TO test_admin WITH ADMIN OPTION")
    admin = roles.url_for(cluster, "test_admin", "admin")
    assert roles.is_privileged(admin)
    if superuser.info.server_version >= 160000:
        left_out = roles.bootstrap(admin, DATABASE, PASSWORDS)
        assert [word for word in left_out if "pg_stat_statements" in word]
        made("app_owner").execute("CREATE TABLE t (n int)")
    else:
        with pytest.raises(Unavailable, match="superuser"):
            roles.bootstrap(admin, DATABASE, PASSWORDS)
    superuser.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
    superuser.execute("DROP OWNED BY test_admin")


def test_bootstrap_refuses_a_connection_that_may_not_make_roles(cluster, made):
    web = roles.url_for(cluster, "app_rw", PASSWORDS["app_rw"])
    assert roles.is_privileged(cluster)
    assert not roles.is_privileged(make_conninfo(web, dbname=DATABASE))
    with pytest.raises(Unavailable, match="superuser"):
        roles.bootstrap(make_conninfo(web, dbname=DATABASE), DATABASE, PASSWORDS)


def test_passwords_never_reach_the_server(superuser, made):
    query = "SELECT rolpassword FROM pg_authid WHERE rolname = 'app_rw'"
    assert one(superuser, query).startswith("SCRAM-SHA-256$")


@pytest.mark.parametrize(
    "url, expected",
    [
        ("postgresql://a:b@h:5433/db", "postgresql://app_rw:p%2F%20@h:5433/db"),
        (
            "postgres://h/db?sslmode=require",
            "postgres://app_rw:p%2F%20@h/db?sslmode=require",
        ),
        (
            "postgresql:///db?host=%2Ftmp&user=a&password=b",
            "postgresql://app_rw:p%2F%20@/db?host=%2Ftmp",
        ),
    ],
)
def test_url_for_another_role(url, expected):
    assert roles.url_for(url, "app_rw", "p/ ") == expected


def test_command_makes_a_database(cluster, superuser, capsys, settings, tmp_path):
    settings.VAR = tmp_path
    call_command("bootstrap_roles", "--json", f"--url={cluster}", f"--name={DATABASE}")
    said = json.loads(capsys.readouterr().out)
    assert (said["status"], said["database"]) == ("ok", DATABASE)
    assert set(said["roles"]) == {role.name for role in roles.ROLES}
    roles.bootstrap(cluster, DATABASE, PASSWORDS)


def test_command_says_what_it_would_do(cluster, superuser, capsys):
    call_command(
        "bootstrap_roles", "--dry-run", f"--url={cluster}", f"--name={DATABASE}"
    )
    assert f"Would make {DATABASE}" in capsys.readouterr().out
    assert not one(
        superuser, "SELECT count(*) FROM pg_database WHERE datname = %s", DATABASE
    )
