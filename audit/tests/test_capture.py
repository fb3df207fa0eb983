from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from audit.models import AuditLog
from audit.tests.trail import act_as, entries, only_entry, run
from conftest import web_role
from mlops.db.uuid7 import uuid7, uuid7_time
from monitoring.models import MonitoringPoint
from monitoring.tests.factories import AlertRuleFactory, DriftReportFactory
from registry.models import (
    Alias,
    Experiment,
    Metric,
    Param,
    RegisteredModel,
    Run,
    RunTag,
)
from registry.tests.factories import (
    DeploymentFactory,
    ExperimentFactory,
    ModelVersionFactory,
    RunFactory,
)
from tenants.authentication import admit, read_token
from tenants.context import Actor, acting_as, tenant_transaction
from tenants.models import ApiToken, Organization, Project
from tenants.tests.factories import (
    OrganizationFactory,
    ProjectFactory,
    UserFactory,
    make_api_token,
)
from tenants.unscoped import every_organization

pytestmark = pytest.mark.django_db

SOMEBODY = UUID("01890000-0000-7000-8000-000000000001")


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def change(row, **values) -> None:
    """Update without the tenant's scope, as the owner's factories write."""
    type(row)._base_manager.filter(pk=row.pk).update(**values)


# One row


def test_insert_leaves_the_whole_row_when_it_is_made():
    act_as(f"user:{SOMEBODY}")
    version = ModelVersionFactory(description="first")
    entry = only_entry(object_id=version.pk)
    assert entry.action == "registry.model_version.created"
    assert entry.object_type == "model_versions"
    assert entry.organization_id == version.organization_id
    assert entry.project_id == version.project_id
    assert entry.outcome == "ok"
    assert entry.before is None
    assert entry.after["description"] == "first"
    assert entry.after["model_id"] == str(version.registered_model_id)
    assert "updated_at" not in entry.after


def test_update_leaves_only_what_changed():
    version = ModelVersionFactory()
    change(version, stage="Production", updated_at=timezone.now())
    entry = entries(object_id=version.pk)[-1]
    assert entry.action == "registry.model_version.updated"
    assert (entry.before, entry.after) == ({"stage": "None"}, {"stage": "Production"})


def test_delete_leaves_the_whole_row_when_it_goes():
    version = ModelVersionFactory()
    model = version.registered_model
    alias = Alias(
        organization=version.organization,
        registered_model=model,
        name="champion",
        model_version=version,
    )
    alias.save()
    Alias._base_manager.filter(pk=alias.pk).delete()
    entry = entries(object_id=alias.pk)[-1]
    assert entry.action == "registry.alias.deleted"
    assert entry.before["model_version_id"] == str(version.pk)
    assert entry.after is None
    assert entry.object_label == "champion"


UNCHANGED = [
    ("nothing", {"description": ""}),
    ("only when", {"updated_at": datetime(2030, 1, 1, tzinfo=UTC)}),
]


@pytest.mark.parametrize("_case,values", UNCHANGED)
def test_update_leaves_nothing_when_nothing_captured_changes(_case, values):
    version = ModelVersionFactory()
    change(version, **values)
    assert len(entries(object_id=version.pk)) == 1


def test_use_of_a_token_leaves_nothing(cast):
    make_api_token(cast.alice, cast.acme)
    token = ApiToken._base_manager.get()
    change(token, last_used_at=timezone.now(), last_used_ip_prefix="192.0.2.0/24")
    assert len(entries(object_id=token.pk)) == 1
    change(token, revoked_at=timezone.now(), last_used_at=timezone.now())
    entry = entries(object_id=token.pk)[-1]
    assert set(entry.after) == {"revoked_at"}


def test_soft_delete_and_restore_have_verbs_of_their_own():
    model = ModelVersionFactory().registered_model
    change(model, deleted_at=timezone.now(), deleted_by=SOMEBODY)
    change(model, deleted_by=uuid4())
    change(model, deleted_at=None, deleted_by=None)
    verbs = [e.action.rpartition(".")[2] for e in entries(object_id=model.pk)]
    assert verbs == ["created", "soft_deleted", "updated", "restored"]


