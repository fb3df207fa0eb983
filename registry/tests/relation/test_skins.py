"""Every skin shows each run its own package, for a price that does not grow.

Amid impostors of another tenant and a sibling project, dead twins, other versions.
Proofs 1, 2, 12 and 15 over HTTP, cached statements included.
"""

from __future__ import annotations

import io
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conftest import WebClient
from registry.models import LatestMetric, Package, Run
from registry.storage import put_blob
from registry.tests.factories import (
    BlobFactory,
    ExperimentFactory,
    PackageFileFactory,
    RunFactory,
    candidate_package,
)
from registry.tests.relation.hostile import SIZES, Page, make_page
from tenants.models import Project
from tenants.tests.factories import ProjectFactory
from tenants.tests.superuser import AdminClient, rows_of, shown, superuser

FRAUD = "/api/v1/organizations/acme/projects/fraud/"
RUNS = f"{FRAUD}runs/"
# Savepoint, its release, admission; runs, packages, files.
REST_STATEMENTS = 6
MLFLOW = "/api/2.0/mlflow"
MOSTLY = [1, 20, 200, pytest.param(1000, marks=pytest.mark.soak)]


def rest_pages(client: WebClient, address: str) -> tuple[dict[UUID, Any], set[int]]:
    """Walk all pages; return each run's package and what the pages cost."""
    found, costs = {}, set()
    following = address
    while following:
        client.get(address)  # one request in many leases what the next ones may spend
        answer = client.get(following)
        assert answer.status_code == 200, answer.content
        costs.add(int(answer["X-Query-Count"]))
        body = answer.json()
        found.update({UUID(run["id"]): run["package"] for run in body["results"]})
        following = body["next"]
    return found, costs


def assert_right(page: Page, found: dict[UUID, Any]) -> None:
    assert found.keys() == page.right.keys()
    for run, package in found.items():
        right = page.right[run]
        assert (package and UUID(package["id"])) == right, f"run {run}"
        for file in package["files"] if package else ():
            assert file["path"].startswith(right.hex), file
        assert package is None or package["file_count"] == 2


# REST


@pytest.mark.parametrize("count", SIZES)
def test_every_page_of_rest_costs_the_same_and_is_right(page_of, alice, count):
    page = page_of(count)
    found, costs = rest_pages(alice, f"{RUNS}?limit=200")
    assert costs == {REST_STATEMENTS}
    assert_right(page, found)


def test_a_filtered_page_and_the_last_page_cost_the_same(page_of, alice):
    page = page_of(50)
    Run._base_manager.filter(pk__in=list(page.right)[::2]).update(status="FAILED")
    _, of_pages = rest_pages(alice, f"{RUNS}?limit=20")
    found, filtered = rest_pages(alice, f"{RUNS}?status=FAILED&limit=20")
    assert of_pages == filtered == {REST_STATEMENTS}
    assert len(found) == 25


@pytest.mark.parametrize("place", range(5))
def test_the_page_of_one_run_is_right(page_of, alice, place):
    page = page_of(5)
    run = page.runs[place]
    package = alice.get(f"{RUNS}{run.pk}/").json()["package"]
    assert (package and UUID(package["id"])) == page.right[run.pk]


@pytest.mark.parametrize("count", MOSTLY)
def test_an_order_by_metric_costs_the_relation_no_more(
    in_acme, page_of, count, django_assert_num_queries
):
    page = page_of(count)
    LatestMetric._base_manager.bulk_create(
        LatestMetric(
            id=uuid4(),
            organization_id=run.organization_id,
            experiment_id=run.experiment_id,
            run=run,
            name="loss",
            value=float(number),
            timestamp_ms=1,
        )
        for number, run in enumerate(page.runs)
    )
    by_loss = Run.objects.filter(latest_metrics__name="loss")
    with django_assert_num_queries(3):  # runs; packages; files
        runs = list(
            by_loss.order_by("-latest_metrics__value").prefetch_related(
                "package__files"
            )
        )
        assert [run.pk for run in runs] == [run.pk for run in reversed(page.runs)]
        assert page.faults(sorted(runs, key=lambda run: run.pk)) == []


def test_a_listed_file_is_downloaded_from_its_address(alice, cast, make_runs):
    (run,) = make_runs(1)
    stored = put_blob(cast.acme.pk, io.BytesIO(b"content"), max_bytes=100)
    blob = BlobFactory(
        organization=cast.acme, sha256=stored.sha256, size_bytes=stored.size_bytes
    )
    PackageFileFactory(package=candidate_package(run), path="a b/ü?#%41.txt", blob=blob)
    (listed,) = alice.get(f"{RUNS}?limit=1").json()["results"]
    (file,) = listed["package"]["files"]
    answer = alice.get(file["url"])
    assert answer.status_code == 200, file["url"]
    assert b"".join(answer.streaming_content) == b"content"


# Admin


@pytest.fixture
def root(cast) -> AdminClient:
    return superuser()


def admin_pages(client: AdminClient, **filters: Any) -> tuple[list[Run], set[int]]:
    with connection.cursor() as cursor:
        # Rows that other tests rolled back fill pages, which the planner takes for
        # rows: the list would then show its estimate and not count.
        cursor.execute("ANALYZE experiment_runs")
    client.listed("registry_run", **filters)  # what every process knows after a while
    runs: list[Run] = []
    costs = set()
    last = 1
    number = 1
    while number <= last:
        with CaptureQueriesContext(connection) as captured:
            response = client.listed("registry_run", p=number, **filters)
        assert response.status_code == 200
        costs.add(len(captured))
        runs += rows_of(response)
        last = response.context["cl"].paginator.num_pages
        number += 1
    return runs, costs


