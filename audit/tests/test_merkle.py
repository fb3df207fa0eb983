from __future__ import annotations

from hashlib import sha256

import pytest

from audit.merkle import EMPTY, Tree, follow, join, path_of

# The shape of RFC 6962, section 2.1, written as it is defined there.


def defined(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return join(defined(leaves[:half]), defined(leaves[half:]))


def some(count: int) -> list[bytes]:
    return [sha256(bytes([0, i % 256, i // 256])).digest() for i in range(count)]


@pytest.mark.parametrize("count", [*range(35), 255, 256, 257, 1000])
def test_root_is_that_of_the_definition(count):
    assert Tree(some(count)).root() == defined(some(count))


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13, 64, 65, 100])
def test_path_leads_from_every_leaf_to_the_root(count):
    leaves = some(count)
    root = Tree(leaves).root()
    for index, leaf in enumerate(leaves):
        path = path_of(index, leaves)
        assert follow(leaf, path) == root
        assert len(path) <= (count - 1).bit_length()
        assert follow(sha256(b"another").digest(), path) != root


def test_root_of_nothing_is_told_from_that_of_an_empty_leaf():
    assert Tree().root() == EMPTY
    assert Tree([sha256(b"\x00").digest()]).root() != EMPTY


def test_a_node_cannot_pass_for_a_leaf():
    """Leaves begin with another byte than nodes: two leaves are not one."""
    a, b = some(2)
    assert join(a, b) != sha256(b"\x00" + a + b).digest()
