from __future__ import annotations

import json
import logging

import pytest
from django.test import Client

from conftest import client_of
from mlops import policy_reports, throttles
from mlops.env import Rate

ADDRESS = "/csp-reports"
OLD = "application/csp-report"
NEW = "application/reports+json"
SECRET = "5eCr3t"


def old(**told):
    return {"csp-report": {"effective-directive": "script-src-elem", **told}}


def new(**told):
    return {"type": "csp-violation", "body": {"effectiveDirective": "img-src", **told}}


def send(body, content_type: str = OLD):
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    return client_of().post(ADDRESS, text, content_type)


def test_a_report_is_one_line_without_secrets(db, caplog):
    told = old(
        **{
            "blocked-uri": f"https://evil.example/{SECRET}?q={SECRET}",
            "document-uri": f"http://h/accounts/invitations/{SECRET}/?next={SECRET}",
            "source-file": "http://h/static/unfold/js/app.3f1.js",
            "line-number": 12,
            "script-sample": SECRET,
        }
    )
    assert send(told).status_code == 204
    (record,) = [each for each in caplog.records if each.name.endswith("reports")]
    line = record.getMessage()
    assert record.levelno == logging.WARNING
    assert SECRET not in line
    assert "script-src-elem blocked https://evil.example on /accounts/" in line
    assert line.endswith("by app.3f1.js:12")


def test_the_form_of_the_reporting_interface_is_read_too(db, caplog):
    reports = [new(blockedURL="inline", documentURL="http://h/admin/")] * 3
    assert send(reports, NEW).status_code == 204
    assert caplog.text.count("img-src blocked inline on /admin/ by") == 3


def test_what_a_report_holds_makes_no_line_of_its_own(db, caplog):
    forged = "x\r\n2026-01-01 CRITICAL forged\u2028\x1b[2J\u202e"
    told = {"blocked-uri": forged, "document-uri": forged, "source-file": forged}
    send(old(**told, **{"effective-directive": forged, "line-number": forged}))
    (record,) = [each for each in caplog.records if each.name.endswith("reports")]
    assert record.getMessage().isprintable()
    assert record.getMessage().isascii()


REFUSED = [
    ("null", OLD, 400),
    ("[]x", OLD, 400),
    ("[1]", NEW, 400),
    ('{"csp-report": 1}', OLD, 400),
    ("{}", OLD, 400),
    ('{"csp-report": {"blocked-uri": "\\u0000"}}', OLD, 400),
    ('{"csp-report": {}, "csp-report": {}}', OLD, 400),
    ("[" * 5000, OLD, 400),
    (b"\xff\xfe", OLD, 400),
    ("{}", "text/plain", 415),
    ("{}", "multipart/form-data; boundary=x", 415),
    ('{"csp-report": {"a": "' + "x" * 8192 + '"}}', OLD, 413),
]


@pytest.mark.parametrize("body,content_type,status", REFUSED)
def test_what_is_no_report_is_refused(db, body, content_type, status, caplog):
    assert send(body, content_type).status_code == status
    assert "blocked" not in caplog.text


def test_a_report_of_odd_values_is_read(db):
    for value in (
        1,
        None,
        [],
        {},
        "http://[",
        "data:text/html,x",
        "\ud83d\ude00",
        True,
    ):
        assert (
            send(old(**{"blocked-uri": value, "document-uri": value})).status_code
            == 204
        )


def test_of_many_reports_a_few_are_logged(db, caplog):
    assert send([new()] * 50, NEW).status_code == 204
    assert caplog.text.count("img-src") == policy_reports.MOST


def test_it_takes_nothing_but_reports():
    for method in ("GET", "PUT", "DELETE", "HEAD", "OPTIONS"):
        assert Client().generic(method, ADDRESS).status_code == 405


@pytest.fixture
def rarely(settings):
    settings.THROTTLES = {**settings.THROTTLES, "csp_report": Rate(1 / 600, 2)}
    throttles._refused.clear()
    yield
    throttles._refused.clear()


def test_one_address_cannot_fill_the_log(db, rarely):
    answers = [send(old(), OLD).status_code for _ in range(3)]
    assert answers == [204, 204, 429]
    client = client_of()
    client.defaults["REMOTE_ADDR"] = "192.0.2.77"
    assert client.post(ADDRESS, json.dumps(old()), OLD).status_code == 204
