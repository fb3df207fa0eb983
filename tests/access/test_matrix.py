"""Who gets in where: every route, asked by everybody, about what is theirs and not.

Case D1, and with it what security.md says of foreign objects in D2 to D7, D12, I2, I7
and I9: no request is written by hand, so a route that comes later is asked as well.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from zlib import crc32

import pytest
from django.db import transaction

from tenants.permissions import OPT_IN, SIGNED_IN
from tenants.permissions import ROLES as ROLES_OF
from tests.access import table
from tests.access.asks import IDS, SESSION, Way, is_in_project, permission_of, ways
from tests.access.matrix import Findings, Matrix
from tests.access.watch import digest, watch, writes
from tests.access.world import PROJECT_ROLES, ROLES, World, running_as

# Of what is not asked every day, one of this many is, and each day others.
SHARE = 30
# What is asked of a session when the table is written: it is weighed like a token.
BRIEFLY = {"own", "foreign", "at foreign"}


@pytest.fixture(autouse=True)
def no_log_of_refusals() -> Iterator[None]:
    """Ten thousand refusals are no news here."""
    logger = logging.getLogger("django.request")
    logger.disabled = True
    yield
    logger.disabled = False


def first_of_each_line(found: Iterable[Way]) -> list[Way]:
    """Keep one way per line and kind of credential: the others are its mounts."""
    chosen: dict[tuple[object, ...], Way] = {}
    for way in found:
        chosen.setdefault((way.line, way.mount, way.credential), way)
    return list(chosen.values())


def due(*parts: object, share: int = SHARE) -> bool:
    """Tell whether it is the turn of this one; each has one turn in `share` days."""
    text = "|".join(map(str, parts))
    return (crc32(text.encode()) + datetime.now(UTC).toordinal()) % share == 0


def asked_today(way: Way, role: str, target: str) -> bool:
    """Each line by its widest way about one's own; of all the rest a share."""
    if table.is_rewritten():
        has_both = way.line != way.by_session
        return not has_both or target in BRIEFLY or role == "staff"
    by_the_widest_way = way.mount in ("plain", "path") and way.credential == "wide"
    if target == "own" and (by_the_widest_way or way.route.is_admin):
        return True
    return due(way, role, target)


def conclude(matrix: Matrix, world: World, before: dict[str, str]) -> Findings:
    found = matrix.found
    print(f"\n{found.asked} requests")
    if table.is_rewritten():
        table.FILE.write_text(table.written(found))
    assert not found.problems, str(found)
    assert writes() == 0
    assert digest(world.umbrella.pk) == before
    return found


@pytest.mark.timeout(3600)
def test_everybody_gets_in_where_the_table_says(matrix, world):
    watch(world.umbrella)
    before = digest(world.umbrella.pk)
    with running_as("app_rw"):
        matrix.run(first_of_each_line(ways(every=False)), ROLES, asked_today)
    found = conclude(matrix, world, before)
    assert found.asked > 1500
    assert not table.differences(found), (
        f"rights have changed; if they should, run\n    {table.REWRITE}\n"
        + "\n".join(table.differences(found))
    )


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_everybody_gets_in_where_the_table_says_in_the_whole_matrix(matrix, world):
    watch(world.umbrella)
    before = digest(world.umbrella.pk)
    with running_as("app_rw"):
        matrix.run(ways(every=True), ROLES, lambda way, role, target: True)
    found = conclude(matrix, world, before)
    assert found.asked >= 50_000
    assert not table.differences(found)


def test_the_table_has_a_line_for_each_route_and_no_other():
    asked = {way.line for way in ways(every=False)}
    assert asked == {table.base_of(line) for line in table.read()}


