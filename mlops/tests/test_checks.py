from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection

from mlops import checks


def test_production_refuses_statement_counts_when_they_are_on(settings):
    settings.QUERY_HEADER = True
    assert [problem.id for problem in checks.measuring_is_off(None)] == ["mlops.E001"]


def test_production_accepts_when_measuring_is_off(settings):
    settings.QUERY_HEADER = settings.TOOLBAR = False
    assert checks.measuring_is_off(None) == []


def test_production_refuses_a_proxy_header_when_no_proxy_is_trusted(settings):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.TRUSTED_PROXIES = []
    assert [problem.id for problem in checks.proxy_is_declared(None)] == ["mlops.E003"]


@pytest.mark.parametrize("static, problems", [("/v/static", 0), ("/v", 1)])
def test_production_refuses_blobs_below_the_static_files(settings, static, problems):
    settings.STATIC_ROOT, settings.MEDIA_ROOT = Path(static), "/v/blobs"
    assert len(checks.files_are_apart(None)) == problems


def test_the_database_check_accepts_the_web_role(db, settings):
    settings.ALLOW_PRIVILEGED_DB = False
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE app_rw")
    assert checks.database_keeps_its_promises(None, ["default"]) == []


def test_the_database_check_names_a_privileged_role(db, settings):
    settings.ALLOW_PRIVILEGED_DB = False
    (problem,) = checks.database_keeps_its_promises(None, ["default"])
    assert problem.id == "mlops.E005"
    assert "superuser" in problem.msg


def test_the_database_check_refuses_writes_that_may_be_lost(db):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE app_rw; SET LOCAL synchronous_commit = off")
    (problem,) = checks.database_keeps_its_promises(None, ["default"])
    assert "synchronous_commit=off" in problem.msg


def test_the_database_check_leaves_other_connections_alone(db):
    assert checks.database_keeps_its_promises(None, ["owner"]) == []
