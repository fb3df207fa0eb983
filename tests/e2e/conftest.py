"""One platform, one browser and two tenants for all tests of this folder.

By package, not by session: what else a process tests afterwards has the machine for
itself, and no loop of Playwright's in the way of Django's ORM.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, StorageState

from tests.e2e.browsing import context_of, running_chromium, sign_in_admin
from tests.e2e.running import Platform, Tenant, running


@pytest.fixture(scope="package")
def platform() -> Iterator[Platform]:
    with running() as platform:
        yield platform


@pytest.fixture(scope="package")
def tenant(platform: Platform) -> Tenant:
    return platform.make_tenant()


@pytest.fixture(scope="package")
def stranger(platform: Platform) -> Tenant:
    """A tenant that must never see anything of the other."""
    return platform.make_tenant()


@pytest.fixture(scope="package")
def stored(platform: Platform) -> Platform:
    """The platform with a row on every page, and people to sign in."""
    platform.run("-m", "tests.e2e.stored")
    return platform


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def admin_state(platform: Platform, chromium: Browser) -> StorageState:
    """What a browser keeps once the administrator has signed in."""
    with context_of(chromium, platform.base_url) as context:
        sign_in_admin(context.new_page(), platform)
        return context.storage_state()
