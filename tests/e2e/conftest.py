"""One platform and two tenants for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.running import Platform, Tenant, running


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    with running() as platform:
        yield platform


@pytest.fixture(scope="session")
def tenant(platform: Platform) -> Tenant:
    return platform.make_tenant()


@pytest.fixture(scope="session")
def stranger(platform: Platform) -> Tenant:
    """A tenant that must never see anything of the other."""
    return platform.make_tenant()
