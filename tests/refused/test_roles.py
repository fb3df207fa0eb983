"""Roles and tokens at each address of the protocol: security.md D3, D11, D15 to D18."""

from __future__ import annotations

import pytest

from conftest import client_of
from registry.mlflow import urls
from registry.mlflow.endpoint import ENDPOINTS
from registry.models import Experiment, PackageFile, Run, Stage
from registry.tests.factories import ModelVersionFactory
from tenants.context import Actor
from tenants.models import Membership, Project, ProjectMember
from tenants.permissions import ROLES
from tenants.tests.factories import make_api_token
from tests.mounts import mounts
from tests.refused.conftest import call, error_of, send

READS = {name for name, roles in ROLES.items() if "viewer" in roles}
# Those of an organization know no roles of a project: see test_workspaces.py.
OF_PROJECTS = [each for each in ENDPOINTS if each.needs and each.context is not Actor]
WRITES = [each for each in OF_PROJECTS if each.needs not in READS]
FRAUD = "/api/v1/organizations/acme/projects/fraud/"
MEMBERS = "/api/v1/organizations/acme/members/"


def files_of(run, mount_prefix: str) -> list[str]:
    """Where the run's first file stands, at each address of artifacts."""
    iid = run.experiment.iid
    below = f"2.0/mlflow-artifacts/artifacts/{iid}/{run.pk.hex}/artifacts/folder/"
    return [f"{mount_prefix}/{api}/{below}file-0.txt" for api in ("api", "ajax-api")]


PREFIXES = ("", "/mlflow/acme/fraud")


# D3: a reader writes nothing


def test_every_writing_endpoint_is_found():
    assert urls.REGISTERED  # importing the routes fills the list
    assert len(WRITES) > 14
    assert {"runs/log-inputs", "runs/log-model", "runs/set-tag", "runs/delete-tag"} <= {
        each.path for each in WRITES
    }


@pytest.mark.parametrize("each", WRITES, ids=lambda each: each.path)
def test_a_reader_writes_nothing(person, run, each):
    viewer = person("viewer").client
    given = {"run_id": run.pk.hex, "experiment_id": "7", "key": "k", "value": "1"}
    for mount in mounts():
        answer = call(viewer, mount, each.method, each.path, **given)
        assert error_of(answer) == (403, "PERMISSION_DENIED"), mount
        assert each.needs in answer.json()["message"], mount


@pytest.mark.parametrize("each", WRITES, ids=lambda each: each.path)
def test_a_token_for_reading_writes_nothing(person, run, each):
    """D16, I3: whoever holds it."""
    owner = person("owner", permissions=tuple(READS)).client
    for mount in mounts():
        answer = call(owner, mount, each.method, each.path, run_id=run.pk.hex)
        assert error_of(answer) == (403, "PERMISSION_DENIED"), mount
        lacking = f"This token lacks the permission {each.needs}."
        assert answer.json()["message"] == lacking, mount


def test_a_token_for_the_registry_logs_nothing(person, run):
    client = person("owner", permissions=("registry:read", "registry:write")).client
    given = {"run_id": run.pk.hex, "key": "k", "value": 1.0, "timestamp": 1}
    for mount in mounts():
        answer = call(client, mount, "POST", "runs/log-metric", **given)
        assert "tracking:write" in answer.json()["message"], mount
        assert answer.status_code == 403, mount


def test_a_token_of_one_project_finds_no_other(person, cast, run):
    client = person("owner").client  # bound to fraud
    for mount in mounts(project="churn"):
        if "token" in mount.name:
            continue  # says no project: it is the token's own
        answer = call(client, mount, "GET", "runs/get", run_id=run.pk.hex)
        assert error_of(answer) == (404, "RESOURCE_DOES_NOT_EXIST"), mount


# D11, and what editors do to what is not theirs


def test_an_editor_deletes_no_artifact(person, run):
    editor = person("editor").client
    for prefix in PREFIXES:
        for address in files_of(run, prefix):
            assert error_of(send(editor, "DELETE", address)) == (
                403,
                "PERMISSION_DENIED",
            ), address
    assert PackageFile._base_manager.count() == 2


