from __future__ import annotations

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
