from __future__ import annotations

import pytest
from django.db import connection

from conftest import web_role
from registry.models import Experiment
from tenants.context import Actor, TenantContextMissing, tenant_transaction


def test_a_query_raises_when_no_organization_is_bound(cast):
    with pytest.raises(TenantContextMissing):
        list(Experiment.objects.all())


def test_a_query_sees_its_organization_only_when_bound(cast):
    actor = Actor(kind="user", id=cast.alice.pk, organization_id=cast.acme.pk)
    with web_role(), tenant_transaction(actor):
        projects = {e.project_id for e in Experiment.objects.all()}
    assert projects == {cast.fraud.pk, cast.churn.pk}


def test_row_level_security_alone_hides_others_when_the_filter_is_missing(cast):
    actor = Actor(kind="user", id=cast.alice.pk, organization_id=cast.acme.pk)
    with web_role(), tenant_transaction(actor), connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT organization_id FROM experiments")
        assert cursor.fetchall() == [(cast.acme.pk,)]


def test_row_level_security_shows_nothing_when_nothing_is_bound(cast):
    with web_role(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.organization_id', '', true)")
        cursor.execute("SELECT count(*) FROM experiments")
        assert cursor.fetchone() == (0,)
