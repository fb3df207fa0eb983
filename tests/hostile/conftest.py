from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from audit.models import AuditLog
from tenants.models import ApiToken, Organization
from tests.fuzz.conftest import unthrottled
from tests.fuzz.world import World, make_world
from tests.strangers import snapshot, tenant_tables

__all__ = ["unthrottled"]


@pytest.fixture
def world(cast) -> World:
    """Rows of everything in acme's fraud, and a caller of every role."""
    return make_world(cast)


@pytest.fixture
def nothing_stored(cast) -> Iterator[None]:
    """Whatever the test does, acme's rows are the same afterwards.

    Only that a token was used, and that something was refused, may have been noted.
    """
    before: dict[str, Any] = snapshot(cast.acme) | noted(cast.acme)
    yield
    after = snapshot(cast.acme) | noted(cast.acme)
    assert {name for name in before if before[name] != after[name]} == set()


def noted(organization: Organization) -> dict[str, Any]:
    of_acme = {"organization_id": organization.pk}
    trail = AuditLog._base_manager.filter(**of_acme).exclude(outcome="denied")
    found: dict[str, Any] = {
        name: trail.count() for name in tenant_tables() if name.startswith("audit_logs")
    }
    tokens = ApiToken._base_manager.filter(**of_acme)
    return found | {"api_tokens": sorted(tokens.values_list("pk", "revoked_at"))}