def test_an_editor_moves_nothing_to_production_and_deletes_no_version(person, cast):
    editor, maintainer = person("editor").client, person("maintainer").client
    version = ModelVersionFactory(registered_model__project=cast.fraud)
    one = f"{FRAUD}model-versions/{version.pk}/"
    model = f"{FRAUD}models/{version.registered_model_id}/"
    production = {"stage": "Production"}
    assert send(editor, "POST", f"{one}transition/", **production).status_code == 403
    assert send(editor, "DELETE", one).status_code == 403
    assert send(editor, "DELETE", model).status_code == 403
    assert send(editor, "PATCH", model, name="renamed").status_code == 403
    version.refresh_from_db()
    assert (version.stage, version.deleted_at) == (Stage.NONE, None)
    assert send(editor, "POST", f"{one}transition/", stage="Staging").status_code == 200
    moved = send(maintainer, "POST", f"{one}transition/", **production)
    assert moved.status_code == 200


def test_a_protected_alias_needs_the_right_to_promote(person, cast):
    Project._base_manager.filter(pk=cast.fraud.pk).update(
        protected_aliases=["production"]
    )
    editor, maintainer = person("editor").client, person("maintainer").client
    version = ModelVersionFactory(registered_model__project=cast.fraud, version=1)
    model = f"{FRAUD}models/{version.registered_model_id}/"
    for name in ("production", "Production"):
        given = {"name": name, "version": 1}
        assert send(editor, "POST", f"{model}set-alias/", **given).status_code == 403
        assert (
            send(editor, "POST", f"{model}delete-alias/", name=name).status_code == 403
        )
    free = {"name": "champion", "version": 1}
    assert send(editor, "POST", f"{model}set-alias/", **free).status_code == 200
    held = {"name": "production", "version": 1}
    assert send(maintainer, "POST", f"{model}set-alias/", **held).status_code == 200


def test_editors_delete_and_restore_runs_of_their_own_only(person, run):
    editor, other = person("editor"), person("editor")
    for mount in mounts():
        made = call(editor.client, mount, "POST", "runs/create", experiment_id="7")
        own = made.json()["run"]["info"]["run_id"]
        assert Run._base_manager.get(pk=own).created_by == editor.user.pk
        for verb in ("delete", "restore"):
            path = f"runs/{verb}"
            for client, key, status in (
                (editor.client, run.pk.hex, 403),
                (other.client, own, 403),
                (editor.client, own, 200),
            ):
                answer = call(client, mount, "POST", path, run_id=key)
                assert answer.status_code == status, (mount, verb)


def test_editors_of_rest_delete_runs_of_their_own_only(person, run):
    editor = person("editor").client
    given = {"experiment": str(run.experiment_id)}
    own = send(editor, "POST", f"{FRAUD}runs/", **given).json()
    assert send(editor, "DELETE", f"{FRAUD}runs/{own['id']}/").status_code == 204
    assert send(editor, "DELETE", f"{FRAUD}runs/{run.pk}/").status_code == 403
    maintainer = person("maintainer").client
    assert send(maintainer, "DELETE", f"{FRAUD}runs/{run.pk}/").status_code == 204


def test_experiments_are_deleted_and_restored_by_maintainers_only(person, run):
    editor, maintainer = person("editor").client, person("maintainer").client
    for mount in mounts():
        for verb in ("delete", "restore"):
            for client, status in ((editor, 403), (maintainer, 200)):
                answer = call(
                    client, mount, "POST", f"experiments/{verb}", experiment_id="7"
                )
                assert answer.status_code == status, (mount, verb)
    assert Experiment._base_manager.get(iid=7).deleted_at is None


# Service accounts: "*" does not lend what their tokens must name


def test_a_service_account_deletes_by_a_named_permission_only(robot, run):
    for mount in mounts():
        refused = call(
            robot("maintainer"), mount, "POST", "runs/delete", run_id=run.pk.hex
        )
        assert error_of(refused) == (403, "PERMISSION_DENIED"), mount
        assert "tracking:delete" in refused.json()["message"], mount
        named = robot("maintainer", "*", "tracking:delete")
        for verb in ("delete", "restore"):
            answer = call(named, mount, "POST", f"runs/{verb}", run_id=run.pk.hex)
            assert answer.status_code == 200, mount


