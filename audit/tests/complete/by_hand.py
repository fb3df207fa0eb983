"""Steps past all services: bulk updates, SQL of every role, COPY, commands."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat

from audit.tests.complete.by_registry import fresh_run, live
from audit.tests.complete.world import World, step
from audit.tests.trail import run
from mlops.db.uuid7 import uuid7
from registry.models import (
    Experiment,
    ExperimentTag,
    Metric,
    ModelVersion,
    PackageFile,
    Param,
    Run,
    RunTag,
)
from tenants.models import ApiToken, User

# Bulk updates


@step
def all_runs_are_updated_at_once(world: World) -> None:
    with world.serving():
        Run.objects.update(status=world.choose(["KILLED", "FAILED"]), name=world.name())


@step
def all_versions_are_updated_by_an_expression(world: World) -> None:
    with world.everywhere():
        longer = Concat(F("description"), Value(world.name()))
        ModelVersion.objects.update(description=longer, metadata=world.document())


@step
def many_tags_are_made_and_changed(world: World) -> None:
    with world.serving():
        experiment = live(world, Experiment)
        tags = [
            ExperimentTag(
                organization=world.acme,
                experiment=experiment,
                key=f"{world.name()}-{number}",
                value=world.text(),
            )
            for number in range(5)
        ]
        ExperimentTag.objects.bulk_create(tags)
        for tag in tags:
            tag.value = world.text()
        ExperimentTag.objects.bulk_update(tags, ["value"])
        ExperimentTag.objects.bulk_create(
            tags,
            update_conflicts=True,
            unique_fields=["organization", "experiment", "key"],
            update_fields=["value"],
        )
        ExperimentTag.objects.filter(pk=tags[0].pk).delete()


@step
def batches_change_in_bulk(world: World) -> None:
    run_ = fresh_run(world)
    place = {
        "organization_id": world.acme.pk,
        "experiment_id": run_.experiment_id,
        "run": run_,
    }
    with world.serving():
        Param.objects.bulk_create(
            Param(id=uuid7(), **place, key=f"p{n}", value="v") for n in range(3)
        )
        tags = [RunTag(id=uuid7(), **place, key=f"t{n}", value="v") for n in range(3)]
        RunTag.objects.bulk_create(tags)
        RunTag.objects.filter(run=run_).update(value="w")
        RunTag.objects.filter(run=run_, key="t0").delete()
    point = {"organization_id": world.acme.pk, "run": run_, "value": 0.5}
    with world.everywhere():
        Metric.objects.bulk_create(
            Metric(id=uuid7(), **point, name="loss", timestamp_ms=n, step=n)
            for n in range(3)
        )
        Metric.objects.filter(run=run_, step=0).delete()


@step
def files_go_with_their_package(world: World) -> None:
    with world.everywhere():
        files = PackageFile.objects.filter(package=world.pick(PackageFile).package)
        files.delete()


# Rows that Django numbers


@step
def groups_and_permissions_change(world: World) -> None:
    with world.everywhere():
        group = Group.objects.create(name=world.name())
        Group.objects.filter(pk=group.pk).update(name=world.name())
        some = Permission.objects.order_by("pk")[: world.choose([1, 2, 3])]
        group.permissions.set(some)
        world.cast.bob.groups.add(group)
        world.cast.bob.user_permissions.set(some)
        if world.choose([True, False]):
            group.delete()


@step
def accounts_change(world: World) -> None:
    with world.everywhere():
        user = User.objects.create_user(world.name(), password="secret")
        user.first_name, user.is_staff = world.name(), True
        user.save()
        user.set_password(world.name())
        user.save(update_fields=["password"])
        user.delete()


# SQL


@step
def sql_of_the_web_role_changes_rows(world: World) -> None:
    with world.by_hand("app_rw"):
        for statement in (
            "UPDATE registered_models SET description = %s",
            "UPDATE experiments SET artifact_location = %s WHERE deleted_at IS NULL",
            "UPDATE service_accounts SET description = %s",
        ):
            run(statement, world.name())


@step
def sql_of_commands_role_changes_rows(world: World) -> None:
    with world.by_hand("app_maint"):
        run("UPDATE organizations SET name = slug || %s", world.name())
        run("UPDATE model_versions SET description = %s", world.text())
        run("UPDATE api_tokens SET name = %s, retired_digests = %s", "x", [b"old"])


@step
def sql_of_the_owner_changes_rows(world: World) -> None:
    """FORCE binds the owner of the tables, too: only what is bound is there."""
    with world.by_hand("app_owner"):
        run("UPDATE users SET first_name = %s", world.name())
        run("UPDATE projects SET description = %s", world.text())


@step
def sql_upserts_moves_and_deletes(world: World) -> None:
    experiment = live(world, Experiment)
    upsert = (
        "INSERT INTO experiment_tags (id, organization_id, experiment_id, key, value,"
        " created_at, updated_at) VALUES (%s, %s, %s, 'upserted', %s, now(), now())"
        " ON CONFLICT (organization_id, experiment_id, key)"
        " DO UPDATE SET value = excluded.value"
    )
    with world.by_hand("app_maint"):
        for _ in range(2):
            run(upsert, uuid7(), world.acme.pk, experiment.pk, world.name())
        run(
            "MERGE INTO experiment_tags t USING (SELECT %s::uuid AS experiment) s"
            " ON t.experiment_id = s.experiment AND t.key = 'upserted'"
            " WHEN MATCHED THEN UPDATE SET value = 'merged'",
            experiment.pk,
        )
        run("DELETE FROM experiment_tags WHERE value = 'merged'")


@step
def sql_gives_a_row_another_id(world: World) -> None:
    with world.by_hand("app_maint"):
        key = run(
            "INSERT INTO service_accounts (id, organization_id, name, description,"
            " created_at, updated_at) VALUES (%s, %s, %s, '', now(), now())"
            " RETURNING id",
            uuid7(),
            world.acme.pk,
            world.name(),
        )[0][0]
        other = uuid7()
        run("UPDATE service_accounts SET id = %s WHERE id = %s", other, key)
        run("UPDATE service_accounts SET description = 'x' WHERE id = %s", other)


@step
def sql_moves_a_row_to_another_organization(world: World) -> None:
    with world.by_hand("app_maint"):
        key = uuid7()
        run(
            "INSERT INTO service_accounts (id, organization_id, name, description,"
            " created_at, updated_at) VALUES (%s, %s, %s, '', now(), now())",
            key,
            world.acme.pk,
            world.name(),
        )
        run(
            "UPDATE service_accounts SET organization_id = %s WHERE id = %s",
            world.cast.umbrella.pk,
            key,
        )
        run("UPDATE service_accounts SET description = 'x' WHERE id = %s", key)


@step
def session_settings_hide_nothing(world: World) -> None:
    with world.by_hand("app_maint"):
        run("SET LOCAL timezone = 'Asia/Tokyo'")
        run("SET LOCAL extra_float_digits = -15")
        run("SET LOCAL bytea_output = 'escape'")
        run("SET LOCAL search_path = pg_temp, public")
        run("UPDATE alert_rules SET threshold = threshold + 0.00000000001")
        run("UPDATE projects SET created_at = created_at + interval '1 microsecond'")
        for setting in ("timezone", "extra_float_digits", "bytea_output"):
            run(f"SET LOCAL {setting} TO DEFAULT")
        run("SET LOCAL search_path TO DEFAULT")


@step
def sql_that_fails_leaves_nothing(world: World) -> None:
    with world.by_hand("app_rw"):
        try:
            with transaction.atomic():
                run("UPDATE registered_models SET description = 'lost'")
                run("SELECT 1 / 0")
        except DatabaseError:
            return
    raise AssertionError("1 / 0 was no error")


# COPY


@step
def rows_are_copied_in(world: World) -> None:
    experiment = live(world, Experiment)
    lines = "".join(
        f"{uuid7()}\t{world.acme.pk}\t{experiment.pk}\t{world.name()}\tcopied"
        "\t2026-01-01\t2026-01-01\n"
        for _ in range(3)
    )
    with world.by_hand("app_maint"):
        copy(
            "COPY experiment_tags (id, organization_id, experiment_id, key, value,"
            " created_at, updated_at) FROM STDIN",
            lines,
        )


@step
def facts_are_copied_in(world: World) -> None:
    run_ = live(world, Run)
    lines = "".join(
        f"{uuid7()}\t{world.acme.pk}\t{run_.pk}\tcopied\t{n}\t{n}\t{n}\n"
        for n in range(5)
    )
    with world.by_hand("app_maint"):
        copy(
            "COPY run_metrics (id, organization_id, experiment_run_id, metric_name,"
            " value, timestamp_ms, step) FROM STDIN",
            lines,
        )


def copy(statement: str, lines: str) -> None:
    with connection.cursor() as cursor, cursor.copy(statement) as sink:
        sink.write(lines)


# Commands


def command(name: str, *arguments: str, **options: Any) -> None:
    """Findings are no failure: a report says by its exit code that there are some."""
    out = io.StringIO()
    with contextlib.suppress(SystemExit):
        call_command(name, *arguments, stdout=out, stderr=out, **options)


@step
def command_makes_a_tenant(world: World) -> None:
    command("create_tenant", organization=f"o-{world.name()}", project="p", json=True)


@step
def command_issues_and_revokes_a_token(world: World) -> None:
    command("create_tenant", organization="acme", project="fraud", json=True)
    token = ApiToken._base_manager.filter(organization=world.acme)
    public_id = token.latest("created_at").public_id
    command("revoke_token", public_id=public_id, yes=True)


@step
def command_ends_sessions(world: World) -> None:
    command("end_sessions", world.cast.bob.username)
    command("unlock_sign_in", world.cast.bob.username)


@step
def command_recounts(world: World) -> None:
    command("recount_storage", json=True)


@step
def command_cleans_up(world: World) -> None:
    command("cleanup_packages", yes=True, json=True)


@step
def command_reconciles(world: World) -> None:
    command("reconcile_packages", json=True)
