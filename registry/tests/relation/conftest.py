from __future__ import annotations

from collections.abc import Iterator

import pytest

from registry.tests.relation.hostile import (
    Page,
    make_page,
)
from tenants.context import Actor, tenant_transaction


@pytest.fixture
def in_acme(cast) -> Iterator[Actor]:
    """Alice's context; as the owner of the database, so the first lock stands alone."""
    actor = Actor(kind="user", id=cast.alice.pk, organization_id=cast.acme.pk)
    with tenant_transaction(actor):
        yield actor


@pytest.fixture
def page_of(cast):
    """Return a function that stores runs of fraud amid impostors."""

    def make(count: int) -> Page:
        return make_page(count, [cast.fraud], [cast.umbrella_fraud, cast.churn])

    return make