def test_a_service_account_promotes_by_a_named_permission_only(robot, cast):
    version = ModelVersionFactory(registered_model__project=cast.fraud)
    address = f"{FRAUD}model-versions/{version.pk}/transition/"
    for permissions, status in ((("*",), 403), (("*", "registry:promote"), 200)):
        client = robot("maintainer", *permissions)
        assert send(client, "POST", address, stage="Production").status_code == status


# The audit trail of one's own project


def test_maintainers_read_the_trail_of_their_own_project(person, cast, run):
    maintainer = person("maintainer", cast.fraud).client
    entries = maintainer.get(f"{FRAUD}audit-logs/").json()["results"]
    assert entries
    assert {entry["project_id"] for entry in entries} == {str(cast.fraud.pk)}
    whole = "/api/v1/organizations/acme/audit-logs/"
    for headers in ({}, {"X-MLFLOW-WORKSPACE": "fraud"}):
        assert maintainer.get(whole, headers=headers).status_code == 403
    assert maintainer.get(f"{FRAUD}audit-logs/".replace("fraud", "churn")).status_code
    for role in ("editor", "viewer"):
        assert person(role).client.get(f"{FRAUD}audit-logs/").status_code == 403


def test_a_service_account_reads_the_trail_if_its_token_says_so(robot):
    whole = "/api/v1/organizations/acme/audit-logs/"
    assert robot("editor", "*", bound=False).get(whole).status_code == 403
    assert robot("editor", "audit:read", bound=False).get(whole).status_code == 200
    # Bound to a project it rules there alone.
    assert robot("editor", "audit:read").get(whole).status_code == 403
    assert (
        robot("maintainer", "audit:read").get(f"{FRAUD}audit-logs/").status_code == 200
    )


# Viewers and the project's switch


def test_viewers_download_where_the_project_lets_them(person, cast, run):
    viewer, editor = person("viewer").client, person("editor").client
    reads = [(a, {}) for prefix in PREFIXES for a in files_of(run, prefix)]
    for prefix in PREFIXES:
        query = {"run_id": run.pk.hex, "path": "folder/file-0.txt"}
        reads.append((f"{prefix}/get-artifact", query))
        reads.append((f"{prefix}/api/2.0/mlflow/artifacts/list", query))
    for lets, status in ((True, {200, 404}), (False, {403})):
        Project._base_manager.filter(pk=cast.fraud.pk).update(viewers_download=lets)
        for address, query in reads:
            assert send(viewer, "GET", address, **query).status_code in status, address
            seen = send(editor, "GET", address, **query).status_code
            assert seen in {200, 404}, address


# D15


def test_nobody_rises_by_their_own_hand(person, cast):
    admin, member = person("admin", *[]), person("maintainer")
    alice = Membership._base_manager.get(user=cast.alice)
    unbound = {
        who.user: client_of(make_api_token(who.user, cast.acme).text)
        for who in (admin, member)
    }
    own = Membership._base_manager.get(user=admin.user)
    asks = [
        (unbound[admin.user], "PATCH", f"{MEMBERS}{own.pk}/", {"role": "owner"}),
        (unbound[admin.user], "PATCH", f"{MEMBERS}{alice.pk}/", {"role": "member"}),
        (unbound[admin.user], "DELETE", f"{MEMBERS}{alice.pk}/", {}),
        (unbound[member.user], "PATCH", f"{MEMBERS}{own.pk}/", {"role": "member"}),
        (unbound[member.user], "POST", MEMBERS, {"user": "mallory", "role": "member"}),
    ]
    before = list(Membership._base_manager.order_by("pk").values())
    for client, method, address, body in asks:
        assert send(client, method, address, **body).status_code == 403, (method, body)
    owner = {"user": cast.mallory.username, "role": "owner"}
    assert send(unbound[admin.user], "POST", MEMBERS, **owner).status_code == 403
    # The header lends no role outside of its project.
    headers = {"X-MLFLOW-WORKSPACE": "fraud"}
    asked = send(unbound[member.user], "POST", MEMBERS, headers, **owner)
    assert asked.status_code == 403
    assert list(Membership._base_manager.order_by("pk").values()) == before


