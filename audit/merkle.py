"""Merkle trees in the shape of RFC 6962, built leaf by leaf in logarithmic memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

NODE = b"\x01"
EMPTY = sha256(b"").digest()


class Step(NamedTuple):
    """A hash to join on the way from a leaf to the root, and on which side it is."""

    side: str  # left | right
    hash: bytes


def join(left: bytes, right: bytes) -> bytes:
    return sha256(NODE + left + right).digest()


class Tree:
    """Holds one node for each full subtree: as many as the count has binary ones."""

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self.count = 0
        self._nodes: list[bytes] = []
        for leaf in leaves:
            self.add(leaf)

    def add(self, leaf: bytes) -> None:
        nodes, count = self._nodes, self.count
        while count & 1:
            leaf = sha256(NODE + nodes.pop() + leaf).digest()
            count >>= 1
        nodes.append(leaf)
        self.count += 1

    def root(self) -> bytes:
        """The root of what has been added so far; an odd node rises as it is."""
        if not self._nodes:
            return EMPTY
        *nodes, root = self._nodes
        while nodes:
            root = join(nodes.pop(), root)
        return root


def path_of(index: int, leaves: Sequence[bytes]) -> list[Step]:
    """Return what leads from the leaf at `index` to the root, beginning below."""
    steps: list[Step] = []
    level = list(leaves)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            steps.append(Step("left" if sibling < index else "right", level[sibling]))
        above = [join(a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = above + level[len(level) & ~1 :]
        index >>= 1
    return steps


def follow(leaf: bytes, steps: Iterable[Step]) -> bytes:
    """Return the root to which the path leads."""
    for side, sibling in steps:
        leaf = join(sibling, leaf) if side == "left" else join(leaf, sibling)
    return leaf
