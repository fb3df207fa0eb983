"""Scenes are played on both sides; what differs is collected, and why it may."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.differential.allowed import Allowed, entry_for
from tests.differential.calls import Call, Scene
from tests.differential.comparing import Difference, Kind, differences
from tests.differential.sides import Answer, Dropped, Side

ASKING = ThreadPoolExecutor(max_workers=2)
LISTED_AS = {
    Kind.FIELD: "alike but for fields that one side adds",
    Kind.WORDS: "alike but for the words of an error",
    Kind.REFUSAL: "refused by both, but not as the same kind of error",
    Kind.STRICTER: "refused by ours alone",
    Kind.LOOSER: "refused by MLflow's server alone",
    Kind.MEANING: "answered by both, but not with the same",
}


@dataclass
class Result:
    """What came of all calls so far."""

    calls: int = 0
    equal: int = 0
    distinct: set[str] = field(default_factory=set)
    kinds: Counter[Kind] = field(default_factory=Counter)
    listed: list[tuple[Allowed, Difference]] = field(default_factory=list)
    unlisted: list[tuple[Scene, Difference]] = field(default_factory=list)
    dropped: list[tuple[Scene, Dropped]] = field(default_factory=list)

    def add(self, scene: Scene, call: Call, found: list[Difference]) -> bool:
        """Return whether both sides can be taken to hold the same afterwards."""
        entries = [entry_for(difference) for difference in found]
        pairs = list(zip(entries, found, strict=True))
        unlisted = [difference for entry, difference in pairs if entry is None]
        self.calls += 1
        self.distinct.add(str(call))
        self.equal += not found
        self.listed += [(entry, difference) for entry, difference in pairs if entry]
        # One report a call is enough, and one kind: the gravest.
        self.unlisted += [(scene, difference) for difference in unlisted[:1]]
        if found and not unlisted:
            self.kinds[max(difference.kind for difference in found)] += 1
        return not unlisted and not any(entry.parts for entry in entries if entry)

    def summary(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.calls} calls, {len(self.distinct)} of them unlike each other"
        yield f"  {self.equal:5}  answered alike"
        for kind, words in LISTED_AS.items():
            yield f"  {self.kinds[kind]:5}  {words}, as listed"
        yield f"  {len(self.unlisted):5}  differ otherwise"
        if self.dropped:
            yield f"  {len(self.dropped):5}  scenes ended by MLflow's own server"
        for kind in reversed(Kind):
            yield from self._reasons(kind)

    def _reasons(self, kind: Kind) -> Iterator[str]:
        reasons = Counter(
            entry.reason for entry, difference in self.listed if difference.kind is kind
        )
        if reasons:
            yield f"Differences: {LISTED_AS[kind]}"
        for reason, count in reasons.most_common():
            yield f"  {count:5}  {reason}"

    def details(self) -> str:
        """Write out every listed difference below its reason."""
        return "\n".join(
            f"[{difference.kind.name}] {entry.reason}\n  {difference}"
            for entry, difference in sorted(
                self.listed, key=lambda pair: (-pair[1].kind, pair[0].reason)
            )
        )


def play(scene: Scene, pair: tuple[Side, Side], result: Result) -> None:
    """Send each call to both sides, whatever came of those before."""
    for call in scene.calls:
        compare(scene, call, pair, result)


def play_while_alike(scene: Scene, pair: tuple[Side, Side], result: Result) -> None:
    """Stop where the sides hold different things from then on, or may.

    So they may when MLflow's own server drops a connection: nobody knows what it did.
    """
    for side in pair:
        side.names["turn"] = f"turn {result.calls}"
    try:
        for call in scene.calls:
            if not compare(scene, call, pair, result):
                return
    except Dropped as dropped:
        if dropped.side is not pair[0]:
            raise
        result.dropped.append((scene, dropped))


def compare(scene: Scene, call: Call, pair: tuple[Side, Side], result: Result) -> bool:
    """Return whether both sides can be taken to hold the same afterwards."""
    answers = ask_both(pair, call)
    return result.add(scene, call, differences(call, pair, answers))


def ask_both(pair: tuple[Side, Side], call: Call) -> tuple[Answer, Answer]:
    """Ask both at once, which takes as long as the slower one: MLflow's server.

    What goes wrong with ours is told before what goes wrong with the other.
    """
    asked = [ASKING.submit(side.send, call) for side in pair]
    ours = asked[1].result()
    return asked[0].result(), ours
