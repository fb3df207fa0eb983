from __future__ import annotations

import pytest

from registry.tests.protocol import Tracking, tracking_as
from tenants.tests.factories import (
    OrganizationFactory,
    ProjectFactory,
    ProjectMemberFactory,
    ServiceAccountFactory,
)


@pytest.fixture
def fraud(cast) -> Tracking:
    """Alice's MLflow client, by a token bound to the project fraud of acme."""
    return tracking_as(cast.alice, cast.fraud)


@pytest.fixture
def churn(cast) -> Tracking:
    """Alice's MLflow client for another project of the same organization."""
    return tracking_as(cast.alice, cast.churn)


@pytest.fixture
def stranger_in_fraud(cast) -> Tracking:
    """Mallory's MLflow client, for her own project that is called fraud as well."""
    return tracking_as(cast.mallory, cast.umbrella_fraud)


@pytest.fixture
def reader(cast) -> Tracking:
    """Bob's MLflow client: he may only read."""
    return tracking_as(cast.bob, cast.fraud)


@pytest.fixture
def committed(transactional_db) -> Tracking:
    """A client whose requests commit by themselves, as they do outside of tests."""
    organization = OrganizationFactory(slug="committed")
    project = ProjectFactory(organization=organization)
    robot = ServiceAccountFactory(organization=organization)
    ProjectMemberFactory(
        project=project, user=None, service_account=robot, role="editor"
    )
    return tracking_as(robot, project)
