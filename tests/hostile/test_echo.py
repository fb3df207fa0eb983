"""Texts that would run in a browser: stored, shown and refused as text (E8)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.db import models

from registry.tests.factories import UploadFactory
from registry.tests.protocol import Tracking
from tenants.tests.superuser import AdminClient, superuser
from tests.hostile.test_heads import PROJECT
from tests.mounts import every_mount
from tests.routes import routes
from tests.strangers import list_routes, populate

SCRIPT = "<script>alert(1)</script>"
BREAKOUT = "\"'><img src=x onerror=alert(2)>{{7*7}}${7*7}"
HOSTILE = f"{SCRIPT}{BREAKOUT}"
RUNS = (SCRIPT.encode(), b"<img src=x onerror")
LIST_PAGE = re.compile(r"/admin/(tenants|registry|monitoring|audit)/[a-z]+/")
# What a constraint shapes, or a trigger keeps as it is.
SHAPED = {"slug", "sha256", "status", "role", "kind", "stage", "type", "severity"}
SHAPED |= {"fingerprint", "username", "digest", "password", "public_id", "operator"}


def assert_is_json(response: Any) -> None:
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@every_mount
def test_an_error_repeats_a_script_as_json(alice_in_fraud, mount):
    tracking = Tracking(alice_in_fraud, mount.url(""))
    for response in (
        tracking.get("experiments/get", experiment_id=SCRIPT),
        tracking.get("experiments/get-by-name", experiment_name=SCRIPT),
        tracking.get("runs/get", run_id=SCRIPT),
        tracking.post("runs/set-tag", run_id=SCRIPT, key=SCRIPT, value=""),
        tracking.post("runs/search", filter=SCRIPT),
        tracking.post("experiments/search", max_results=1, order_by=[SCRIPT]),
        alice_in_fraud.get(mount.url(SCRIPT)),
        tracking.send("runs/set-tag", b"{}", content_type=SCRIPT),
    ):
        assert 400 <= response.status_code < 500
        assert_is_json(response)


def test_an_error_of_rest_repeats_a_script_as_json(alice):
    for response in (
        alice.get(f"{PROJECT}runs/?status={SCRIPT}"),
        alice.get(f"{PROJECT}runs/?{SCRIPT}=1"),
        alice.get(f"{PROJECT}{SCRIPT}/"),
        alice.get(f"{PROJECT}runs/{SCRIPT}/"),
        alice.get(f"{PROJECT}runs/?cursor={SCRIPT}"),
        alice.post(f"{PROJECT}models/", {SCRIPT: 1}, content_type="application/json"),
        alice.post(f"{PROJECT}models/", {"name": SCRIPT}, content_type=SCRIPT),
    ):
        assert 400 <= response.status_code < 500
        assert_is_json(response)


def test_what_is_stored_comes_back_as_json_letter_for_letter(alice, alice_in_fraud):
    fraud = Tracking(alice_in_fraud)
    experiment = fraud.experiment(HOSTILE, tags=[{"key": "k", "value": HOSTILE}])
    run = fraud.run(experiment, run_name=HOSTILE, user_id=HOSTILE)
    fraud.ok("runs/log-parameter", run_id=run, key="k", value=HOSTILE)
    fraud.ok("runs/set-tag", run_id=run, key="mlflow.note.content", value=HOSTILE)
    for response in (
        fraud.get("runs/get", run_id=run),
        fraud.post("runs/search", experiment_ids=[experiment]),
        fraud.get("experiments/get", experiment_id=experiment),
        alice.get(f"{PROJECT}runs/{run}/"),
        alice.get(f"{PROJECT}experiments/"),
    ):
        assert response.status_code == 200
        assert_is_json(response)
        assert HOSTILE in texts_of(response.json())


def texts_of(value: Any) -> set[str]:
    if isinstance(value, str):
        return {value}
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return set()
    return {text for each in inner for text in texts_of(each)}


# The admin


def free_texts(row: models.Model) -> dict[str, str]:
    """Return a hostile text for each column that takes one."""
    return {
        field.name: HOSTILE[: getattr(field, "max_length", None)]
        for field in row._meta.concrete_fields
        if type(field) in (models.CharField, models.TextField)
        and not field.choices
        and field.name not in SHAPED
    }


# JSON as text: the script is in the names and the values inside of it.
FIELDS = json.dumps({"inputs": {HOSTILE: HOSTILE}, "outputs": HOSTILE})
# What identifies them never changes, and nothing of the trail does.
TRAIL = {"auditlog", "seal", "anchor", "archive"}
KEPT = {"package", "packagefile", "multipartupload", *TRAIL}


@pytest.fixture
def poisoned(cast) -> list[models.Model]:
    """Rows of everything, with a script in every text that has no shape of its own."""
    rows = list(populate(cast.fraud, cast.alice).values())
    rows.append(UploadFactory(project=cast.fraud, location=HOSTILE, reference=HOSTILE))
    for row in rows:
        if row._meta.model_name in KEPT:
            continue
        texts = free_texts(row)
        if row._meta.model_name == "registeredmodel":
            texts.pop("name")  # refused by a constraint: it has a slash
        if row._meta.model_name == "evaluationdataset":
            texts["schema"] = FIELDS
        if texts:
            type(row)._base_manager.filter(pk=row.pk).update(**texts)
    return rows


@pytest.fixture
def staff(db) -> AdminClient:
    return superuser()


def test_no_page_of_the_admin_runs_a_stored_script(staff, poisoned):
    seen = 0
    for row in poisoned:
        base = f"/admin/{row._meta.app_label}/{row._meta.model_name}/"
        for address in (base, f"{base}{row.pk}/change/", f"{base}{row.pk}/history/"):
            response = staff.get(address)
            if response.status_code != 200:
                continue
            page = response.getvalue()
            assert not [each for each in RUNS if each in page], address
            seen += b"alert(1)" in page
    # Escaped, but there: pages that show nothing would prove nothing.
    assert seen > 10


def test_no_search_of_the_admin_repeats_a_script(staff, poisoned):
    for route in routes():
        if LIST_PAGE.fullmatch(route.template):
            response = staff.get(
                route.address({}), {"q": HOSTILE, SCRIPT: "1", "p": "x"}
            )
            assert response.status_code < 500, route
            if response.status_code == 200:
                page = response.getvalue()
                assert not [each for each in RUNS if each in page], route


def test_every_list_of_rest_is_json_whatever_is_in_it(alice, poisoned):
    place = {"organization": "acme", "project": "fraud"}
    for route in list_routes():
        response = alice.get(route.address(place), headers={"accept": "text/html"})
        assert response.status_code == 200, route
        assert_is_json(response)