def test_label_is_the_new_name_when_a_row_is_renamed():
    model = ModelVersionFactory().registered_model
    change(model, name="renamed")
    assert entries(object_id=model.pk)[-1].object_label == "renamed"


def test_entry_id_carries_the_moment_of_the_entry():
    entry = entries(object_id=ModelVersionFactory().pk)[0]
    milliseconds = entry.created_at.microsecond // 1000 * 1000
    assert uuid7_time(entry.id) == entry.created_at.replace(microsecond=milliseconds)
    assert timezone.now() - entry.created_at < timedelta(minutes=1)


def test_entry_tells_which_session_wrote_it():
    entry = entries(object_id=ModelVersionFactory().pk)[0]
    ((role, pid, name, transaction_id),) = run(
        "SELECT session_user, pg_backend_pid(), current_setting('application_name'),"
        " pg_current_xact_id()::text::bigint"
    )
    assert entry.db_role == role
    assert (entry.backend_pid, entry.application_name) == (pid, name)
    assert entry.transaction_id == transaction_id


def test_session_settings_cannot_hide_a_change():
    rule = AlertRuleFactory(threshold=0.123456789)
    run("SET LOCAL extra_float_digits = -15")
    run("SET LOCAL timezone = 'Asia/Tokyo'")
    change(rule, threshold=0.1234567891)
    entry = entries(object_id=rule.pk)[-1]
    assert entry.after == {"threshold": 0.1234567891}
    change(rule, deleted_at=datetime(2026, 1, 1, tzinfo=UTC))
    after = entries(object_id=rule.pk)[-1].after
    assert after == {"deleted_at": "2026-01-01T00:00:00+00:00"}


# Whose row


def test_organization_and_project_find_their_own_changes(cast):
    change(cast.acme, name="Acme Ltd")
    change(cast.fraud, description="cards")
    of_organization = entries(object_type="organizations", object_id=cast.acme.pk)[-1]
    of_project = entries(object_type="projects", object_id=cast.fraud.pk)[-1]
    assert of_organization.organization_id == cast.acme.pk
    assert of_organization.project_id is None
    assert of_project.organization_id == cast.acme.pk
    assert of_project.project_id == cast.fraud.pk


def test_row_that_leaves_an_organization_is_told_to_the_one_it_leaves(cast):
    account = run(
        "INSERT INTO service_accounts (id, organization_id, name, description,"
        " created_at, updated_at) VALUES (%s, %s, 'bot', '', now(), now())"
        " RETURNING id",
        uuid7(),
        cast.acme.pk,
    )[0][0]
    run(
        "UPDATE service_accounts SET organization_id = %s WHERE id = %s",
        cast.umbrella.pk,
        account,
    )
    entry = entries(object_id=account)[-1]
    assert entry.organization_id == cast.acme.pk
    assert entry.after == {"organization_id": str(cast.umbrella.pk)}


def test_account_is_an_entry_of_the_instance_when_it_changes(cast):
    change(cast.alice, is_superuser=True)
    entry = entries(object_id=cast.alice.pk)[-1]
    assert entry.organization_id is None
    assert entry.action == "tenants.user.updated"
    assert entry.after == {"is_superuser": True}


def test_permissions_of_staff_are_captured_when_a_group_changes(cast):
    group = Group.objects.create(name="operators")
    cast.alice.groups.add(group)
    (joined,) = entries(action="tenants.user_groups.created")
    assert only_entry(action="auth.group.created").object_label == "operators"
    assert joined.after["group_id"] == group.pk
    assert joined.object_id is None  # numbered, not by UUID


def test_default_experiment_is_captured_when_a_trigger_makes_it():
    act_as("command:create_tenant")
    project = ProjectFactory()
    made = entries(project_id=project.pk)
    assert [entry.action for entry in made] == [
        "tenants.project.created",
        "registry.experiment.created",
    ]
    assert {entry.actor_label for entry in made} == {"create_tenant"}


# What an entry does not show


def test_secret_becomes_eight_digits_of_its_digest(cast):
    token = make_api_token(cast.alice, cast.acme)
    entry = only_entry(object_type="api_tokens")
    assert entry.after["digest"] == {
        "redacted": True,
        "sha256_8": digest_of("\\x" + token.digest.hex())[:8],
    }
    assert entry.after["previous_digest"] is None
    assert token.digest.hex() not in str(entry.after)
    assert token.text not in str(entry.after)


