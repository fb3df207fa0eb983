"""A platform that may be hurt, apart from the one of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.running import Platform, Tenant, running


@pytest.fixture(scope="package")
def platform() -> Iterator[Platform]:
    with pytest.MonkeyPatch.context() as environment:
        # What is measured here is the server, not what it grants a token.
        environment.setenv("THROTTLE_TOKEN", "100000/s")
        environment.setenv("THROTTLE_ORGANIZATION", "100000/s")
        with running() as platform:
            yield platform


@pytest.fixture(scope="package")
def tenant(platform: Platform) -> Tenant:
    return platform.make_tenant()
