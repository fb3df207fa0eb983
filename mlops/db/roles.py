"""The database roles as data, and the one function that makes them.

`app_rw` serves requests and owns nothing, so row-level security binds it. `app_owner`
owns the tables and migrates; FORCE binds it too. `app_maint` works for commands, jobs
and superusers across organizations. `app_ro` reads statistics. `audit_owner`, which
nobody can log in as, owns the audit trail.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import (
    FeatureNotSupported,
    InsufficientPrivilege,
    UndefinedFile,
)
from psycopg.sql import SQL, Identifier

from mlops.errors import Unavailable

EXTENSIONS = ("pg_stat_statements", "pg_trgm", "pgstattuple")
# Held while roles are made: two at once would meet "tuple concurrently updated".
LOCK = 7_303_014
CREDENTIALS = ("user", "password", "dbname")
ATTRIBUTES = """
SELECT rolcanlogin, rolinherit, rolbypassrls, rolsuper, rolcreaterole, rolcreatedb,
       rolreplication
FROM pg_roles WHERE rolname = %s
"""


@dataclass(frozen=True, slots=True)
class Role:
    name: str
    login: bool = True
    bypass: bool = False
    # SET ROLE makes it one of these. It inherits nothing from them meanwhile.
    becomes: tuple[str, ...] = ()
    member_of: tuple[str, ...] = ()
    makes_tables: bool = False
    makes_temporary: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


ROLES = (
    Role("audit_owner", login=False, makes_tables=True),
    Role(
        "app_rw",
        settings={
            # Its statements are short: to compile one would cost more than it saves.
            "jit": "off",
            "statement_timeout": "5s",
            "lock_timeout": "2s",
            "idle_in_transaction_session_timeout": "10s",
        },
    ),
    Role(
        "app_maint",
        bypass=True,
        # A job for one organization becomes it, so that both locks hold there too.
        becomes=("app_rw",),
        makes_temporary=True,
        settings={
            "statement_timeout": "60s",
            "lock_timeout": "5s",
            "idle_in_transaction_session_timeout": "60s",
        },
    ),
    Role(
        "app_owner",
        becomes=("audit_owner", "app_maint"),
        makes_tables=True,
        makes_temporary=True,
    ),
    Role(
        "app_ro",
        member_of=("pg_monitor",),
        settings={
            "statement_timeout": "30s",
            "default_transaction_read_only": "on",
        },
    ),
)
LOGINS = tuple(role.name for role in ROLES if role.login)
OWNER = "app_owner"
DATABASE = "mlops"


def bootstrap(
    superuser_conninfo: str, database: str, passwords: Mapping[str, str]
) -> list[str]:
    """Make the roles and `database`, or make them right; return what was left out.

    `passwords` holds one per role of LOGINS. Safe to run twice, and by two at once.
    Left out, for want of the right or of the files, are extensions and pg_monitor.
    Raises Unavailable when the connection cannot make roles.
    """
    if missing := set(LOGINS) - set(passwords):
        raise ValueError(f"No password for {', '.join(sorted(missing))}.")
    try:
        return list(_bootstrap(superuser_conninfo, database, passwords))
    except InsufficientPrivilege as error:
        raise Unavailable(
            f"The role of this connection may not make the roles: {error}."
            " Connect as a superuser."
        ) from None


def is_privileged(conninfo: str) -> bool:
    """Tell whether this connection may make roles and databases."""
    with _connect_anywhere(conninfo) as connection:
        row = connection.execute(
            "SELECT rolsuper OR (rolcreaterole AND rolcreatedb)"
            " FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    return bool(row and row[0])


def database_of(url: str) -> str:
    named = conninfo_to_dict(url)
    return str(named.get("dbname") or named.get("user") or DATABASE)


def url_for(url: str, role: str, password: str) -> str:
    """Return the same server and database as `url`, for another role."""
    parts = urlsplit(url)
    server = parts.netloc.rpartition("@")[2]
    query = [pair for pair in parse_qsl(parts.query) if pair[0] not in CREDENTIALS]
    return urlunsplit(
        parts._replace(
            netloc=f"{quote(role)}:{quote(password, safe='')}@{server}",
            query=urlencode(query, quote_via=quote),
        )
    )


def _bootstrap(
    conninfo: str, database: str, passwords: Mapping[str, str]
) -> Iterator[str]:
    with _connect_anywhere(conninfo) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        yield from _make_roles(connection, passwords)
        _make_database(connection, database)
        _set_defaults(connection, database)
        with _connect(conninfo, dbname=database) as inside:
            yield from _make_extensions(inside)
            _grant(inside, database)


def _connect_anywhere(conninfo: str) -> Connection:
    """Connect to the database of `conninfo`, or beside it if it is yet to be made."""
    try:
        return _connect(conninfo)
    except Unavailable as error:
        if "does not exist" not in str(error):
            raise
        return _connect(conninfo, dbname="postgres")


def _connect(conninfo: str, **changes: str) -> Connection:
    try:
        return psycopg.connect(
            make_conninfo(conninfo, **changes), autocommit=True, connect_timeout=10
        )
    except psycopg.OperationalError as error:
        raise Unavailable(f"The database does not connect: {error}") from None


def _make_roles(connection: Connection, passwords: Mapping[str, str]) -> Iterator[str]:
    for role in ROLES:
        _make_role(connection, role)
        if role.login:
            _set_password(connection, role.name, passwords[role.name])
    if not _is_superuser(connection):
        # Who makes a database for another role must be able to become that role.
        option = " WITH INHERIT TRUE, SET TRUE" if _major(connection) >= 16 else ""
        connection.execute(f"GRANT {OWNER} TO CURRENT_USER{option}")
    for role in ROLES:
        yield from _grant_memberships(connection, role)


def _make_role(connection: Connection, role: Role) -> None:
    """Make the role, or change what differs: only superusers may repeat the rest."""
    wanted = {
        "LOGIN": role.login,
        "INHERIT": not role.becomes,
        "BYPASSRLS": role.bypass,
        "SUPERUSER": False,
        "CREATEROLE": False,
        "CREATEDB": False,
        "REPLICATION": False,
    }
    row = connection.execute(ATTRIBUTES, [role.name]).fetchone()
    if row is None:
        connection.execute(SQL("CREATE ROLE {}").format(Identifier(role.name)))
        row = connection.execute(ATTRIBUTES, [role.name]).fetchone()
        assert row
    change = [
        word if wish else f"NO{word}"
        for (word, wish), present in zip(wanted.items(), row, strict=True)
        if wish != present
    ]
    if change:
        words = SQL(" ").join(map(SQL, change))
        connection.execute(SQL("ALTER ROLE {} {}").format(Identifier(role.name), words))


def _set_password(connection: Connection, role: str, password: str) -> None:
    """Send the verifier, not the password, so that no log can hold it."""
    verifier = connection.pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    ).decode()
    connection.execute(
        SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(role), verifier)
    )


def _grant_memberships(connection: Connection, role: Role) -> Iterator[str]:
    # Before 16 a role inherits from all or from none of what it belongs to.
    option = " WITH INHERIT FALSE, SET TRUE" if _major(connection) >= 16 else ""
    for other in role.becomes:
        connection.execute(f"GRANT {other} TO {role.name}{option}")
    for other in role.member_of:
        try:
            connection.execute(f"GRANT {other} TO {role.name}")
        except InsufficientPrivilege as error:
            yield f"{role.name} is no member of {other}: {error}"


def _make_database(connection: Connection, database: str) -> None:
    found = connection.execute(
        "SELECT pg_encoding_to_char(encoding), pg_get_userbyid(datdba)"
        " FROM pg_database WHERE datname = %s",
        [database],
    ).fetchone()
    name = Identifier(database)
    if found is None:
        connection.execute(
            SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING UTF8").format(
                name, Identifier(OWNER)
            )
        )
    elif found[0] != "UTF8":
        raise Unavailable(f"Database {database} is in {found[0]}; it must be in UTF8.")
    elif found[1] != OWNER:
        connection.execute(
            SQL("ALTER DATABASE {} OWNER TO {}").format(name, Identifier(OWNER))
        )


def _make_extensions(inside: Connection) -> Iterator[str]:
    for extension in EXTENSIONS:
        try:
            inside.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
        except (InsufficientPrivilege, FeatureNotSupported, UndefinedFile) as error:
            yield f"no extension {extension}: {error}"


def _grant(inside: Connection, database: str) -> None:
    for statement in (
        "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
        "GRANT CONNECT ON DATABASE {database} TO {logins}",
        "GRANT TEMPORARY ON DATABASE {database} TO {makers_of_temporary}",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        "GRANT USAGE ON SCHEMA public TO {roles}",
        "GRANT CREATE ON SCHEMA public TO {makers}",
    ):
        inside.execute(
            SQL(statement).format(
                database=Identifier(database),
                logins=_names(role for role in ROLES if role.login),
                makers_of_temporary=_names(r for r in ROLES if r.makes_temporary),
                roles=_names(ROLES),
                makers=_names(role for role in ROLES if role.makes_tables),
            )
        )
    # PostgreSQL only warns when a grant had no effect, as on 15 without a superuser.
    made = "SELECT has_schema_privilege(%s, 'public', 'CREATE')"
    if inside.execute(made, [OWNER]).fetchone() != (True,):
        raise Unavailable(f"{OWNER} may not make tables. Connect as a superuser.")


def _set_defaults(connection: Connection, database: str) -> None:
    """Timeouts belong to the role: a pooler refuses or leaks those of a session."""
    for role in ROLES:
        for name, value in role.settings.items():
            connection.execute(
                SQL("ALTER ROLE {} IN DATABASE {} SET {} TO {}").format(
                    Identifier(role.name), Identifier(database), Identifier(name), value
                )
            )


def _names(roles: Iterable[Role]) -> sql.Composed:
    return SQL(", ").join(Identifier(role.name) for role in roles)


def _major(connection: Connection) -> int:
    return connection.info.server_version // 10_000


def _is_superuser(connection: Connection) -> bool:
    return connection.info.parameter_status("is_superuser") == "on"