def test_secret_change_shows_without_the_secret_when_a_password_is_set(cast):
    cast.alice.set_password("correct horse battery staple")
    cast.alice.save(update_fields=["password"])
    entry = entries(object_id=cast.alice.pk)[-1]
    assert set(entry.after) == set(entry.before) == {"password"}
    assert entry.before != entry.after
    assert cast.alice.password not in str(entry.after)


def test_person_is_not_named_when_an_account_is_made():
    user = UserFactory(username="carol", first_name="Carol", email="carol@example.org")
    entry = only_entry(object_id=user.pk)
    for column in ("username", "first_name", "last_name", "email"):
        assert entry.after[column] == {"redacted": True}
    assert "carol" not in f"{entry.after} {entry.object_label}".lower()


def test_user_name_of_a_run_is_not_kept():
    entry = only_entry(object_id=RunFactory(user_name="carol").pk)
    assert entry.after["user_name"] == {"redacted": True}


TEXTS = [
    ("short", "x" * 4096, "x" * 4096),
    (
        "long",
        "x" * 4097,
        {"shortened": True, "size_bytes": 4097, "sha256": digest_of("x" * 4097)},
    ),
    (
        "long in bytes",
        "ü" * 2049,
        {"shortened": True, "size_bytes": 4098, "sha256": digest_of("ü" * 2049)},
    ),
]


@pytest.mark.parametrize("_case,text,expected", TEXTS)
def test_text_becomes_digest_and_size_above_4_kb(_case, text, expected):
    version = ModelVersionFactory()
    change(version, description=text)
    assert entries(object_id=version.pk)[-1].after == {"description": expected}


def test_large_document_is_shortened_as_text_is():
    report = DriftReportFactory(result={"features": ["f" * 100] * 100})
    entry = only_entry(object_id=report.pk)
    assert entry.after["result"]["shortened"] is True
    assert entry.after["status"] == "done"


# Who and why

ACTORS = [
    ("person", f"user:{SOMEBODY}", ("user", SOMEBODY, "", "")),
    (
        "token",
        f"service:{SOMEBODY}:abcdefABCDEF",
        ("service", SOMEBODY, "", "abcdefABCDEF"),
    ),
    ("command", "command:purge", ("command", None, "purge", "")),
    ("label with a colon", "job:seal:acme", ("job", None, "seal:acme", "")),
    ("nobody", "", ("system", None, "unattributed", "")),
    ("kind alone", "staff", ("staff", None, "", "")),
    ("nonsense", "a:b:c" * 100, ("a", None, ("b:c" + "a:b:c" * 99)[:200], "")),
    ("too long a kind", "k" * 40, ("k" * 16, None, "", "")),
    (
        "too long a token",
        f"user:{SOMEBODY}:{'t' * 40}",
        ("user", SOMEBODY, "", "t" * 12),
    ),
    ("nearly a UUID", f"user:{SOMEBODY}0", ("user", None, f"{SOMEBODY}0", "")),
]


@pytest.mark.parametrize("_case,actor,expected", ACTORS)
def test_actor_is_read_from_the_settings(_case, actor, expected):
    organization = OrganizationFactory()
    line = "\t".join(("r" * 70, "a" * 50, "GET " + "x" * 300))
    act_as(actor, request_line=line, reason="w" * 600)
    change(organization, name="renamed")
    entry = entries(object_id=organization.pk)[-1]
    found = (entry.actor_kind, entry.actor_id, entry.actor_label, entry.token_public_id)
    assert found == expected
    assert (entry.request_id, entry.reason) == ("r" * 64, "w" * 500)
    assert (entry.address, entry.route) == ("a" * 45, "GET " + "x" * 196)


def test_actor_is_unattributed_when_no_setting_was_ever_made():
    run("RESET app.actor")
    entry = only_entry(object_id=OrganizationFactory().pk)
    assert (entry.actor_kind, entry.actor_label) == ("system", "unattributed")


