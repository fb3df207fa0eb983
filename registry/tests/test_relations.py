"""The proofs of the virtual foreign key, on data that tries to mislead it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import (
    Prefetch,
    Q,
    prefetch_related_objects,
)
from django.http import JsonResponse
from django.urls import include
from django.urls import path as route

from conftest import web_role
from registry import relations
from registry.models import Experiment, Package, PackageFile, Run
from registry.querysets import PackageQuerySet
from registry.relations import NotPrefetched, strict_relations
from registry.sql.packages import FOUND, find_run
from registry.tests.factories import (
    BlobFactory,
    ExperimentFactory,
    ModelVersionFactory,
    PackageFactory,
    PackageFileFactory,
    RunFactory,
    candidate_package,
)
from tenants.context import Actor, tenant_transaction
from tenants.models import Project
from tenants.tests.factories import ProjectFactory
from tenants.unscoped import every_organization

SIZES = [1, 20, 200, 1000]
READABLE = ["default", "hidden", "deprecated"]
UNREADABLE = ["processing", "error", "pending_destruction"]
WHOLE = "package__files"


@pytest.fixture
def in_acme(cast) -> Iterator[Actor]:
    """Alice's context; as the owner of the database, so the first lock stands alone."""
    actor = Actor(kind="user", id=cast.alice.pk, organization_id=cast.acme.pk)
    with tenant_transaction(actor):
        yield actor


# Hostile data


@dataclass
class Packages:
    """Rows to be stored at once, in the order in which they were asked for."""

    packages: list[Package] = field(default_factory=list)
    files: list[PackageFile] = field(default_factory=list)
    blobs: dict[UUID, Any] = field(default_factory=dict)
    impostors: set[tuple[UUID, str]] = field(default_factory=set)

    def add(
        self, project: Project, name: str, version: str = "-", *, files: int = 2, **more
    ) -> Package:
        organization = project.organization_id
        package = Package(
            organization_id=organization,
            project=project,
            name=name,
            version=version,
            **more,
        )
        self.packages.append(package)
        if organization not in self.blobs:
            self.blobs[organization] = BlobFactory(organization_id=organization)
        for number in range(files):
            file = PackageFile(
                organization_id=organization,
                package=package,
                path=f"{package.pk.hex}/{number}",
                size_bytes=3,
                sha256=self.blobs[organization].sha256,
                blob=self.blobs[organization],
            )
            self.files.append(file)
        return package

    def store(self) -> None:
        with without_triggers():
            Package._base_manager.bulk_create(self.packages)
            PackageFile._base_manager.bulk_create(self.files)


