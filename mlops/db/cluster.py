"""The files of a cluster: made whole or not at all, configured, upgraded."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path

from mlops import processes
from mlops.db.accounts import Account
from mlops.db.binaries import Binaries
from mlops.errors import InvalidState, Unavailable

SUPERUSER = "postgres"
INCLUDED = "mlops.conf"
LOCALE = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
SAFETY = ("--encoding=UTF8", "--auth=scram-sha-256")


def is_cluster(data: Path) -> bool:
    return (data / "PG_VERSION").exists()


def major_of(data: Path) -> int:
    return int((data / "PG_VERSION").read_text())


def initialize(data: Path, binaries: Binaries, password: str) -> None:
    """Make the cluster aside and move it into place, whole and on disk."""
    draft = _draft(data, binaries, password, "--data-checksums")
    try:
        draft.rename(data)
    except OSError as error:
        raise Unavailable(
            f"{data} is in the way of a new cluster: {error.strerror}."
        ) from None
    sync(data.parent)


def configure(data: Path, binaries: Binaries, settings: str) -> None:
    """Replace our included file. Raises InvalidState for another major's cluster."""
    if (held := major_of(data)) != binaries.major:
        raise InvalidState(
            f"{data} is of PostgreSQL {held} and the programs are {binaries.version}."
            " Stop everything and run: manage.py db upgrade"
        )
    _write(data / INCLUDED, settings, binaries.account)


def upgrade(data: Path, old: Binaries, new: Binaries, password: str) -> Path:
    """Bring a stopped cluster to the major of `new`; return where its copy is kept.

    The copy comes first, since --link makes the old files part of the new cluster.
    """
    backup = data.with_name(f"{data.name}.{major_of(data)}.backup")
    if backup.exists():
        raise InvalidState(f"{backup} is kept from an earlier upgrade: move it away.")
    # Not shutil: it drops the owners.
    subprocess.run(["cp", "-a", "--reflink=auto", data, backup], check=True)
    draft = _draft(data, new, password, _checksums(data, old))
    try:
        _link(data, draft, old, new, password)
    except Unavailable as error:
        raise Unavailable(f"{error}\nThe cluster as it was is in {backup}.") from None
    linked = data.with_name(f".{data.name}-upgraded")
    data.rename(linked)
    draft.rename(data)
    sync(data.parent)
    shutil.rmtree(linked)
    return backup


def _link(data: Path, draft: Path, old: Binaries, new: Binaries, password: str) -> None:
    with tempfile.TemporaryDirectory(dir=data.parent) as sockets:
        new.account.own(Path(sockets))
        new.run(
            "pg_upgrade",
            "--link",
            f"--username={SUPERUSER}",
            f"--socketdir={sockets}",
            f"--old-datadir={data}",
            f"--new-datadir={draft}",
            f"--old-bindir={old.programs}",
            f"--new-bindir={new.programs}",
            cwd=draft,
            PGPASSWORD=password,
        )


def sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _draft(data: Path, binaries: Binaries, password: str, checksums: str) -> Path:
    prefix = f".{data.name}-"
    for left in data.parent.glob(f"{prefix}*"):  # of one that was killed just now
        processes.wait_until(partial(_is_removed, left), 10)
    draft = Path(tempfile.mkdtemp(prefix=prefix, dir=data.parent))
    binaries.account.own(draft)
    with tempfile.NamedTemporaryFile("w", dir=data.parent) as file:
        binaries.account.own(file.fileno())
        file.write(password)
        file.flush()
        whose = ("-D", str(draft), "-U", SUPERUSER, f"--pwfile={file.name}")
        binaries.run("initdb", *whose, *LOCALE, *SAFETY, checksums)
    conf = draft / "postgresql.conf"
    included = f"{conf.read_text()}\ninclude = '{INCLUDED}'\n"
    _write(conf, included, binaries.account)
    _write(draft / INCLUDED, "", binaries.account)
    return draft


def _is_removed(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _checksums(data: Path, binaries: Binaries) -> str:
    control = binaries.run("pg_controldata", str(data))
    version = control.partition("Data page checksum version:")[2].split()[0]
    return "--no-data-checksums" if version == "0" else "--data-checksums"


def _write(path: Path, text: str, account: Account) -> None:
    """Replace a file of the account's; never follow what it may have put there."""
    handle, draft = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "w") as file:
        account.own(file.fileno())
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(draft).replace(path)