def test_actor_text_of_python_is_what_the_trigger_reads():
    actor = Actor(kind="user", id=SOMEBODY, label="alice", token="abcdefABCDEF")
    act_as(str(actor))
    entry = only_entry(object_id=OrganizationFactory().pk)
    assert (entry.actor_id, entry.token_public_id) == (actor.id, actor.token)
    assert entry.actor_label == ""


def test_request_leaves_its_user_token_and_id_when_it_was_admitted(cast):
    token = make_api_token(cast.alice, cast.acme, cast.fraud)
    with web_role(), transaction.atomic():
        admit(read_token(token.text), "tracking:write", request_line="req-1")
        run(
            "UPDATE experiments SET name = 'renamed' WHERE project_id = %s",
            cast.fraud.pk,
        )
    entry = only_entry(action="registry.experiment.updated")
    assert (entry.actor_kind, entry.actor_id) == ("user", cast.alice.pk)
    assert entry.token_public_id == token.public_id
    assert entry.request_id == "req-1"


def test_command_leaves_its_name_and_reason(cast):
    with acting_as("command:purge", organization=cast.acme.pk, reason="GDPR 17"):
        Experiment.objects.filter(project=cast.churn).update(name="purged")
    entry = only_entry(action="registry.experiment.updated")
    assert (entry.actor_kind, entry.actor_label) == ("command", "purge")
    assert entry.reason == "GDPR 17"


def test_staff_leaves_an_entry_in_each_organization_when_it_works_across(cast):
    actor = Actor(kind="staff", id=cast.mallory.pk)
    with every_organization(actor, reason="ticket 7"):
        Project.objects.filter(slug="fraud").update(description="reviewed")
    found = entries(action="tenants.project.updated")
    assert {e.organization_id for e in found} == {cast.acme.pk, cast.umbrella.pk}
    assert {(e.actor_kind, e.actor_id, e.reason) for e in found} == {
        ("staff", cast.mallory.pk, "ticket 7")
    }


# Every way of writing


def test_bulk_update_is_captured_row_by_row(make_runs):
    runs = make_runs(20)
    Run._base_manager.update(status="KILLED")
    found = entries(action="registry.run.updated")
    assert {e.object_id for e in found} == {run.pk for run in runs}
    assert {e.after["status"] for e in found} == {"KILLED"}


def test_bulk_create_is_captured_row_by_row(cast):
    names = [f"model-{number}" for number in range(20)]
    RegisteredModel._base_manager.bulk_create(
        RegisteredModel(organization=cast.acme, project=cast.fraud, name=name)
        for name in names
    )
    found = entries(action="registry.registered_model.created")
    assert sorted(e.object_label for e in found) == sorted(names)


def test_upsert_is_captured_as_what_it_did(cast):
    experiment = ExperimentFactory(project=cast.fraud)
    upsert = (
        "INSERT INTO experiment_tags (id, organization_id, experiment_id, key, value,"
        " created_at, updated_at) VALUES (%s, %s, %s, 'team', %s, now(), now())"
        " ON CONFLICT (organization_id, experiment_id, key)"
        " DO UPDATE SET value = excluded.value, updated_at = now()"
    )
    for value in ("red", "blue", "blue"):
        run(upsert, uuid7(), cast.acme.pk, experiment.pk, value)
    first, second = entries(object_type="experiment_tags")
    assert (first.action, first.object_label) == (
        "registry.experiment_tag.created",
        "team",
    )
    assert (second.before, second.after) == ({"value": "red"}, {"value": "blue"})


def test_change_leaves_nothing_when_its_transaction_is_rolled_back(cast):
    before = len(entries())
    with transaction.atomic():
        change(cast.acme, name="gone")
        assert len(entries()) == before + 1
        transaction.set_rollback(True)
    assert len(entries()) == before


@pytest.mark.django_db(transaction=True)
def test_entry_is_seen_by_others_when_its_change_is_committed():
    other = connection.copy()
    with transaction.atomic():
        organization = OrganizationFactory()
        assert count_in(other, organization) == 0
    assert count_in(other, organization) == 1
    other.close()


def count_in(session: BaseDatabaseWrapper, organization: Organization) -> int:
    with session.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM audit_logs WHERE object_id = %s", [organization.pk]
        )
        return cursor.fetchone()[0]


