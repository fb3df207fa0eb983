"""A link across a border cannot be written, whatever the code above does: proof 8."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db import connection, transaction

from registry.tests.factories import (
    BlobFactory,
    ModelVersionFactory,
    PackageFactory,
    PackageFileFactory,
)


def test_a_file_cannot_be_moved_to_another_tenant_s_package(cast):
    ours = PackageFileFactory(package__project=cast.fraud)
    theirs = PackageFactory(project=cast.umbrella_fraud)
    assert refused(
        "UPDATE package_files SET package_id = %s WHERE id = %s", theirs.pk, ours.pk
    )


def test_a_file_cannot_point_at_another_tenant_s_blob(cast):
    ours = PackageFileFactory(package__project=cast.fraud)
    theirs = BlobFactory(organization=cast.umbrella)
    assert refused(
        "UPDATE package_files SET blob_id = %s WHERE id = %s", theirs.pk, ours.pk
    )


@pytest.mark.parametrize("project", ["churn", "umbrella_fraud"])
def test_a_version_cannot_point_at_another_project_s_package(cast, project):
    version = ModelVersionFactory(registered_model__project=cast.fraud)
    package = PackageFactory(project=getattr(cast, project))
    assert refused(
        "UPDATE model_versions SET package_id = %s WHERE id = %s",
        package.pk,
        version.pk,
    )


@pytest.mark.parametrize(
    "change",
    ["name = 'ml_candidate_2'", "version = '2'", "project_id = gen_random_uuid()"],
)
def test_what_links_a_package_to_its_run_never_changes(cast, change):
    package = PackageFactory(project=cast.fraud, name="ml_candidate_1", version="-")
    assert refused(f"UPDATE packages SET {change} WHERE id = %s", package.pk)


def test_a_package_cannot_change_its_tenant(cast):
    package = PackageFactory(project=cast.fraud)
    assert refused(
        "UPDATE packages SET organization_id = %s WHERE id = %s",
        cast.umbrella.pk,
        package.pk,
    )


def refused(statement: str, *params: UUID) -> bool:
    """Run it as the superuser: neither filter nor policy stands in the way."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, params)
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except Exception as error:
        return getattr(error.__cause__, "sqlstate", "") in {"23000", "23503"}
    return False
