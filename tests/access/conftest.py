from __future__ import annotations

import pytest

from tests.access.matrix import Matrix
from tests.access.world import World, build


@pytest.fixture
def world(cast) -> World:
    return build(cast)


@pytest.fixture
def matrix(world) -> Matrix:
    return Matrix(world)