def test_change_fails_when_its_entry_cannot_be_written(cast):
    """No month, no entry; no entry, no change."""
    ((month,),) = run(
        "SELECT tableoid::regclass::text FROM audit_logs"
        " WHERE object_id = %s AND action = 'tenants.organization.created'",
        cast.acme.pk,
    )
    run(f"ALTER TABLE audit_logs DETACH PARTITION {month}")
    with pytest.raises(IntegrityError, match="no partition"), transaction.atomic():
        change(cast.acme, name="unseen")
    assert Organization._base_manager.get(pk=cast.acme.pk).name == "Acme"


def test_captured_table_refuses_to_be_truncated():
    with pytest.raises(IntegrityError, match="would leave no entry"):
        run("TRUNCATE alerts CASCADE")


# Who sees it


def seen_by(actor_id: UUID, organization: Organization) -> set[tuple[UUID | None, str]]:
    actor = Actor(kind="user", id=actor_id, organization_id=organization.pk)
    with web_role(), tenant_transaction(actor):
        return {(e.organization_id, e.action) for e in AuditLog.objects.all()}


def test_entry_is_seen_by_its_organization_only(cast):
    AlertRuleFactory(deployment=deployment_in(cast.fraud))
    AlertRuleFactory(deployment=deployment_in(cast.umbrella_fraud))
    of_acme = seen_by(cast.alice.pk, cast.acme)
    assert (cast.acme.pk, "monitoring.alert_rule.created") in of_acme
    assert {organization for organization, _ in of_acme} == {cast.acme.pk}
    of_umbrella = seen_by(cast.mallory.pk, cast.umbrella)
    assert {organization for organization, _ in of_umbrella} == {cast.umbrella.pk}


def test_row_level_security_alone_hides_entries_when_the_filter_is_missing(cast):
    actor = Actor(kind="user", id=cast.mallory.pk, organization_id=cast.umbrella.pk)
    with web_role(), tenant_transaction(actor):
        assert run("SELECT DISTINCT organization_id FROM audit_logs") == [
            (cast.umbrella.pk,)
        ]


def test_entry_of_the_instance_is_seen_by_no_organization(cast):
    change(cast.alice, is_staff=True)
    actions = {action for _, action in seen_by(cast.alice.pk, cast.acme)}
    assert "tenants.user.updated" not in actions
    act_as("")  # bound to no organization
    with web_role():
        assert run("SELECT count(*) FROM audit_logs") == [(0,)]


def deployment_in(project: Project):
    version = ModelVersionFactory(registered_model__project=project)
    return DeploymentFactory(model_version=version)


# Data events


def switch_on(organization: Organization, value: bool = True) -> None:
    change(organization, audit_data_events=value)


def metrics_of(*runs: Run, count: int = 3, name: str = "loss") -> list[Metric]:
    return [
        Metric(
            id=UUID(hashlib.md5(f"{run.pk}{name}{step}".encode()).hexdigest()),
            organization_id=run.organization_id,
            run=run,
            name=name,
            value=0.5,
            timestamp_ms=1_710_000_000_000 + step,
            step=step,
        )
        for run in runs
        for step in range(count)
    ]


def log(metrics: list[Metric]) -> None:
    Metric._base_manager.bulk_create(metrics, ignore_conflicts=True)


def test_batch_leaves_nothing_when_data_events_are_off():
    row = RunFactory()
    switch_on(row.organization, False)
    log(metrics_of(row))
    assert entries(action="registry.metric.created") == []


def test_batch_leaves_one_summary_when_data_events_are_on():
    row = RunFactory()
    switch_on(row.organization)
    act_as(f"user:{SOMEBODY}")
    metrics = metrics_of(row, count=1000)
    log(metrics)
    entry = only_entry(action="registry.metric.created")
    assert (entry.object_type, entry.object_id) == ("experiment_runs", row.pk)
    assert entry.organization_id == row.organization_id
    assert entry.actor_id == SOMEBODY
    ids = "\n".join(sorted(f"({metric.id})" for metric in metrics))
    assert entry.after == {
        "count": 1000,
        "names": ["loss"],
        "name_count": 1,
        "first": 0,
        "last": 999,
        "sha256": digest_of(ids),
    }