@pytest.mark.parametrize("count", SIZES)
def test_every_page_of_the_admin_costs_the_same_and_is_right(
    page_of, root, count, request
):
    page = page_of(count)
    runs, costs = admin_pages(root)
    assert [run.pk for run in runs] == [run.pk for run in reversed(page.runs)]
    assert len(costs) == 1, costs
    for run in runs:  # as the page has read them
        assert (run.package and run.package.pk) == page.right[run.pk]
        assert run.package is None or run.package.file_count == 2


def test_the_admin_costs_the_same_for_one_run_and_for_two_hundred(page_of, root):
    page_of(1)
    _, of_one = admin_pages(root)
    for each in Run._base_manager.all():
        RunFactory.create_batch(199, experiment=each.experiment)
    _, of_many = admin_pages(root, all="")
    assert of_one == of_many


@pytest.mark.parametrize("count", MOSTLY)
def test_pages_over_fifty_projects_cost_the_same_and_are_right(cast, root, count):
    projects = [ProjectFactory(organization=cast.acme) for _ in range(50)]
    page = make_page(count, projects, [cast.umbrella_fraud, cast.churn])
    runs, costs = admin_pages(root)
    assert len(costs) == 1, costs
    assert len(runs) == count
    for run in runs:
        assert (run.package and run.package.pk) == page.right[run.pk]


def test_the_admin_s_page_of_a_run_lists_its_own_files(page_of, root):
    page = page_of(5)
    for run in page.runs:
        text = shown(root.opened(run))
        right = page.right[run.pk]
        if right is None:
            assert "This run has no package" in text
        else:
            assert f"{right.hex}/0" in text
        strangers = Package._base_manager.filter(name=run.package_name)
        for stranger in strangers.exclude(pk=right):
            assert f"{stranger.pk.hex}/0" not in text


# MLflow's protocol


def test_mlflow_lists_each_run_its_own_files(page_of, alice_in_fraud):
    page = page_of(20)
    for run in page.runs:
        answer = alice_in_fraud.get(f"{MLFLOW}/artifacts/list?run_id={run.pk.hex}")
        right = page.right[run.pk]
        assert folders_of(answer.json()) == ([right.hex] if right else [])


def folders_of(listed: dict[str, Any]) -> list[str]:
    return [file["path"] for file in listed.get("files", ())]


def test_mlflow_s_proxy_lists_each_run_its_own_files(page_of, alice_in_fraud):
    page = page_of(20)
    for run in page.runs:
        root = f"{run.experiment.iid}/{run.pk.hex}/artifacts"
        address = f"/api/2.0/mlflow-artifacts/artifacts?path={root}"
        right = page.right[run.pk]
        listed = alice_in_fraud.get(address).json()
        assert folders_of(listed) == ([right.hex] if right else [])


def test_mlflow_downloads_no_impostor_s_file(page_of, alice_in_fraud):
    page = page_of(5)
    for run in page.runs:
        own = page.right[run.pk]
        others = Package._base_manager.filter(name=run.package_name).exclude(pk=own)
        for other in others:
            path = f"{other.pk.hex}/0"
            answer = alice_in_fraud.get(
                f"/get-artifact?run_id={run.pk.hex}&path={path}"
            )
            assert answer.status_code == 404, path


# Numbers: proof 13


def test_the_number_of_a_purged_run_is_not_handed_out_again(alice, cast):
    """Or a new run would inherit what an old one has left."""
    experiment = ExperimentFactory(project=cast.fraud)
    first = create_run(alice, experiment)
    Run._base_manager.filter(pk=first["id"]).update(deleted_at="2026-01-01T00:00Z")
    with connection.cursor() as cursor:  # as a purge does
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("DELETE FROM experiment_runs WHERE id = %s", [first["id"]])
        cursor.execute("SET LOCAL session_replication_role = origin")
    assert create_run(alice, experiment)["iid"] == first["iid"] + 1


def create_run(client: WebClient, experiment: Any) -> dict[str, Any]:
    body = {"experiment": str(experiment.pk), "name": "night"}
    answer = client.post(RUNS, body, content_type="application/json")
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_promotion_keeps_the_link(page_of, alice):
    """The version points at the package, which keeps its name and its run."""
    page = page_of(1)
    (run,) = page.runs
    model = alice.post(
        f"{FRAUD}models/", {"name": "scorer"}, content_type="application/json"
    ).json()
    version = alice.post(
        f"{FRAUD}model-versions/",
        {"model": model["id"], "run": str(run.pk)},
        content_type="application/json",
    ).json()
    moved = alice.post(
        f"{FRAUD}model-versions/{version['id']}/transition/",
        {"stage": "Production"},
        content_type="application/json",
    )
    assert moved.status_code == 200, moved.content
    package = alice.get(f"{RUNS}{run.pk}/").json()["package"]
    assert package["id"] == version["package"] == str(page.right[run.pk])
    assert package["name"] == run.package_name


def test_sibling_and_stranger_see_none_of_it(page_of, alice, mallory, cast):
    page_of(20)
    churn: Project = cast.churn
    rows, _ = rest_pages(
        alice, f"/api/v1/organizations/acme/projects/{churn.slug}/runs/"
    )
    assert rows == {}
    umbrella = "/api/v1/organizations/umbrella/projects/fraud/runs/"
    assert rest_pages(mallory, umbrella)[0] == {}
    assert mallory.get(RUNS).status_code == 404