ORGANIZATION = "api/v1/organizations/<organization>/"
PROJECT = f"{ORGANIZATION}projects/<project>/"
# Lines on which even an owner is not let in, and why.
NEVER = {
    "POST api/v1/organizations/<organization>/restore/": "only a deleted one is found",
    "POST mlflow/experiments/restore": "only a deleted one is found",
    "GET mlflow/<rest>": "there is no such endpoint",
    f"DELETE {PROJECT}packages/<pk>/": "a version has its files, which is a conflict",
    "POST mlflow-artifacts/mpu/complete/<path>": "once complete it is not there again",
    "GET mlflow-artifacts/presigned/<path>": "a folder of files signs no address",
    "DELETE mlflow/workspaces/<workspace_name>": "what holds something stays",
    "POST mlflow/artifacts/presigned-upload-url": "only for stores clients reach",
    "POST mlflow/artifacts/presigned-download-url": "only for stores clients reach",
    f"GET {ORGANIZATION}audit-logs/<pk>/proof/": "nothing is sealed while it is asked",
    f"GET {PROJECT}audit-logs/<pk>/proof/": "nothing is sealed while it is asked",
    f"DELETE {PROJECT}models/<pk>/": "a version of it serves, which is a conflict",
    f"DELETE {PROJECT}model-versions/<pk>/": "it serves, which is a conflict",
    f"POST {PROJECT}experiments/<pk>/purge/": "its name is to be typed",
    f"POST {PROJECT}models/<pk>/purge/": "its name is to be typed",
    f"POST {PROJECT}runs/<pk>/purge/": "its name is to be typed",
}


# Public ones that only take a POST.
POSTED = {"api/v1/token-leaks/", "csp-reports"}


def test_an_owner_is_let_in_everywhere_so_that_no_line_is_empty_talk():
    for (key, method), cells in table.read().items():
        by_browser = key.startswith(("admin/", "accounts/")) or key.endswith(SESSION)
        if not by_browser and f"{method} {key}" not in NEVER and key not in POSTED:
            assert cells["owner"][0] == "+", f"{method} {key}"


def test_nobody_and_staff_are_let_in_nowhere_but_on_public_lines():
    public = {way.line for way in ways(every=False) if way.route.is_public}
    for line, cells in table.read().items():
        if line not in public and not line[0].startswith(("admin/", "accounts/")):
            assert not set(cells["nobody"]) - set("u_/"), line
            if "<organization>" in line[0]:
                assert not set(cells["staff"]) & set("+?="), line


def test_a_higher_role_never_loses_a_right():
    higher = ["owner", "admin", "maintainer", "editor", "viewer", "member"]
    for line, cells in table.read().items():
        if line[0].startswith("accounts/"):
            continue  # pages about oneself
        for more, less in pairwise(higher):
            for target, mine, theirs in zip(
                (*IDS,), cells[more], cells[less], strict=False
            ):
                if theirs in "+?=":
                    assert mine in "+?=", f"{line}: {less} may, {more} not ({target})"


# What each role of the table is in the organization and in the project.
EFFECTIVE = {
    "owner": {"owner", "maintainer"},
    "admin": {"admin", "maintainer"},
    "maintainer": {"member", "maintainer"},
    "editor": {"member", "editor"},
    "viewer": {"member", "viewer"},
    "member": {"member"},
    "service": {"service", "editor"},
}


def expected(role: str, way: Way) -> str:
    """What the table of permissions makes of somebody who asks about one's own."""
    permission = permission_of(way)
    in_project = is_in_project(way.route)
    if in_project and role == "member":
        return "not found"
    held = EFFECTIVE[role] - (set() if in_project else {*PROJECT_ROLES})
    opted_out = role == "service" and permission in OPT_IN
    may = permission == SIGNED_IN or held & set(ROLES_OF[permission])
    return "in" if may and not opted_out else "refused"


def test_the_table_says_what_the_permissions_say():
    """Who lacks the permission is refused; who has it may be refused by a service."""
    lines = table.read()
    for way in ways(every=False):
        if way.credential != "wide" or way.route.is_public:
            continue
        for role in EFFECTIVE:
            letter = lines[way.line][role][0]
            match expected(role, way):
                case "refused":
                    assert letter == "-", (way, role)
                case "not found":
                    assert letter == ".", (way, role)
                case "in" if way.method == "GET":
                    assert letter != "-", (way, role)


# The instruments: each of them must be able to find something


def test_a_write_to_the_other_organization_is_counted_when_it_is_undone(world):
    watch(world.umbrella)
    with transaction.atomic():
        world.umbrella.name = "changed"
        world.umbrella.save(using="default")
        transaction.set_rollback(True)
    # The row, and what the trail has to say of it.
    assert writes() == 2


def test_a_letter_that_differs_is_named(world):
    found = Findings()
    (line, cells) = next(iter(table.read().items()))
    for role in ROLES:
        for target, letter in zip(IDS, cells[role], strict=False):
            found.letters.setdefault(line, {})[role, target] = letter
    assert table.differences(found) == []
    found.letters[line]["viewer", "own"] = "!"
    (said,) = table.differences(found)
    assert line[0] in said
    assert "as viewer" in said
