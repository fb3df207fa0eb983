"""Which system account runs the embedded server: PostgreSQL refuses to be root."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops.errors import Unavailable

UNPRIVILEGED = ("postgres", "nobody")
# Asked of the kernel as the account itself, so that groups and ACLs count.
FIRST_CLOSED = """
for path do
    if [ -d "$path" ]; then [ -x "$path" ]; else [ -r "$path" ]; fi || {
        printf %s "$path"; exit 0; }
done
"""


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the server runs as; `switch` is False when that is ourselves."""

    name: str
    uid: int
    gid: int
    switch: bool

    def options(self) -> dict[str, Any]:
        """Return what `subprocess` needs to run something as this account."""
        if not self.switch:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path | int) -> None:
        if self.switch:
            os.chown(path, self.uid, self.gid)

    def first_closed(self, paths: Sequence[Path]) -> Path | None:
        """Return the first folder it cannot enter or file it cannot read."""
        shell = ["/bin/sh", "-c", FIRST_CLOSED, "sh", *map(str, paths)]
        closed = subprocess.run(
            shell, capture_output=True, check=True, cwd="/", **self.options()
        ).stdout
        return Path(os.fsdecode(closed)) if closed else None


def account_for(folder: Path, var: Path) -> Account:
    """Choose the owner of `folder` or of `var`, or an account that exists anyway.

    Raises Unavailable when root finds nobody to run the server as.
    """
    if os.geteuid() != 0:
        return _account(os.geteuid(), switch=False)
    for path in (folder, var):
        if path.exists() and path.stat().st_uid != 0:
            return _account(path.stat().st_uid, switch=True)
    if (folder / "PG_VERSION").exists():
        raise Unavailable(
            f"{folder} belongs to root, and PostgreSQL refuses to run as root."
            f" Give it away, for example: chown -R {UNPRIVILEGED[0]} {folder}"
        )
    for name in UNPRIVILEGED:
        try:
            return _account(pwd.getpwnam(name).pw_uid, switch=True)
        except KeyError:
            continue
    raise Unavailable(
        "PostgreSQL refuses to run as root, and there is no account"
        f" {' or '.join(UNPRIVILEGED)}. Run as an ordinary user, or make one of them."
    )


def _account(uid: int, *, switch: bool) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise Unavailable(
            f"User id {uid} has no account on this machine, which initdb needs."
        ) from None
    return Account(entry.pw_name, uid, entry.pw_gid, switch)
