"""The matrix: every way, asked by everybody about everything, and what came of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.cookies import SimpleCookie

from django.test import Client

from tests.access import asks
from tests.access.answers import Answer, Masked, answer, secrets_of
from tests.access.asks import Ask, Target, Way
from tests.access.world import RULERS, World, clients_of

# An answer about these must be that about what nobody has.
TWINS = {
    "other": "random",
    "foreign": "random",
    "at other": "at random",
    "at foreign": "at random",
    "at theirs": "at random",
    "at gone": "at random",
}
Line = tuple[str, str]
# Service accounts are the organization's: one may be taken into any project of it.
OF_THE_ORGANIZATION = {
    ("api/v1/organizations/<organization>/projects/<project>/members/", "POST")
}
Wanted = Callable[[Way, str, str], bool]


@dataclass
class Findings:
    """Letters of the table by line, role and target, and everything that is wrong."""

    asked: int = 0
    letters: dict[Line, dict[tuple[str, str], str]] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    disclosures: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)

    def note(self, way: Way, role: str, target: str, letter: str) -> None:
        cells = self.letters.setdefault(way.by_session, {})
        before = cells.setdefault((role, target), letter)
        if before != letter:
            self.complaints.append(f"{way} as {role}, {target}: {letter}, not {before}")

    @property
    def problems(self) -> list[str]:
        return [*self.disclosures, *self.differing, *self.complaints]

    def __str__(self) -> str:
        counted = Counter(text.partition(" as ")[0] for text in self.problems)
        shown = "\n".join(self.problems[:40])
        return (
            f"{self.asked} requests, {len(self.problems)} problems\n{shown}\n{counted}"
        )


class Matrix:
    def __init__(self, world: World) -> None:
        self.world = world
        self.targets = asks.targets(world)
        self.clients = clients_of(world)
        self.cookies = {role: each.cookies for role, each in self.clients.items()}
        self.secrets = secrets_of(world.foreign, people=True)
        self.others = secrets_of(world.other, people=False)
        self.found = Findings()

    def run(
        self, ways: Iterable[Way], roles: Iterable[str], wanted: Wanted
    ) -> Findings:
        roles = list(roles)
        for way in ways:
            for role in roles:
                if reaches(way, role):
                    names = [n for n in way.applicable if wanted(way, role, n)]
                    self.ask_about(way, role, names)
        return self.found

    def ask_about(self, way: Way, role: str, names: list[str]) -> None:
        """Ask about each target, and about its twin that nobody has."""
        twins = {TWINS[name] for name in names if name in TWINS}
        needed = [n for n in way.applicable if n in twins or n in names]
        answers = {name: self.ask(way, role, self.targets[name]) for name in needed}
        for name, (given, masked) in answers.items():
            self.judge(way, role, name, given, masked)
            twin = TWINS.get(name)
            if twin in answers and must_equal(way, role, name):
                other = answers[twin][1]
                if masked.comparable != other.comparable:
                    self.found.differing.append(
                        f"{way} as {role}, {name} differs from {twin}:"
                        f"\n    {masked.comparable}\n    {other.comparable}"
                    )

    def ask(self, way: Way, role: str, target: Target) -> tuple[Answer, Masked]:
        ask: Ask = asks.ask_of(way, target)
        client: Client = self.clients[role]
        # Whoever signed out in the last request is signed in for this one.
        client.cookies = SimpleCookie()
        client.cookies.update(self.cookies[role])
        given = answer(client, ask, self.world.people[role], way.credential)
        self.found.asked += 1
        return given, given.masked(ask.said)

    def judge(
        self, way: Way, role: str, name: str, given: Answer, masked: Masked
    ) -> None:
        where = f"{way} as {role}, {name}"
        if given.letter == "!":
            self.found.complaints.append(f"{where}: {given.status}")
        if way.method in asks.declared(way.route):
            self.found.note(way, role, name, given.letter)
        elif given.status < 300 and way.method not in {"HEAD", "OPTIONS"}:
            if not way.route.is_public:
                self.found.complaints.append(f"{where}: lets {way.method} in")
        for secrets in self.secrets_for(role):
            if found := masked.gives_away(secrets):
                self.found.disclosures.append(f"{where} gives away {found}")

    def secrets_for(self, role: str) -> Iterator[re.Pattern[bytes]]:
        yield self.secrets
        if role not in RULERS:
            yield self.others


def reaches(way: Way, role: str) -> bool:
    """Tell whether there is such a request: staff has no token, a robot no session."""
    if way.route.is_admin or way.route.is_public:
        return True
    if role == "staff":
        return way.credential == "session"
    if role == "nobody" and asks.is_account(way.route):
        return True
    return way.credential != "session" or role not in {"service", "nobody"}


def must_equal(way: Way, role: str, name: str) -> bool:
    """Tell whether the object must not exist for the caller.

    Owners and admins enter each project of their organization by its address, and see
    what belongs to the organization itself, whichever project it is for.
    """
    if name == "at other":
        return role not in RULERS
    if name == "other" and way.line in OF_THE_ORGANIZATION:
        return False
    if name == "other":
        return asks.is_in_project(way.route)
    return True
