"""Cases E6 and E7: what was uploaded, and how it is called, does nothing here."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

import pytest

from registry.models import Run
from registry.tests.factories import RunFactory

HOSTILE = b"<html xmlns='http://www.w3.org/1999/xhtml'><script>alert(1)</script></html>"
# Each way in which a file leaves us.
ROUTES = {
    "get-artifact": "{mount}/get-artifact?run_id={run}&path={path}",
    "proxied": "{mount}/{api}/2.0/mlflow-artifacts/artifacts/{experiment}/{run}"
    "/artifacts/{path}",
}
MOUNTS = ("", "/mlflow/acme/fraud")
TYPES = {
    "x.html": "text/html; charset=utf-8",
    "x.htm": "text/html; charset=utf-8",
    "x.svg": "image/svg+xml",
    "x.pdf": "application/pdf",
    "x.js": "text/plain; charset=utf-8",
    "x.css": "text/plain; charset=utf-8",
    "x.xml": "text/plain; charset=utf-8",
    "x.json": "text/plain; charset=utf-8",
    "x.xhtml": "application/octet-stream",
    "x.mjs": "application/octet-stream",
    "x.swf": "application/octet-stream",
    "x.wasm": "application/octet-stream",
    "x": "application/octet-stream",
    ".html": "text/html; charset=utf-8",
    "x.html.": "application/octet-stream",
    "x.html;.png": "image/png",
    "x.PNG": "image/png",
}
NAMES = [
    'a"b.html',
    "a;filename=evil.html",
    'a"; filename="evil.html',
    "größe ½.txt",
    "模型🦊.bin",
    "evil\u202etxt.exe",
    "'quoted'.txt",
    "a, b=c.txt",
]
INJECTED = "X-Injected: 1"
REFUSED = [f"a\r\n{INJECTED}", f"a%0d%0a{INJECTED}", "a\n", "a\x00", "a\\b", "a\x7f"]


pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def run(cast):
    return RunFactory(experiment__project=cast.fraud)


def addresses(run: Run, name: str) -> list[str]:
    parts = {
        "run": run.pk.hex,
        "experiment": run.experiment.iid,
        "path": quote(name, safe=""),
    }
    return [
        form.format(mount=mount, api=api, **parts)
        for form in ROUTES.values()
        for mount in MOUNTS
        for api in (("api", "ajax-api") if "{api}" in form else ("",))
    ]


def upload(client: Any, run: Run, name: str, content: bytes = HOSTILE) -> None:
    root = f"/api/2.0/mlflow-artifacts/artifacts/{run.experiment.iid}/{run.pk.hex}"
    address = f"{root}/artifacts/{quote(name, safe='')}"
    answer = client.put(address, content, "text/html")
    assert answer.status_code == 200, answer.content


def assert_harmless(answer: Any) -> None:
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"


def test_a_file_is_handed_over_and_never_shown(alice_in_fraud, run):
    for name, content_type in TYPES.items():
        upload(alice_in_fraud, run, name)
        for address in addresses(run, name):
            answer = alice_in_fraud.get(address)
            assert answer.status_code == 200, address
            assert b"".join(answer) == HOSTILE
            assert answer["Content-Type"] == content_type, name
            assert_harmless(answer)


def test_no_part_and_no_answer_without_a_body_is_less_guarded(alice_in_fraud, run):
    upload(alice_in_fraud, run, "x.html")
    for address in addresses(run, "x.html"):
        whole = alice_in_fraud.get(address)
        asked = [
            {"range": "bytes=6-9"},
            {"if-none-match": whole["ETag"]},
            {"if-match": '"other"'},
        ]
        answers = [alice_in_fraud.get(address, headers=each) for each in asked]
        answers.append(alice_in_fraud.head(address))
        assert [each.status_code for each in answers] == [206, 304, 412, 200]
        for answer in answers:
            assert_harmless(answer)


def test_several_ranges_are_not_cut_out(alice_in_fraud, run):
    """One range each: many small ones are an old way to exhaust a server."""
    upload(alice_in_fraud, run, "x.html")
    for asked in ("bytes=0-1,3-4", "bytes=" + ",".join(["0-"] * 1000)):
        for address in addresses(run, "x.html"):
            answer = alice_in_fraud.get(address, headers={"range": asked})
            assert (answer.status_code, b"".join(answer)) == (200, HOSTILE)


def test_a_name_stays_within_its_header(alice_in_fraud, run):
    for name in NAMES:
        upload(alice_in_fraud, run, name, b"x")
        for address in addresses(run, name):
            answer = alice_in_fraud.get(address)
            assert answer.status_code == 200, name
            assert "X-Injected" not in answer
            assert named_in(answer["Content-Disposition"]) == name


def test_a_name_that_could_break_out_of_a_header_is_none(alice_in_fraud, run):
    for name in REFUSED:
        for address in addresses(run, name):
            for answer in (alice_in_fraud.get(address), alice_in_fraud.head(address)):
                assert answer.status_code == 400, name
                assert "X-Injected" not in answer


def named_in(disposition: str) -> str:
    """Read it as RFC 6266 has browsers do: the first parameter, once, to its end."""
    kind, _, parameter = disposition.partition("; ")
    assert kind == "attachment"
    key, _, value = parameter.partition("=")
    if key == "filename*":
        encoding, _, text = value.partition("''")
        assert encoding == "utf-8"
        assert value.isascii()
        assert not set(value) & set(' ";,\\')
        return unquote(text)
    assert key == "filename"
    assert value.startswith('"')
    assert value.endswith('"')
    inner = value[1:-1]
    assert '"' not in inner.replace('\\"', "")
    return inner.replace('\\"', '"').replace("\\\\", "\\")


def test_an_upload_says_nothing_of_how_it_is_sent_back(alice_in_fraud, run):
    """E8: the type that a sender names, or writes markup into, is not repeated."""
    root = f"/api/2.0/mlflow-artifacts/artifacts/{run.experiment.iid}/{run.pk.hex}"
    address = f"{root}/artifacts/a.bin"
    for content_type in ("text/html", "<script>alert(1)</script>", "image/svg+xml"):
        assert alice_in_fraud.put(address, b"x", content_type).status_code == 200
        answer = alice_in_fraud.get(address)
        assert answer["Content-Type"] == "application/octet-stream"
