"""Scenes are played on both sides; what differs is collected, and why it may."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.differential.allowed import Allowed, entry_for
from tests.differential.calls import Call, Scene
from tests.differential.comparing import Difference, differences
from tests.differential.sides import Side


@dataclass
class Result:
    """What came of all calls so far."""

    calls: int = 0
    equal: int = 0
    distinct: set[str] = field(default_factory=set)
    allowed: Counter[Allowed] = field(default_factory=Counter)
    unlisted: list[tuple[Scene, Difference]] = field(default_factory=list)

    def summary(self) -> str:
        listed = self.calls - self.equal - len(self.unlisted)
        head = (
            f"{self.calls} calls ({len(self.distinct)} of them unlike):"
            f" {self.equal} answered alike, {listed} differ as listed,"
            f" {len(self.unlisted)} differ otherwise"
        )
        lines = [head]
        for entry, count in self.allowed.most_common():
            lines.append(f"  {count:5}  {entry.reason}")
        return "\n".join(lines)


def play(scene: Scene, pair: tuple[Side, Side], result: Result) -> None:
    """Send each call to both sides, whatever came of those before."""
    for call in scene.calls:
        compare(scene, call, pair, result)


def play_while_alike(scene: Scene, pair: tuple[Side, Side], result: Result) -> None:
    """Stop where the sides hold different things from then on, or may."""
    for side in pair:
        side.names["turn"] = f"turn {result.calls}"
    for call in scene.calls:
        if not compare(scene, call, pair, result):
            return


def compare(scene: Scene, call: Call, pair: tuple[Side, Side], result: Result) -> bool:
    """Return whether both sides can be taken to hold the same afterwards."""
    answers = (pair[0].send(call), pair[1].send(call))
    found = differences(call, pair, answers)
    entries = [entry_for(difference) for difference in found]
    result.calls += 1
    result.distinct.add(str(call))
    result.equal += not found
    result.allowed.update(entry for entry in entries if entry)
    unlisted = [each for each, entry in zip(found, entries, strict=True) if not entry]
    if unlisted:
        # One report a call is enough.
        result.unlisted.append((scene, unlisted[0]))
    return not unlisted and not any(entry.parts for entry in entries if entry)