@contextmanager
def without_triggers() -> Iterator[None]:
    """Store many rows fast: they are known to be consistent, and not to be audited."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        yield
        cursor.execute("SET LOCAL session_replication_role = origin")


@dataclass
class Page:
    """Runs, and the package that each of them must be given."""

    runs: list[Run]
    right: dict[UUID, UUID | None]

    def query(self, *prefetch: str) -> list[Run]:
        rows = Run.objects.filter(pk__in=[run.pk for run in self.runs]).order_by("id")
        return list(rows.prefetch_related(*prefetch))

    def faults(self, runs: list[Run]) -> list[str]:
        assert [run.pk for run in runs] == [run.pk for run in self.runs]
        return [fault for run in runs for fault in self._faults_of(run)]

    def _faults_of(self, run: Run) -> Iterator[str]:
        right = self.right[run.pk]
        found = run.package.pk if run.package else None
        if found != right:
            yield f"run {run.iid} of {run.project_id} was given {found}"
        for file in run.package.files.all() if run.package else ():
            if right is None or not file.path.startswith(right.hex):
                yield f"run {run.iid} was given the file {file.path}"


def add_impostors(stored: Packages, run: Run, elsewhere: list[Project]) -> None:
    name = relations.name_of(run)
    for project in elsewhere:
        if (project.pk, name) not in stored.impostors:
            stored.impostors.add((project.pk, name))
            stored.add(project, name)
    for version in ("2", "candidate_7", "1.0"):
        stored.add(run.project, name, version)
    stored.add(run.project, name, status="pending_destruction")
    stored.add(run.project, name, deleted_at=datetime.now(UTC))


def add_right(stored: Packages, run: Run, number: int) -> UUID | None:
    """Every fifth run has none, and one in five one that nobody may read yet."""
    match number % 5:
        case 1:
            return None
        case 2:
            stored.add(run.project, relations.name_of(run), status="processing")
            return None
        case 3:
            return stored.add(run.project, relations.name_of(run), status="hidden").pk
    return stored.add(run.project, relations.name_of(run)).pk


def make_page(count: int, projects: list[Project], elsewhere: list[Project]) -> Page:
    """Store runs spread over `projects`, with impostors before and after the right."""
    experiments = [ExperimentFactory(project=project) for project in projects]
    runs = [
        RunFactory.build(experiment=experiment, iid=number // len(projects) + 1)
        for number, experiment in zip(range(count), itertools.cycle(experiments))
    ]
    Run._base_manager.bulk_create(runs)
    stored, right = Packages(), {}
    for number, run in enumerate(runs):
        if number % 2:
            add_impostors(stored, run, elsewhere)
        right[run.pk] = add_right(stored, run, number)
        if number % 2 == 0:
            add_impostors(stored, run, elsewhere)
    stored.store()
    return Page(sorted(runs, key=lambda run: run.pk), right)


@pytest.fixture
def page_of(cast):
    """Return a function that stores runs of fraud amid impostors."""

    def make(count: int) -> Page:
        return make_page(count, [cast.fraud], [cast.umbrella_fraud, cast.churn])

    return make


# 1, 2, 3: a constant number of statements, and never a foreign row


@pytest.mark.parametrize("count", SIZES)
def test_packages_take_one_statement_whatever_the_page(
    in_acme, page_of, count, django_assert_num_queries
):
    page = page_of(count)
    with django_assert_num_queries(2):  # runs; packages
        runs = page.query("package")
        assert [run.package for run in runs]
    assert page.faults(runs) == []


@pytest.mark.parametrize("count", SIZES)
def test_packages_with_files_take_two_statements_whatever_the_page(
    in_acme, page_of, count, django_assert_num_queries
):
    page = page_of(count)
    with django_assert_num_queries(3):  # runs; packages; files
        runs = page.query(WHOLE)
        assert page.faults(runs) == []
        assert {len(run.package.files.all()) for run in runs if run.package} == {2}


@pytest.mark.parametrize("count", [20, 200])
def test_the_second_lock_alone_changes_nothing(
    in_acme, page_of, count, django_assert_num_queries
):
    page = page_of(count)
    with web_role(), django_assert_num_queries(3):
        assert page.faults(page.query(WHOLE)) == []


@pytest.mark.parametrize("count", [1, 20, 100, 200])
def test_a_page_over_many_projects_takes_no_more(
    in_acme, cast, count, django_assert_num_queries
):
    projects = [ProjectFactory(organization=cast.acme) for _ in range(50)]
    page = make_page(count, projects, [cast.umbrella_fraud, cast.churn])
    with django_assert_num_queries(3):
        assert page.faults(page.query(WHOLE)) == []


def test_a_page_over_all_organizations_mixes_nothing(cast, django_assert_num_queries):
    projects = [cast.fraud, cast.umbrella_fraud, cast.churn]
    page = make_page(90, projects, [])
    assert len({run.iid for run in page.runs}) == 30
    operator = Actor(kind="command", label="test")
    with every_organization(operator, reason="test"), django_assert_num_queries(3):
        assert page.faults(page.query(WHOLE)) == []


def test_a_page_without_packages_costs_no_third_statement(
    in_acme, make_runs, django_assert_num_queries
):
    make_runs(20)
    with django_assert_num_queries(2):  # runs; packages
        runs = list(Run.objects.prefetch_related(WHOLE))
        assert [run.package for run in runs] == [None] * 20


def list_runs(request):
    """A list view as REST will have them."""
    with strict_relations():
        runs = Run.objects.in_project(request.actor.project_id)
        rows = {
            run.pk.hex: [file.path for file in run.package.files.all()]
            for run in runs.prefetch_related(WHOLE)
            if run.package
        }
    return JsonResponse(rows)


list_runs.needs = "tracking:read"  # type: ignore[attr-defined]
urlpatterns = [
    route("runs", list_runs),
    # allauth's middleware, which looks for its pages, stands before all.
    route("accounts/", include("tenants.accounts.urls")),
]


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("count", SIZES)
def test_a_list_over_http_takes_four_statements_whatever_the_page(
    page_of, alice_in_fraud, count
):
    page = page_of(count)
    answer = alice_in_fraud.get("/runs")
    # Admission; runs; packages; files; and the savepoint, as the test is a transaction.
    assert answer["X-Query-Count"] == str(4 + 2)
    shown = {UUID(run): paths for run, paths in answer.json().items()}
    wanted = {run: pk for run, pk in page.right.items() if pk}
    assert shown.keys() == wanted.keys()
    for run, paths in shown.items():
        assert len(paths) == 2
        assert all(path.startswith(wanted[run].hex) for path in paths)


# 4: states


@pytest.mark.parametrize("status", READABLE)
def test_a_readable_package_is_shown(in_acme, cast, status):
    run = RunFactory(experiment__project=cast.fraud)
    package = candidate_package(run)
    Package.objects.filter(pk=package.pk).update(status=status)
    assert fresh(run).package == package
    assert prefetched(run).package == package
    assert find_run(cast.fraud, run.pk).package == package.pk


@pytest.mark.parametrize("status", UNREADABLE)
def test_an_unreadable_package_is_not_shown(in_acme, cast, status):
    run = RunFactory(experiment__project=cast.fraud)
    package = candidate_package(run)
    Package.objects.filter(pk=package.pk).update(status=status)
    assert fresh(run).package is None
    assert prefetched(run).package is None
    assert find_run(cast.fraud, run.pk).package is None


@pytest.mark.parametrize(
    "ending", [{"status": "pending_destruction"}, {"deleted_at": datetime.now(UTC)}]
)
def test_a_package_made_anew_under_a_dead_one_s_name_is_the_one(in_acme, cast, ending):
    run = RunFactory(experiment__project=cast.fraud)
    Package.objects.filter(pk=candidate_package(run, files=1).pk).update(**ending)
    assert fresh(run).package is None
    again = candidate_package(run, files=1)
    assert fresh(run).package == again
    assert prefetched(run).package == again


def fresh(run):
    return Run.objects.get(pk=run.pk)


def prefetched(run):
    return Run.objects.prefetch_related("package").get(pk=run.pk)


# 5: the database refuses a second one (the race: test_packages.py)


def test_a_second_live_package_of_a_name_is_refused(in_acme, cast):
    run = RunFactory(experiment__project=cast.fraud)
    candidate_package(run)
    with pytest.raises(IntegrityError, match="packages_live_name"):
        candidate_package(run)


# 6: reading costs what it must


def test_a_run_without_package_costs_one_statement_once(
    in_acme, cast, django_assert_num_queries
):
    run = RunFactory(experiment__project=cast.fraud)
    with django_assert_num_queries(1):
        assert run.package is None
        assert run.package is None
    with django_assert_num_queries(2):
        run = prefetched(run)
        assert run.package is None


def test_a_prefetched_package_is_not_asked_for_again(
    in_acme, page_of, django_assert_num_queries
):
    runs = page_of(20).query(WHOLE)
    with django_assert_num_queries(0):
        prefetch_related_objects(runs, WHOLE)
        assert [run.package and list(run.package.files.all()) for run in runs]


# 7: look-alikes

LOOK_ALIKES = [
    "ml_candidate_1x",
    "ml_candidate_01",
    "ml_candidate_",
    "ml_candidate_ 1",
    "ml_candidate_1 ",
    "ml_candidate_1\n",
    "ml_candidate_-1",
    "ml_candidate_+1",
    "ml_candidate_1.0",
    "ml_candidate_1e0",
    "ml_candidate_１",
    "ml_candidate_١",
    "ML_Candidate_1",
    "ML_CANDIDATE_1",
    "Ml_candidate_1",
]


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_a_look_alike_of_a_candidate_s_name_is_refused(cast, name):
    with pytest.raises(IntegrityError, match="packages_candidate_name"):
        PackageFactory(project=cast.fraud, name=name, version="-")


@pytest.mark.parametrize(
    "name", [" ml_candidate_1", "ml-candidate-1", "ml_candidates_1", "mｌ_candidate_1"]
)
def test_another_name_is_another_name(in_acme, cast, name):
    run = RunFactory(experiment__project=cast.fraud, iid=1)
    PackageFactory(project=cast.fraud, name=name, version="-")
    assert fresh(run).package is None
    assert prefetched(run).package is None


def test_numbers_that_begin_alike_are_kept_apart(in_acme, cast):
    experiment = ExperimentFactory(project=cast.fraud)
    runs = [RunFactory(experiment=experiment, iid=iid) for iid in (1, 12, 121, 2)]
    packages = [candidate_package(run, files=1) for run in runs]
    found = Run.objects.order_by("id").prefetch_related("package")
    assert [run.package for run in found] == packages


def test_the_same_number_in_two_projects_means_two_packages(in_acme, cast):
    here = RunFactory(experiment__project=cast.fraud, iid=7)
    there = RunFactory(experiment__project=cast.churn, iid=7)
    packages = {run.pk: candidate_package(run) for run in (there, here)}
    for run in Run.objects.prefetch_related("package"):
        assert run.package == packages[run.pk]


def test_the_greatest_number_finds_its_package(in_acme, cast):
    run = RunFactory(experiment__project=cast.fraud, iid=2**63 - 1)
    package = candidate_package(run)
    assert prefetched(run).package == package
    assert fresh(run).package == package


# 8: a link across a border cannot be written, whatever the code above does


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


# 9: plans on a table that is large enough to tell

PROJECTS, NAMES = 10, 11_000
BUFFERS_PER_RUN = 8

FILL_RUNS = """
INSERT INTO experiment_runs (id, organization_id, project_id, experiment_id, iid, name,
                             status, user_name, start_time_ms, metadata, created_at,
                             updated_at)