def test_batch_leaves_nothing_when_it_is_a_replay():
    row = RunFactory()
    switch_on(row.organization)
    log(metrics_of(row))
    log(metrics_of(row))
    assert only_entry(action="registry.metric.created").after["count"] == 3


def test_batch_names_no_run_when_it_is_of_several():
    row = RunFactory()
    other = RunFactory(experiment=row.experiment)
    switch_on(row.organization)
    log(metrics_of(row, other))
    entry = only_entry(action="registry.metric.created")
    assert entry.object_id is None
    assert (entry.after["count"], entry.after["parents"]) == (6, 2)


def test_batch_is_told_to_those_who_asked_when_it_is_of_several_organizations():
    row, other = RunFactory(), RunFactory()
    switch_on(other.organization)
    log(metrics_of(row, other))
    entry = only_entry(action="registry.metric.created")
    assert (entry.organization_id, entry.after["count"]) == (other.organization_id, 3)


def test_batch_shows_twenty_names_when_it_has_more():
    row = RunFactory()
    switch_on(row.organization)
    log([m for n in range(25) for m in metrics_of(row, count=1, name=f"m{n:02}")])
    after = only_entry(action="registry.metric.created").after
    assert after["names"] == [f"m{number:02}" for number in range(20)]
    assert after["name_count"] == 25


def test_batch_digest_covers_the_values_of_params():
    first, second = RunFactory(), RunFactory()
    for row, value in ((first, "0.1"), (second, "0.2")):
        switch_on(row.organization)
        Param(
            organization=row.organization,
            experiment_id=row.experiment_id,
            run=row,
            key="rate",
            value=value,
        ).save()
    one, two = entries(action="registry.param.created")
    assert one.after["names"] == two.after["names"] == ["rate"]
    assert one.after["sha256"] == digest_of(f"({first.pk},rate,0.1)")
    assert two.after["sha256"] == digest_of(f"({second.pk},rate,0.2)")


def test_tags_leave_a_summary_of_each_verb():
    row = RunFactory()
    switch_on(row.organization)
    upsert = (
        "INSERT INTO run_tags (id, organization_id, experiment_id, experiment_run_id,"
        " key, value) VALUES (%s, %s, %s, %s, 'team', %s)"
        " ON CONFLICT (organization_id, experiment_run_id, key)"
        " DO UPDATE SET value = excluded.value"
    )
    place = (row.organization_id, row.experiment_id, row.pk)
    run(upsert, uuid7(), *place, "red")
    run(upsert, uuid7(), *place, "blue")
    RunTag._base_manager.filter(run=row).delete()
    found = entries(action__startswith="registry.run_tag.")
    assert [e.action.rpartition(".")[2] for e in found] == [
        "created",
        "updated",
        "deleted",
    ]
    assert found[2].before["count"] == 1
    assert found[2].after is None


def test_points_leave_a_summary_over_all_months_they_fall_into():
    deployment = DeploymentFactory()
    switch_on(deployment.organization)
    now = timezone.now()
    MonitoringPoint._base_manager.bulk_create(
        MonitoringPoint(
            id=UUID(int=(int(moment.timestamp() * 1000) << 80) | 7 << 76 | 2 << 62),
            organization_id=deployment.organization_id,
            deployment=deployment,
            metric_name="latency_ms",
            recorded_at=moment,
            value=1.0,
        )
        for moment in (now, now - timedelta(days=now.day))
    )
    entry = only_entry(action="monitoring.monitoring_point.created")
    assert (entry.object_type, entry.object_id) == ("deployments", deployment.pk)
    assert entry.after["count"] == 2
    assert datetime.fromisoformat(entry.after["last"]) == now


def test_web_role_leaves_a_summary_though_it_may_not_write_the_trail(cast):
    row = RunFactory(experiment__project=cast.fraud)
    switch_on(cast.acme)
    actor = Actor(kind="user", id=cast.alice.pk, organization_id=cast.acme.pk)
    with web_role(), tenant_transaction(actor):
        log(metrics_of(row))
    assert only_entry(action="registry.metric.created").after["count"] == 3


def test_switching_data_events_on_is_an_entry_itself(cast):
    switch_on(cast.acme)
    entry = entries(object_id=cast.acme.pk)[-1]
    assert entry.after == {"audit_data_events": True}
