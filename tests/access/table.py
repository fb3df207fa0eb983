"""The table of verdicts: one line per route and method, one cell per role."""

from __future__ import annotations

import os
from pathlib import Path

from tests.access.asks import ADDRESSES, IDS, SESSION
from tests.access.matrix import Findings
from tests.access.world import ROLES

FILE = Path(__file__).with_name("access.tsv")
VARIABLE = "REWRITE_ACCESS_TABLE"
REWRITE = f"{VARIABLE}=1 python -m pytest tests/access/test_matrix.py -k table_says"
HEAD = f"""\
# Who gets in where. Made by tests/access; a change of any right is a change of a line:
#     {REWRITE}
# A cell has a letter for each object: {", ".join(IDS)}
# (ids that are said at one's own address), then, behind the stroke, for each address:
# {", ".join(ADDRESSES)}.
#   + let in   - forbidden   . not found   u sign in first   > sent elsewhere
#   ? let in, and the request is refused   = let in, and in conflict   m no such method
#   _ cannot be asked
# Where a session is let in otherwise than a token, it has a line of its own.
"""


def is_rewritten() -> bool:
    """Tell whether this run asks everything in order to write the table."""
    return bool(os.environ.get(VARIABLE))


Line = tuple[str, str]
Cells = dict[str, str]


def lines_of(found: Findings) -> dict[Line, Cells]:
    """Return the cells by role of each line, staff's among those by a token."""
    lines: dict[Line, Cells] = {}
    for line, cells in found.letters.items():
        lines[line] = {role: cell(cells, role) for role in ROLES}
    for line in [line for line in lines if line[0].endswith(SESSION)]:
        base = lines.get(base_of(line))
        if base is None:
            continue
        # Staff has no token, so its one cell stands in the line of the others.
        base["staff"] = lines[line]["staff"]
        if all(agree(lines[line][role], base[role]) for role in ROLES):
            del lines[line]
    return lines


def base_of(line: Line) -> Line:
    return line[0].removesuffix(SESSION), line[1]


def is_brief(line: Line, new: str, old: str) -> bool:
    """Tell whether it differs from a session's line only in what that leaves out."""
    known = ((a, b) for a, b in zip(new, old, strict=True) if "_" not in (a, b))
    return line[0].endswith(SESSION) and all(a == b for a, b in known)


def agree(new: str, old: str) -> bool:
    """Tell whether what was asked is what stands there; not all is always asked."""
    return all(a in ("_", b) for a, b in zip(new, old, strict=True))


def cell(cells: dict[tuple[str, str], str], role: str) -> str:
    parts = (
        "".join(cells.get((role, name), "_") for name in names)
        for names in (IDS, ADDRESSES)
    )
    return "/".join(parts)


def written(found: Findings) -> str:
    width = max(len(f"{method} {key}") for key, method in lines_of(found))
    titles = " ".join(f"{role:11}" for role in ROLES)
    rows = [f"{'# request':{width}} {titles}".rstrip()]
    for (key, method), cells in sorted(lines_of(found).items()):
        row = " ".join(f"{cells[role]:11}" for role in ROLES)
        rows.append(f"{f'{method} {key}':{width}} {row}".rstrip())
    return HEAD + "\n".join(rows) + "\n"


def read() -> dict[Line, Cells]:
    found = {}
    for line in FILE.read_text().splitlines():
        if line and not line.startswith("#"):
            method, key, *cells = line.split()
            found[key, method] = dict(zip(ROLES, cells, strict=True))
    return found


def differences(found: Findings) -> list[str]:
    """Compare what was asked with what stands in the file, letter by letter."""
    expected, problems = read(), []
    for line, cells in lines_of(found).items():
        before = expected.get(line) or expected.get(base_of(line))
        if before is None:
            problems.append(f"{line[1]} {line[0]}: not in the table")
            continue
        problems += [
            f"{line[1]} {line[0]} as {role}: {cells[role]}, and not {before[role]}"
            for role in ROLES
            if not agree(cells[role], before[role])
            and not (line in expected and is_brief(line, cells[role], before[role]))
        ]
    return problems