def test_the_last_owner_stays_one(alice, cast):
    own = Membership._base_manager.get(user=cast.alice, organization=cast.acme)
    for method, body in (("PATCH", {"role": "member"}), ("DELETE", {})):
        answer = send(alice, method, f"{MEMBERS}{own.pk}/", **body)
        assert answer.status_code == 409, method


def test_maintainers_manage_the_members_of_their_project(person, cast):
    maintainer, editor = person("maintainer").client, person("editor")
    row = ProjectMember._base_manager.get(user=editor.user)
    for role in ("viewer", "maintainer"):
        answer = send(maintainer, "PATCH", f"{FRAUD}members/{row.pk}/", role=role)
        assert answer.status_code == 200
    ProjectMember._base_manager.filter(pk=row.pk).update(role="editor")
    up = send(editor.client, "PATCH", f"{FRAUD}members/{row.pk}/", role="maintainer")
    assert up.status_code == 403


# D17, I4


def test_a_token_shrinks_with_its_holder_at_once(person, cast, run):
    editor = person("editor")
    held = ProjectMember._base_manager.filter(user=editor.user)
    address = files_of(run, "")[0]
    given = {"run_id": run.pk.hex, "key": "k", "value": "1"}
    for mount in mounts():
        held.update(role="editor", deleted_at=None)
        assert (
            call(editor.client, mount, "POST", "runs/set-tag", **given).status_code
            == 200
        )
        held.update(role="viewer")
        shrunk = call(editor.client, mount, "POST", "runs/set-tag", **given)
        assert error_of(shrunk) == (403, "PERMISSION_DENIED"), mount
        held.update(deleted_at="2026-01-01T00:00Z")
        gone = call(editor.client, mount, "POST", "runs/set-tag", **given)
        assert error_of(gone) == (404, "RESOURCE_DOES_NOT_EXIST"), mount
    # A kept address of a file opens nothing any more.
    assert editor.client.get(address).status_code == 404


# D18


OVERRIDES = [
    {"X-HTTP-Method-Override": "DELETE"},
    {"X-HTTP-Method": "DELETE"},
    {"X-Method-Override": "DELETE"},
]


def test_no_header_and_no_field_makes_another_method(alice_in_fraud, person, run):
    address = f"{FRAUD}runs/{run.pk}/"
    for headers in OVERRIDES:
        alice_in_fraud.get(address, headers=headers)
        alice_in_fraud.generic(
            "PATCH", address, b"{}", "application/json", headers=headers
        )
        for prefix in PREFIXES:
            for file in files_of(run, prefix):
                alice_in_fraud.get(file, headers=headers)
    send(alice_in_fraud, "PATCH", address, _method="DELETE")
    assert alice_in_fraud.get(address, {"_method": "DELETE"}).status_code == 400
    form = alice_in_fraud.post(address, {"_method": "DELETE"})
    assert form.status_code in {405, 415}
    run.refresh_from_db()
    assert run.deleted_at is None
    assert PackageFile._base_manager.count() == 2
    viewer = person("viewer").client
    for mount in mounts():
        for headers in OVERRIDES:
            merged = {**mount.headers, **headers}
            put = send(
                viewer, "POST", mount.url("runs/delete"), merged, run_id=run.pk.hex
            )
            assert put.status_code == 403, mount


def test_head_and_options_open_no_more_than_get(person, run):
    """One path may have a method for readers beside those that write."""
    readable = {each.path for each in OF_PROJECTS if each.needs in READS}
    stranger, viewer = client_of(), person("viewer").client
    for mount in mounts():
        for each in OF_PROJECTS:
            for method in ("HEAD", "OPTIONS"):
                assert call(stranger, mount, method, each.path).status_code == 401
                status = call(viewer, mount, method, each.path).status_code
                assert status in {400, 403, 405, 404, 200}, (mount, each.path)
                if each.path not in readable:
                    assert status == 403, (mount, method, each.path)
