from __future__ import annotations

import re

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver, reverse

from audit.models import AuditLog
from mlops.urls import urlpatterns
from registry.tests.factories import ExperimentFactory, RunFactory
from tenants import admin_lists
from tenants.admin import TenantAdmin
from tenants.admin_lists import BoundedPaginator
from tenants.admin_panels import distance, size, span
from tenants.authentication import read_token
from tenants.context import EVERY, Actor, TenantContextMissing, binding
from tenants.middleware import is_open
from tenants.models import (
    ApiToken,
    Membership,
    Organization,
    Project,
    ProjectMember,
    ServiceAccount,
    User,
)
from tenants.tests.factories import (
    MembershipFactory,
    OrganizationFactory,
    ProjectFactory,
    ProjectMemberFactory,
    ServiceAccountFactory,
    UserFactory,
    make_api_token,
)
from tenants.tests.superuser import (
    AdminClient,
    messages_of,
    page_of,
    rows_of,
    shown,
    signed_in,
    superuser,
)


@pytest.fixture
def root(db) -> AdminClient:
    return superuser()


# Who enters


def test_a_stranger_is_sent_to_sign_in(db):
    response = AdminClient().get("/admin/tenants/organization/")
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")


def test_sign_in_shows_the_platform_by_name(db):
    page = shown(AdminClient().get("/admin/login/", follow=True))
    assert "<title>" in page
    assert "MLOps platform" in page