SELECT gen_random_uuid(), %s, %s, %s, n, 'run', 'FINISHED', '', 0, '{}', now(), now()
FROM generate_series(1, %s) AS n
"""
FILL_PACKAGES = """
INSERT INTO packages (id, organization_id, project_id, name, version, type, status,
                      metadata, created_at, updated_at)
SELECT gen_random_uuid(), p.organization_id, p.id, 'ml_candidate_' || n, '-',
       'candidate', 'default', '{}', now(), now()
FROM projects p, generate_series(1, %s) AS n
WHERE p.id = ANY(%s)
"""


@pytest.fixture
def crowd(cast):
    """110,000 packages: ten projects own the same 11,000 names."""
    projects = [ProjectFactory(organization=cast.acme) for _ in range(PROJECTS - 2)]
    owners = [project.pk for project in [*projects, cast.fraud, cast.umbrella_fraud]]
    experiment = ExperimentFactory(project=cast.fraud)
    where = [cast.acme.pk, cast.fraud.pk, experiment.pk]
    with connection.cursor() as cursor, without_triggers():
        cursor.execute(FILL_RUNS, [*where, NAMES])
        cursor.execute(FILL_PACKAGES, [NAMES, owners])
        cursor.execute("ANALYZE packages, experiment_runs")
    return experiment


def plan_of(queryset) -> dict:
    text = queryset.explain(format="json", analyze=True, buffers=True)
    return json.loads(text)[0]["Plan"]


def nodes_of(plan: dict) -> Iterator[dict]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes_of(child)


def plan_faults(plan: dict, runs: int) -> list[str]:
    nodes = list(nodes_of(plan))
    faults = [
        f"sequential scan of {node['Relation Name']}"
        for node in nodes
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] == "packages"
    ]
    used = {node["Index Name"] for node in nodes if "Index Name" in node}
    # For a tenth of a project's packages, reading all of them by project is as cheap.
    fitting = {"packages_live_name"} | (
        {"packages_of_project"} if runs > 200 else set()
    )
    if not used & fitting:
        faults.append(f"packages_live_name is not used for {runs} runs, but {used}")
    buffers = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    if buffers > BUFFERS_PER_RUN * runs + 20:  # 20: what planning one page costs
        faults.append(f"{buffers} buffers for {runs} runs")
    return faults


def packages_for(page) -> PackageQuerySet:
    """The very query that a prefetch runs for this page."""
    instances = list(page)
    return Run.package.get_prefetch_querysets(instances)[0]


def test_the_plans_use_the_index_on_live_names(in_acme, crowd):
    for count in SIZES:
        runs = Run.objects.filter(experiment=crowd).order_by("id")[:count]
        queryset = packages_for(runs)
        plan = plan_of(queryset)
        assert plan["Actual Rows"] == count
        assert plan_faults(plan, count) == []
        with web_role():
            assert plan_faults(plan_of(queryset), count) == []
        twin = plan_of(runs.with_package_id())
        assert [fault for fault in plan_faults(twin, count) if "buf" not in fault] == []


def test_the_check_of_plans_sees_what_is_missing(in_acme, crowd):
    runs = list(Run.objects.filter(experiment=crowd)[:20])
    assert plan_faults(plan_of(packages_for(runs)), 20) == []
    names = [relations.name_of(run) for run in runs]
    no_project = Package.objects.live().filter(name__in=names, version="-")
    assert plan_faults(plan_of(no_project), 20) != []
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX packages_live_name")
    faults = plan_faults(plan_of(packages_for(runs)), 20)
    assert any("packages_live_name is not used" in fault for fault in faults)


# 10: a list that reads rows one by one is a fault


def test_a_lazy_read_raises_where_rows_are_listed(in_acme, page_of):
    page = page_of(5)
    with strict_relations():
        with pytest.raises(NotPrefetched, match="prefetch_related"):
            page.faults(page.query())
        assert page.faults(page.query(WHOLE)) == []
    assert page.faults(page.query()) == []


def lazy_list(request):
    with strict_relations():
        runs = Run.objects.in_project(request.actor.project_id)
        return JsonResponse({run.pk.hex: bool(run.package) for run in runs})


lazy_list.needs = "tracking:read"  # type: ignore[attr-defined]
urlpatterns.append(route("lazy", lazy_list))


@pytest.mark.urls(__name__)
def test_a_list_view_that_forgets_to_prefetch_fails(page_of, alice_in_fraud):
    page_of(2)
    with pytest.raises(NotPrefetched):
        alice_in_fraud.get("/lazy")


def test_strictness_ends_with_its_block(in_acme, cast):
    run = RunFactory(experiment__project=cast.fraud)
    with pytest.raises(ValueError, match="over"), strict_relations():
        raise ValueError("over")
    assert run.package is None


# 11: each predicate is needed: without it, the hostile page shows a wrong row


def without_project(runs):
    return Q(name__in=[relations.name_of(run) for run in runs])


def in_two_lists(runs):
    return Q(
        project__in={run.project_id for run in runs},
        name__in=[relations.name_of(run) for run in runs],
    )


def live_without_status(self):
    return self.filter(deleted_at__isnull=True)


def live_without_deletion(self):
    return self.filter(status__in=self.READABLE)


def of_any_version(runs, packages=None):
    packages = relations.all_packages() if packages is None else packages
    return packages.live().filter(relations.matching(runs))


def by_name_alone(self, instances, querysets=None):
    def name_of(row):
        return row.name if isinstance(row, Package) else relations.name_of(row)

    packages = relations.packages_of(instances)
    return packages, name_of, name_of, True, self.name, False


RELATION = relations.CandidatePackage
MUTATIONS = [
    (relations, "matching", without_project),
    (PackageQuerySet, "live", live_without_status),
    (PackageQuerySet, "live", live_without_deletion),
    (relations, "packages_of", of_any_version),
    (RELATION, "get_prefetch_querysets", by_name_alone),
]


@pytest.mark.parametrize(
    "home,name,mutant", MUTATIONS, ids=[mutant.__name__ for *_, mutant in MUTATIONS]
)
def test_a_missing_predicate_would_be_noticed(
    in_acme, cast, monkeypatch, home, name, mutant
):
    page = make_page(40, [cast.fraud, cast.churn], [cast.umbrella_fraud])
    assert page.faults(page.query(WHOLE)) + page.faults(page.query()) == []
    monkeypatch.setattr(home, name, mutant)
    # Together, and one by one: either way may hide what the other shows.
    assert page.faults(page.query(WHOLE)) + page.faults(page.query()) != []


def test_two_independent_lists_would_read_more_than_the_page(in_acme, cast):
    """They give the right rows, for more than they should cost: see the traps."""
    here = RunFactory(experiment__project=cast.fraud, iid=1)
    there = RunFactory(experiment__project=cast.churn, iid=2)
    for project, name in itertools.product(
        (cast.fraud, cast.churn), ("ml_candidate_1", "ml_candidate_2")
    ):
        PackageFactory(project=project, name=name, version="-")
    paired = relations.packages_of([here, there])
    mixed = Package.objects.live().filter(in_two_lists([here, there]))
    assert (paired.count(), mixed.count()) == (2, 4)


# The protocol, as Django 5.2 speaks it; repeat with each new Django


def test_a_query_set_of_the_caller_s_choice_still_shows_live_rows_only(in_acme, cast):
    run = RunFactory(experiment__project=cast.fraud)
    dead = candidate_package(run)
    Package.objects.filter(pk=dead.pk).update(deleted_at=datetime.now(UTC))
    everything = Prefetch("package", queryset=Package.objects.all())
    assert Run.objects.prefetch_related(everything).get(pk=run.pk).package is None


def test_a_query_set_of_the_caller_s_choice_may_carry_totals(
    in_acme, page_of, django_assert_num_queries
):
    page = page_of(20)
    totals = Prefetch("package", queryset=Package.objects.with_totals())
    with django_assert_num_queries(2):
        runs = page.query(totals)
        found = {run.package.file_count for run in runs if run.package}
    assert found == {2}
    assert page.faults(runs) == []


def test_another_attribute_may_take_the_package(in_acme, page_of):
    page = page_of(5)
    runs = page.query(Prefetch("package", to_attr="bundle"))
    found = {run.pk: run.bundle and run.bundle.pk for run in runs}
    assert found == page.right


def test_packages_are_reached_through_other_relations(
    in_acme, page_of, django_assert_num_queries
):
    page = page_of(20)
    experiment = page.runs[0].experiment
    with django_assert_num_queries(4):  # experiment; runs; packages; files
        found = Experiment.objects.prefetch_related(f"runs__{WHOLE}").get(
            pk=experiment.pk
        )
        runs = sorted(found.runs.all(), key=lambda run: run.pk)
        assert page.faults(runs) == []


def test_the_files_of_a_page_may_be_the_first_of_each(
    in_acme, page_of, django_assert_num_queries
):
    page = page_of(20)
    first = PackageFile.objects.order_by("path")[:1]
    with django_assert_num_queries(3):
        runs = page.query(Prefetch(WHOLE, queryset=first, to_attr="first_files"))
        counts = {len(run.package.first_files) for run in runs if run.package}
    assert counts == {1}


def test_an_export_takes_two_statements_for_each_chunk(
    in_acme, page_of, django_assert_num_queries
):
    page = page_of(200)
    runs = Run.objects.order_by("id").prefetch_related(WHOLE)
    with django_assert_num_queries(1 + 2 * 4):
        exported = list(runs.iterator(chunk_size=50))
        assert page.faults(exported) == []


def test_a_slice_prefetches_its_own_rows_only(
    in_acme, page_of, django_assert_num_queries
):
    page = page_of(40)
    with django_assert_num_queries(3):
        runs = list(Run.objects.order_by("id").prefetch_related(WHOLE)[10:30])
        part = Page(page.runs[10:30], page.right)
        assert part.faults(runs) == []


# The SQL twin


@pytest.mark.parametrize("count", [1, 20, 200])
def test_the_sql_twin_agrees_with_the_relation(
    in_acme, cast, count, django_assert_num_queries
):
    page = make_page(count, [cast.fraud, cast.churn], [cast.umbrella_fraud])
    runs = Run.objects.filter(pk__in=page.right).with_package_id()
    with django_assert_num_queries(1):
        found = dict(runs.values_list("pk", "package_id"))
    assert found == page.right
    expression = Run.objects.annotate(of_sql=relations.package_name_of_run())
    assert all(run.of_sql == relations.name_of(run) for run in expression)


def test_the_statement_of_the_hot_path_agrees_with_the_relation(
    in_acme, cast, django_assert_num_queries
):
    page = make_page(40, [cast.fraud, cast.churn], [cast.umbrella_fraud])
    with django_assert_num_queries(40):
        found = [find_run(run.project, run.pk) for run in page.runs]
    assert {each.run.pk: each.package for each in found} == page.right
    for run, (same, experiment, _) in zip(page.runs, found, strict=True):
        assert experiment == run.experiment.iid
        for name in FOUND:
            assert getattr(same, name) == getattr(run, name)
    for run in page.runs:
        elsewhere = cast.churn if run.project == cast.fraud else cast.fraud
        assert find_run(elsewhere, run.pk) is None
        assert find_run(cast.umbrella_fraud, run.pk) is None


def test_the_sql_twin_agrees_over_all_organizations(cast):
    page = make_page(60, [cast.fraud, cast.umbrella_fraud, cast.churn], [])
    operator = Actor(kind="command", label="test")
    with every_organization(operator, reason="test"):
        runs = Run.objects.filter(pk__in=page.right).with_package_id()
        assert dict(runs.values_list("pk", "package_id")) == page.right
