from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connections
from django.utils import timezone

from mlops.errors import AlreadyExists, Conflict, Forbidden, InvalidInput, InvalidState
from tenants.context import Actor, TenantContextMissing, acting_as, tenant_transaction
from tenants.models import (
    ApiToken,
    Membership,
    Organization,
    ProjectMember,
)
from tenants.permissions import Permission
from tenants.services import (
    deletion,
    members,
    organizations,
    projects,
    rights,
    service_accounts,
    tokens,
)
from tenants.tests.factories import (
    MembershipFactory,
    OrganizationFactory,
    ServiceAccountFactory,
    UserFactory,
)


@pytest.fixture
def as_command(cast) -> Iterator[None]:
    """Act as a command does: in acme, with every right."""
    with acting_as("command:test", organization=cast.acme.pk):
        yield


@pytest.fixture
def as_alice(cast) -> Iterator[Actor]:
    with tenant_transaction(actor_of(cast.alice, cast.acme, "owner")) as actor:
        yield actor


def actor_of(user, organization, *roles, projects=()) -> Actor:
    return Actor(
        kind="user",
        id=user.pk,
        organization_id=organization.pk,
        project_ids=tuple(project.pk for project in projects),
        roles=frozenset(roles),
        permissions=frozenset({"*"}),
    )


# Deletion


def test_a_mark_says_who_and_what_went_along(cast, as_alice):
    projects.delete_project(cast.churn)
    cast.churn.refresh_from_db()
    assert cast.churn.deleted_by == cast.alice.pk
    assert cast.churn.delete_batch is not None
    with pytest.raises(InvalidState, match="This project is deleted; restore it"):
        deletion.refuse_deleted(cast.churn)


def test_deleting_and_restoring_twice_changes_nothing(cast, as_alice):
    for work in (projects.delete_project, projects.restore_project):
        work(cast.churn)
        before = cast.churn.updated_at
        work(cast.churn)
        assert cast.churn.updated_at == before


def test_nobody_writes_without_acting(cast):
    with pytest.raises(TenantContextMissing):
        projects.delete_project(cast.churn)


# Rights


@pytest.mark.parametrize(
    "own,granted,allowed",
    [
        ("owner", "owner", True),
        ("owner", "admin", True),
        ("admin", "owner", False),
        ("admin", "admin", True),
        ("member", "admin", False),
        ("member", "member", True),
        ("service", "member", False),
        ("maintainer", "member", False),
    ],
)
def test_a_role_is_granted_up_to_ones_own(cast, own, granted, allowed):
    with tenant_transaction(actor_of(cast.bob, cast.acme, own)):
        if allowed:
            rights.demand_organization_role(granted)
        else:
            with pytest.raises(Forbidden, match=f"role='{granted}'"):
                rights.demand_organization_role(granted)


def test_a_maintainer_is_asked_about_each_project(cast):
    ProjectMember._base_manager.filter(user=cast.bob).update(role="maintainer")
    with tenant_transaction(actor_of(cast.bob, cast.acme, "member")):
        rights.demand_maintained([cast.fraud], "It")
        for wanted in ([], [cast.churn], [cast.fraud, cast.churn]):
            with pytest.raises(Forbidden):
                rights.demand_maintained(wanted, "It")


def test_an_owner_with_a_bound_token_maintains_what_it_is_bound_to(cast):
    bound = actor_of(cast.alice, cast.acme, "member", projects=[cast.fraud])
    with tenant_transaction(bound):
        rights.demand_maintained([cast.fraud], "It")
        with pytest.raises(Forbidden):
            rights.demand_maintained([cast.churn], "It")


# Organizations


def test_founding_makes_the_owner(cast, as_command):
    made = organizations.create_organization(slug="founded", owner=cast.bob)
    membership = Membership._base_manager.get(organization=made)
    assert (membership.user_id, membership.role) == (cast.bob.pk, "owner")
    assert made.name == "founded"


def test_a_slug_is_taken_by_a_deleted_organization_too(cast, as_command):
    Organization._base_manager.update(deleted_at=timezone.now())
    with pytest.raises(AlreadyExists, match="slug 'umbrella'"):
        organizations.create_organization(slug="umbrella")


# Members