@pytest.mark.parametrize("address", ["/admin/login/", "/admin/", "/admin/nowhere/"])
def test_pages_load_nothing_from_elsewhere(root, address):
    policy = root.get(address)["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("address", ["/admin/", "/admin/registry/run/"])
def test_pages_carry_no_inline_script_or_style(root, address):
    page = shown(root.get(address))
    assert "<style" not in page
    assert not re.search(r"<script(?![^>]*\ssrc=)", page)
    assert not re.search(r"\s(style|on[a-z]+)=", page)


def test_a_page_that_is_not_there_says_so_in_the_frame_of_the_admin(root):
    response = root.get("/admin/nowhere/")
    assert response.status_code == 404
    assert "MLOps platform" in shown(response)


def test_a_person_without_staff_is_sent_to_sign_in(cast):
    response = signed_in(cast.alice).get("/admin/")
    assert response.status_code == 302


def test_signing_in_leads_to_the_overview(db):
    User.objects.create_superuser("ann", password="a long password")
    response = AdminClient().post(
        "/accounts/login/?next=/admin/",
        {"login": "ann", "password": "a long password"},
        follow=True,
    )
    assert response.redirect_chain == [("/admin/", 302)]
    assert "Overview" in shown(response)


def test_mallory_of_the_staff_sees_no_page_without_a_support_grant(cast):
    User.objects.filter(pk=cast.mallory.pk).update(is_staff=True)
    mallory = signed_in(User.objects.get(pk=cast.mallory.pk))
    missing = ProjectFactory.build(organization=cast.acme)
    for address in (
        "/admin/",
        "/admin/tenants/project/",
        page_of(cast.fraud),
        page_of(missing),
        "/admin/tenants/project/add/",
        "/admin/search/?s=fraud&extended=1",
    ):
        response = mallory.get(address)
        assert response.status_code == 403, address
        assert "support" in shown(response)
        assert "Fraud" not in shown(response)
    assert mallory.act("delete_rows", cast.fraud, confirmed="1").status_code == 403
    assert Project._base_manager.get(pk=cast.fraud.pk).deleted_at is None


def test_a_refusal_of_staff_is_in_the_trail(cast):
    User.objects.filter(pk=cast.mallory.pk).update(is_staff=True)
    signed_in(User.objects.get(pk=cast.mallory.pk)).get(page_of(cast.fraud))
    entry = AuditLog._base_manager.get(action="admin.entered")
    assert (entry.outcome, entry.actor_id) == ("denied", cast.mallory.pk)
    assert entry.after == {"path": page_of(cast.fraud)}


def test_staff_without_a_grant_may_sign_out(cast):
    User.objects.filter(pk=cast.mallory.pk).update(is_staff=True)
    mallory = signed_in(User.objects.get(pk=cast.mallory.pk))
    assert mallory.post("/admin/logout/").status_code == 200
    assert mallory.get("/admin/").status_code == 302


def test_a_superuser_sees_every_organization(root, cast):
    response = root.listed("tenants_project")
    assert {row.organization.slug for row in rows_of(response)} == {"acme", "umbrella"}
    assert all(slug in shown(response) for slug in ("acme", "umbrella", "churn"))


def test_a_page_leaves_nothing_bound_when_it_is_done(root, cast):
    root.get("/admin/tenants/organization/")
    with pytest.raises(TenantContextMissing):
        list(Organization.objects.all())


def test_a_look_is_in_the_trail_of_the_row_it_showed(root, cast):
    root.opened(cast.fraud)
    entry = AuditLog._base_manager.get(action="admin.viewed")
    assert entry.organization_id == cast.acme.pk
    assert (entry.actor_kind, entry.actor_id) == ("staff", root.user.pk)
    assert (entry.object_type, entry.object_id) == ("projects", cast.fraud.pk)


# What the middleware lets through


def views_below(patterns):
    for entry in patterns:
        if hasattr(entry, "url_patterns"):
            yield from views_below(entry.url_patterns)
        else:
            yield entry.callback


def test_the_middleware_lets_every_page_of_the_admin_through():
    pages = list(views_below(admin.site.get_urls()))
    assert len(pages) > 100
    assert all(is_open(page) for page in pages)


def test_the_middleware_lets_nothing_else_through_by_the_marks_of_the_admin():
    of_admin = {id(view) for view in views_below(admin.site.get_urls())}
    others = [p for p in urlpatterns if getattr(p, "namespace", "") != "admin"]
    opened = [v for v in views_below(others) if is_open(v) and id(v) not in of_admin]
    marks = ("public", "account_page")
    assert all(any(getattr(v, mark, False) for mark in marks) for v in opened)
    assert not is_open(lambda request: HttpResponse())


def test_the_admin_is_mounted_once():
    mounted = [e for e in get_resolver().url_patterns if str(e.pattern) == "admin/"]
    assert len(mounted) == 1


# Every admin


def test_every_admin_stands_on_the_tenant_base():
    strangers = {
        model._meta.label
        for model, model_admin in admin.site._registry.items()
        if not isinstance(model_admin, TenantAdmin)
    }
    assert strangers == set()


# Models without a page of their own, and where they show instead.
WITHOUT_PAGE = {
    "tenants.ProjectCounter": "the numbers in the list of projects",
    "tenants.IdempotencyKey": "answers of a day, to be repeated to their callers",
    "registry.RunDocument": "what the run's own page shows, ready to send",
    "registry.UploadPart": "how many and how large, on the page of their upload",
}


def test_every_model_has_its_page():
    ours = ("tenants", "registry", "monitoring", "audit")
    models = [m for label in ours for m in apps.get_app_config(label).get_models()]
    missing = {m._meta.label for m in models if not admin.site.is_registered(m)}
    assert missing == set(WITHOUT_PAGE)


def test_groups_are_no_part_of_the_admin():
    assert not admin.site.is_registered(Group)


def test_nothing_is_deleted_for_good(root, cast):
    for row in (cast.acme, cast.fraud, cast.alice):
        response = root.post(page_of(row, "delete"), {"post": "yes"})
        assert response.status_code == 403
    assert Project._base_manager.filter(pk=cast.fraud.pk).exists()
    page = shown(root.listed("tenants_project"))
    assert "delete_selected" not in page


@pytest.mark.parametrize("model", list(admin.site._registry))
def test_every_list_and_empty_form_opens(root, cast, model):
    opts = model._meta
    name = f"admin:{opts.app_label}_{opts.model_name}"
    assert root.get(reverse(f"{name}_changelist")).status_code == 200
    expected = 200 if admin.site._registry[model].add_form else 403
    assert root.get(reverse(f"{name}_add")).status_code == expected


def tokens(number):
    holder = MembershipFactory()
    for _ in range(number):
        make_api_token(holder.user, holder.organization)


LISTS = {
    "tenants_organization": lambda n: [
        MembershipFactory(organization=ProjectFactory().organization) for _ in range(n)
    ],
    "tenants_project": ProjectFactory.create_batch,
    "tenants_membership": MembershipFactory.create_batch,
    "tenants_projectmember": ProjectMemberFactory.create_batch,
    "tenants_serviceaccount": ServiceAccountFactory.create_batch,
    "tenants_apitoken": tokens,
    "tenants_user": MembershipFactory.create_batch,
}


@pytest.mark.parametrize("model", LISTS)
def test_a_list_costs_the_same_for_any_number_of_rows(root, model):
    LISTS[model](1)
    counts = [root.statements(model)]
    for more in (19, 40):
        LISTS[model](more)
        counts.append(root.statements(model))
    assert len(set(counts)) == 1, counts
    assert counts[0] <= 11  # with SET ROLE, savepoints, session, user and the trail


def test_the_overview_costs_the_same_for_any_number_of_rows(root, cast):
    def cost() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert root.get("/admin/").status_code == 200
        return len(captured)

    cost()  # from here on, the trail knows who acts
    experiment = ExperimentFactory(project=cast.fraud)
    RunFactory(experiment=experiment)
    few = cost()
    RunFactory.create_batch(60, experiment=experiment)
    assert cost() == few <= 30


# Lists


@pytest.fixture
def unscoped():
    with binding(EVERY, Actor(kind="staff", label="test")):
        yield


def test_pages_count_exactly_while_there_are_few(unscoped, db):
    OrganizationFactory.create_batch(7)
    pages = BoundedPaginator(Organization.objects.all(), 5)
    assert (pages.count, pages.num_pages, pages.total) == (7, 2, "7")
    assert not pages.is_cut


def test_pages_do_not_count_a_large_table(unscoped, db, monkeypatch):
    OrganizationFactory.create_batch(30)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE organizations")
    monkeypatch.setattr(admin_lists, "DEEPEST", 20)
    pages = BoundedPaginator(Organization.objects.all(), 5)
    with CaptureQueriesContext(connection) as captured:
        assert pages.total == "about 30"
        assert pages.num_pages == 4
        assert pages.is_cut
    assert [query["sql"][:7] for query in captured] == ["EXPLAIN"]


def test_pages_do_not_count_what_the_planner_finds_dear(unscoped, db, monkeypatch):
    OrganizationFactory.create_batch(3)
    monkeypatch.setattr(admin_lists, "AFFORDABLE", 0)
    pages = BoundedPaginator(Organization.objects.all(), 5)
    with CaptureQueriesContext(connection) as captured:
        assert pages.count >= 1
    assert len(captured) == 1


@pytest.mark.parametrize("words", ["frau", "Fraud", " fraud "])
def test_search_finds_by_the_start_of_a_text(root, cast, words):
    found = rows_of(root.listed("tenants_project", q=words))
    assert {project.pk for project in found} == {cast.fraud.pk, cast.umbrella_fraud.pk}


def test_search_finds_by_id_with_and_without_hyphens(root, cast):
    for words in (str(cast.churn.pk), cast.churn.pk.hex):
        assert rows_of(root.listed("tenants_project", q=words)) == [cast.churn]


def test_search_stays_among_the_newest_rows(root, cast, monkeypatch):
    bots = [ServiceAccountFactory(name=f"bot-{n}") for n in range(4)]
    monkeypatch.setattr(admin.site._registry[ServiceAccount], "searched", 2)
    found = rows_of(root.listed("tenants_serviceaccount", q="bot"))
    assert found == [bots[3], bots[2]]


def test_a_list_can_be_narrowed_to_an_organization(root, cast):
    only = {"organization__id__exact": str(cast.umbrella.pk)}
    assert rows_of(root.listed("tenants_project", **only)) == [cast.umbrella_fraud]


def test_a_filter_does_not_read_all_organizations(root, cast):
    OrganizationFactory.create_batch(30)
    with CaptureQueriesContext(connection) as captured:
        root.listed("tenants_project")
    about = [q["sql"] for q in captured if 'FROM "organizations"' in q["sql"]]
    assert about == []


def test_choosing_a_project_tells_those_of_one_name_apart(root, cast):
    response = root.get(
        "/admin/autocomplete/",
        {
            "app_label": "tenants",
            "model_name": "projectmember",
            "field_name": "project",
            "term": "fraud",
        },
    )
    texts = {found["text"] for found in response.json()["results"]}
    assert texts == {"acme / fraud", "umbrella / fraud"}


def test_the_palette_finds_a_row_by_its_id(root, cast):
    response = root.get("/admin/search/", {"s": str(cast.churn.pk), "extended": "1"})
    assert page_of(cast.churn) in shown(response)


# Writing


def test_a_project_is_made_through_its_service(root, cast):
    response = root.post(
        "/admin/tenants/project/add/",
        {
            "in_organization": str(cast.acme.pk),
            "slug": "pricing",
            "name": "Pricing",
            "default_role": "viewer",
            "description": "",
        },
        follow=True,
    )
    assert response.status_code == 200
    project = Project._base_manager.get(slug="pricing")
    assert (project.organization_id, project.default_role) == (cast.acme.pk, "viewer")
    made = {"action": "tenants.project.created", "object_id": project.pk}
    created = AuditLog._base_manager.get(**made)
    assert (created.actor_kind, created.actor_id) == ("staff", root.user.pk)


def test_what_a_service_refuses_stands_on_the_form_with_what_was_typed(root, cast):
    response = root.post(
        "/admin/tenants/project/add/",
        {
            "in_organization": str(cast.acme.pk),
            "slug": "fraud",
            "name": "Another one",
            "default_role": "none",
            "description": "typed with care",
        },
    )
    assert response.status_code == 200
    page = shown(response)
    assert "already exists" in page
    assert "typed with care" in page
    assert Project._base_manager.filter(name="Another one").count() == 0


def test_only_the_changed_fields_of_a_form_reach_the_service(root, cast):
    response = root.post(
        page_of(cast.fraud),
        {
            "name": "Fraud desk",
            "description": "",
            "default_role": "none",
            "viewers_download": "on",
            "duplicate_files": "allow",
            "metadata": "{}",
        },
        follow=True,
    )
    assert response.status_code == 200
    entry = AuditLog._base_manager.get(action="tenants.project.updated")
    assert set(entry.after) <= {"name", "updated_at"}
    assert entry.after["name"] == "Fraud desk"


def test_deleting_asks_first_and_keeps_the_row(root, cast):
    question = root.act("delete_rows", cast.churn)
    assert "Delete 1 project?" in shown(question)
    assert Project._base_manager.get(pk=cast.churn.pk).deleted_at is None
    done = root.act("delete_rows", cast.churn, confirmed="1", reason="no longer used")
    assert messages_of(done) == ["1 project deleted."]
    churn = Project._base_manager.get(pk=cast.churn.pk)
    assert churn.deleted_at is not None
    assert churn.deleted_by == root.user.pk
    entry = AuditLog._base_manager.get(action="tenants.project.soft_deleted")
    assert (entry.reason, entry.organization_id) == ("no longer used", cast.acme.pk)
    root.act("restore_rows", cast.churn, confirmed="1")
    assert Project._base_manager.get(pk=cast.churn.pk).deleted_at is None


def test_a_refused_action_says_why_and_changes_nothing(root, cast):
    owners = list(Membership._base_manager.filter(organization=cast.acme))
    done = root.act("remove_rows", *owners, confirmed="1")
    assert any("needs an owner" in message for message in messages_of(done))
    left = Membership._base_manager.filter(
        organization=cast.acme, deleted_at__isnull=True
    )
    assert left.count() == len(owners)


def test_an_action_is_refused_without_a_token_of_this_site(cast):
    client = AdminClient(enforce_csrf_checks=True)
    client.force_login(UserFactory(username="root", is_staff=True, is_superuser=True))
    response = client.act("delete_rows", cast.churn, confirmed="1")
    assert response.status_code == 403
    assert Project._base_manager.get(pk=cast.churn.pk).deleted_at is None


def test_an_organization_is_founded_with_its_owner(root, cast):
    root.post(
        "/admin/tenants/organization/add/",
        {"slug": "initech", "name": "Initech", "owner": str(cast.bob.pk)},
    )
    membership = Membership._base_manager.get(organization__slug="initech")
    assert (membership.user_id, membership.role) == (cast.bob.pk, "owner")


def test_a_legal_hold_is_put_with_its_reason(root, cast):
    typed = {"name": "Acme", "retention_days": "60", "legal_hold": "on"}
    page = shown(root.post(page_of(cast.acme), {**typed, "metadata": "{}"}))
    assert "a legal hold needs its reason" in page
    reason = {"legal_hold_reason": "case 7", "metadata": "{}"}
    root.post(page_of(cast.acme), {**typed, **reason})
    acme = Organization._base_manager.get(pk=cast.acme.pk)
    assert (acme.legal_hold, acme.legal_hold_reason) == (True, "case 7")
    assert acme.retention_days == 60


def test_a_role_is_changed_and_a_person_added_to_a_project(root, cast):
    member = Membership._base_manager.get(organization=cast.acme, user=cast.bob)
    root.post(page_of(member), {"role": "admin"})
    assert Membership._base_manager.get(pk=member.pk).role == "admin"
    root.post(
        "/admin/tenants/projectmember/add/",
        {"project": str(cast.churn.pk), "user": str(cast.bob.pk), "role": "editor"},
    )
    added = ProjectMember._base_manager.get(project=cast.churn)
    assert (added.user_id, added.role) == (cast.bob.pk, "editor")


# Tokens


def issue(root: AdminClient, cast, **changes):
    typed = {
        "in_organization": str(cast.acme.pk),
        "name": "laptop",
        "user": str(cast.alice.pk),
        "service_account": "",
        "bound_to": "fraud",
        "rights": ["*"],
        "days": "30",
    }
    return root.post("/admin/tenants/apitoken/add/", {**typed, **changes})


def secret_in(response) -> str:
    return response.context["text"]


def test_a_token_is_shown_once_and_kept_nowhere(root, cast):
    response = issue(root, cast)
    secret = secret_in(response)
    assert shown(response).count(secret) >= 1
    assert "no-store" in response["Cache-Control"]
    row = ApiToken._base_manager.get()
    assert row.project_ids == [cast.fraud.pk]
    assert read_token(secret).public_id == row.public_id
    kept = [session.session_data for session in Session.objects.all()]
    kept += [str(cookie) for cookie in root.cookies.values()]
    for page in (
        root.opened(row),
        root.listed("tenants_apitoken"),
        root.get("/admin/"),
    ):
        kept.append(shown(page))
    kept += [f"{e.before}{e.after}" for e in AuditLog._base_manager.all()]
    assert not [text for text in kept if secret in text or secret[-40:] in text]


def test_no_page_of_a_token_shows_its_digest(root, cast):
    make_api_token(cast.alice, cast.acme)
    row = ApiToken._base_manager.get()
    for page in (root.opened(row), root.listed("tenants_apitoken")):
        text = shown(page)
        assert row.public_id in text
        assert bytes(row.digest).hex() not in text
        assert "digest" not in text


def test_a_token_of_nobody_is_refused_on_its_form(root, cast):
    response = issue(root, cast, user="")
    assert "Choose a person or a service account." in shown(response)
    assert not ApiToken._base_manager.exists()


def test_a_token_for_a_foreign_project_is_refused_on_its_form(root, cast):
    response = issue(root, cast, bound_to="fraud, outages")
    assert "projects=outages" in shown(response)
    assert not ApiToken._base_manager.exists()


def test_a_new_secret_ends_the_old_one(root, cast):
    make_api_token(cast.alice, cast.acme)
    row = ApiToken._base_manager.get()
    before = bytes(row.digest)
    response = root.act("rotate_row", row, confirmed="1")
    assert read_token(secret_in(response)).public_id == row.public_id
    assert bytes(ApiToken._base_manager.get().digest) != before


def test_revoking_asks_first_and_keeps_the_reason(root, cast):
    make_api_token(cast.alice, cast.acme)
    row = ApiToken._base_manager.get()
    assert "never comes back" in shown(root.act("revoke_rows", row))
    root.act("revoke_rows", row, confirmed="1", reason="laptop stolen")
    row = ApiToken._base_manager.get()
    assert row.revoked_at is not None
    assert row.revoked_reason == "laptop stolen"


# People


def test_a_user_is_added_with_a_hashed_password(root):
    root.post(
        "/admin/tenants/user/add/",
        {
            "username": "dora",
            "usable_password": "true",
            "password1": "correct horse battery",
            "password2": "correct horse battery",
        },
    )
    dora = User.objects.get(username="dora")
    assert dora.check_password("correct horse battery")
    assert "correct horse" not in dora.password


def test_a_user_page_offers_neither_groups_nor_permissions(root, cast):
    page = shown(root.opened(cast.bob))
    assert "acme" in page
    assert "user_permissions" not in page
    assert 'name="groups"' not in page


def test_a_user_can_be_shut_out(root, cast):
    root.post(
        page_of(cast.bob),
        {"username": "bob", "email": "bob@example.org", "first_name": ""},
    )
    assert User.objects.get(pk=cast.bob.pk).is_active is False


# Values


@pytest.mark.parametrize(
    "seconds,expected",
    [
        (0.25, "250 ms"),
        (59, "59 s"),
        (61, "1 min 1 s"),
        (600, "10 min"),
        (7_500, "2 h 5 min"),
        (86_400, "1 d"),
        (90_000, "1 d 1 h"),
        (864_000, "10 d"),
    ],
)
def test_a_span_reads_as_a_person_says_it(seconds, expected):
    assert span(seconds) == expected


@pytest.mark.parametrize(
    "amount,expected",
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (12_345_678, "12.3 MB"),
        (None, "–"),
    ],
)
def test_a_size_reads_in_its_largest_unit(amount, expected):
    assert size(amount) == expected


def test_a_moment_reads_as_its_distance(freeze_now):
    now = freeze_now
    assert distance(now) == "now"
    assert distance(now.replace(hour=now.hour - 2)) == "2 h ago"
    assert distance(now.replace(day=now.day + 3)) == "in 3 d"
    assert distance(now.replace(year=now.year - 1)) == f"{now.year - 1}-06-15"


@pytest.fixture
def freeze_now(monkeypatch):
    from datetime import UTC, datetime

    moment = datetime(2026, 6, 15, 12, tzinfo=UTC)
    monkeypatch.setattr("tenants.admin_panels.timezone.now", lambda: moment)
    return moment