def test_a_removed_member_leaves_all_projects_at_once(cast, as_alice):
    membership = Membership.objects.get(user=cast.bob)
    members.remove_member(membership)
    (role,) = ProjectMember.objects.with_deleted().filter(user=cast.bob)
    assert role.delete_batch == membership.delete_batch
    with pytest.raises(InvalidState):
        members.change_role(membership, role="admin")


def test_a_person_holds_one_role_in_a_project(cast, as_alice):
    with pytest.raises(AlreadyExists, match="of 'bob'"):
        members.add_project_member(cast.fraud, user=cast.bob, role="editor")


@pytest.fixture
def two_owners(transactional_db) -> list[Membership]:
    """Committed, so that two connections see them."""
    organization = OrganizationFactory(slug="two")
    return [
        MembershipFactory(organization=organization, user=UserFactory(), role="owner")
        for _ in range(2)
    ]


def test_two_owners_who_demote_each_other_leave_one(two_owners):
    meeting = Barrier(2)

    def demote(mine, theirs):
        try:
            with tenant_transaction(actor_of(mine.user, mine.organization, "owner")):
                meeting.wait(10)
                members.change_role(theirs, role="member")
        except (Conflict, InvalidState) as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        first, second = two_owners
        jobs = [pool.submit(demote, first, second), pool.submit(demote, second, first)]
        refusals = [job.result(timeout=30) for job in jobs]
    owners = Membership._base_manager.filter(
        organization=two_owners[0].organization, role="owner"
    )
    assert owners.count() == 1
    assert sum(isinstance(refusal, Conflict) for refusal in refusals) == 1


# Service accounts and tokens


def test_a_service_account_is_named_once_while_it_lives(cast, as_alice):
    robot = service_accounts.create_service_account(cast.acme, name="robot")
    with pytest.raises(AlreadyExists, match="name 'robot'"):
        service_accounts.create_service_account(cast.acme, name="robot")
    assert robot.pk


def test_the_name_of_a_deleted_service_account_is_free(cast, as_alice):
    robot = service_accounts.create_service_account(
        cast.acme, name="robot", roles={cast.fraud: "editor"}
    )
    service_accounts.delete_service_account(robot)
    assert service_accounts.create_service_account(cast.acme, name="robot").pk
    assert not ProjectMember.objects.filter(service_account=robot).exists()


@pytest.mark.parametrize("days", [0, -1, 366])
def test_a_token_lives_a_year_at_most(cast, as_alice, days):
    with pytest.raises(InvalidInput, match=f"days={days}"):
        tokens.issue_token(cast.acme, cast.alice, name="x", days=days)


def test_a_token_lives_ninety_days_unless_said(cast, as_alice):
    row, text = tokens.issue_token(cast.acme, cast.alice, name="x")
    lifetime = row.expires_at - timezone.now()
    assert timedelta(days=89) < lifetime <= timedelta(days=90)
    stored = ApiToken.objects.values().get(pk=row.pk)
    assert text not in str(stored)


def test_a_personal_token_is_issued_by_its_holder_only(cast, as_alice):
    with pytest.raises(Forbidden):
        tokens.issue_token(cast.acme, cast.bob, name="x")


def test_a_command_issues_tokens_to_anybody(cast, as_command):
    robot = ServiceAccountFactory(organization=cast.acme)
    for holder in (cast.bob, robot):
        row, _ = tokens.issue_token(
            cast.acme,
            holder,
            name="x",
            projects=[cast.fraud],
            permissions=[Permission.TRACKING_READ],
        )
        assert row.project_ids == [cast.fraud.pk]


def test_a_deleted_service_account_gets_no_token(cast, as_alice):
    robot = ServiceAccountFactory(
        organization=cast.acme, deleted_at=timezone.now() - timedelta(days=1)
    )
    with pytest.raises(InvalidState):
        tokens.issue_token(cast.acme, robot, name="x")


def test_a_dead_token_is_not_rotated(cast, as_alice):
    row, _ = tokens.issue_token(cast.acme, cast.alice, name="x")
    tokens.revoke_token(row)
    with pytest.raises(InvalidState, match="issue another"):
        tokens.rotate_token(row)


def test_rotation_does_not_lengthen_a_life_beyond_a_year(cast, as_alice):
    row, _ = tokens.issue_token(cast.acme, cast.alice, name="x", days=365)
    with pytest.raises(InvalidInput):
        tokens.rotate_token(row, days=400)
    row, _ = tokens.rotate_token(row, days=1)
    assert row.expires_at <= timezone.now() + timedelta(days=1)
