"""Steps through the write services of tenants."""

from __future__ import annotations

from datetime import timedelta

from allauth.mfa.models import Authenticator
from django.utils import timezone

from audit.tests.complete.world import World, step
from registry.tests.factories import RunFactory
from tenants.authentication import read_token
from tenants.models import (
    Membership,
    Project,
    ProjectMember,
    ServiceAccount,
    User,
)
from tenants.services import (
    addresses,
    deletion,
    erasure,
    invitations,
    members,
    organizations,
    projects,
    service_accounts,
    sessions,
    setup,
    single_sign_on,
    support,
    tokens,
)
from tenants.services.single_sign_on import Arrival
from tenants.tests.factories import (
    InvitationFactory,
    MembershipFactory,
    ServiceAccountFactory,
    UserFactory,
    make_api_token,
)

PASSWORD = "a sentence nobody has said before"


def fresh_project(world: World) -> Project:
    return projects.create_project(world.acme, slug=f"p-{world.name()}")


# Organizations and projects


@step
def organization_is_created(world: World) -> None:
    with world.everywhere():
        organizations.create_organization(slug=f"o-{world.name()}")


@step
def organization_is_updated(world: World) -> None:
    with world.serving():
        organizations.update_organization(world.acme, name=f"Acme {world.name()}")


@step
def organization_is_deleted_and_restored(world: World) -> None:
    """Both at once: nobody of a deleted organization is let in."""
    with world.serving():
        organizations.delete_organization(world.acme)
        organizations.restore_organization(world.acme)


@step
def project_is_created(world: World) -> None:
    with world.serving():
        projects.create_project(
            world.acme, slug=f"p-{world.name()}", description=world.text()
        )


@step
def project_is_updated(world: World) -> None:
    with world.serving():
        project = world.pick(Project, deleted_at=None)
        projects.update_project(project, description=world.text(), name=world.name())


@step
def project_is_deleted_and_restored(world: World) -> None:
    with world.serving():
        project = fresh_project(world)
        projects.delete_project(project)
        if world.choose([True, False]):
            projects.restore_project(project)


# People


@step
def member_is_added(world: World) -> None:
    user = UserFactory(username=f"u{world.name()}")
    with world.serving():
        members.add_member(world.acme, user=user, role="member")


@step
def member_changes_role(world: World) -> None:
    row = MembershipFactory(organization=world.acme)
    with world.serving():
        members.change_role(row, role="admin")


@step
def member_is_removed(world: World) -> None:
    user = UserFactory()
    row = MembershipFactory(organization=world.acme, user=user)
    make_api_token(user, world.acme)
    with world.serving():
        members.add_project_member(world.fraud, role="viewer", user=user)
        members.remove_member(row)


@step
def acquaintance_joins_or_is_invited(world: World) -> None:
    login = world.choose([f"{world.name()}@example.org", world.cast.bob.username])
    with world.serving():
        members.join_or_invite(world.acme, login=login, role="member")


@step
def project_member_changes_role_and_leaves(world: World) -> None:
    user = MembershipFactory(organization=world.acme).user
    with world.serving():
        row = members.add_project_member(world.fraud, role="viewer", user=user)
        members.change_project_role(row, role="editor")
        if world.choose([True, False]):
            members.remove_project_member(row)


@step
def invitation_is_made_sent_again_and_revoked(world: World) -> None:
    with world.serving():
        row, _ = invitations.invite(world.acme, email=f"{world.name()}@example.org")
        if world.choose([True, False]):
            invitations.revoke_invitation(row)
    row = InvitationFactory(
        organization=world.acme,
        email=f"{world.name()}@example.org",
        sent_at=timezone.now() - timedelta(hours=1),
    )
    with world.serving():
        invitations.resend_invitation(row)


@step
def invitation_is_accepted(world: World) -> None:
    user = UserFactory(email="")
    row = InvitationFactory(
        organization=world.acme, email=f"{world.name()}@example.org"
    )
    with world.everywhere():
        invitations.join(row, user=user, is_mailed=True)


@step
def invitation_is_accepted_by_a_new_person(world: World) -> None:
    row = InvitationFactory(
        organization=world.acme, email=f"{world.name()}@example.org"
    )
    with world.everywhere():
        user = User(username=f"new-{world.name()}")
        invitations.join_as_new_person(
            row, user=user, password=PASSWORD, is_mailed=True
        )


@step
def address_is_proven(world: World) -> None:
    with world.everywhere():
        user = world.one_of(list(User.objects.order_by("date_joined")[:5]))
        addresses.prove(user, f"{world.name()}@example.org")


@step
def sessions_end_and_sign_in_is_unlocked(world: World) -> None:
    with world.everywhere():
        sessions.end_sessions(world.cast.bob)
        sessions.unlock_sign_in(world.cast.bob)


@step
def second_factor_is_reset(world: World) -> None:
    with world.everywhere():
        Authenticator.objects.create(
            user=world.cast.bob, type="totp", data={"secret": world.name()}
        )
        sessions.reset_second_factor(world.cast.bob)


@step
def person_is_erased(world: World) -> None:
    user = UserFactory(first_name="Carol", email=f"{world.name()}@example.org")
    MembershipFactory(organization=world.acme, user=user)
    make_api_token(user, world.acme)
    RunFactory(experiment__project=world.fraud, user_name="carol", created_by=user.pk)
    with world.everywhere():
        addresses.prove(user, user.email)
        erasure.erase_within(user)


# Service accounts and tokens


@step
def service_account_is_created(world: World) -> None:
    with world.serving():
        service_accounts.create_service_account(
            world.acme, name=world.name(), roles={world.fraud: "editor"}
        )


@step
def service_account_is_updated(world: World) -> None:
    with world.serving():
        row = world.pick(ServiceAccount, deleted_at=None)
        service_accounts.update_service_account(row, description=world.text())


@step
def service_account_is_deleted(world: World) -> None:
    row = ServiceAccountFactory(organization=world.acme, name=world.name())
    make_api_token(row, world.acme, world.fraud)
    with world.serving():
        service_accounts.delete_service_account(row)


@step
def token_is_issued(world: World) -> None:
    with world.serving():
        tokens.issue_token(world.acme, world.cast.alice, name=world.name())


@step
def token_is_rotated_twice_and_revoked(world: World) -> None:
    with world.serving():
        row, _ = tokens.issue_token(world.acme, world.cast.alice, name=world.name())
        tokens.rotate_token(row, overlap_hours=1)
        tokens.rotate_token(row)
        if world.choose([True, False]):
            tokens.revoke_token(row, reason="no longer needed")


@step
def token_rotates_itself(world: World) -> None:
    spare = make_api_token(world.cast.alice, world.acme)
    own = read_token(spare.text)
    with world.serving(world.actor_of(own)):
        tokens.rotate_own_token()


@step
def token_is_reported_as_leaked(world: World) -> None:
    spare = make_api_token(world.cast.bob, world.acme)
    with world.served():
        tokens.report_leak(spare.text, request_line="leak\t\tPOST /")


@step
def person_ends_all_tokens(world: World) -> None:
    make_api_token(world.cast.bob, world.acme)
    with world.serving(reason="left") as (_, line):
        tokens.end_own_tokens(world.cast.bob, reason="left", request_line=line)


# Single sign-on and support


@step
def single_sign_on_changes(world: World) -> None:
    with world.serving():
        row = single_sign_on.single_sign_on_of(world.acme)
        single_sign_on.change_single_sign_on(row, group_roles={world.name(): "member"})


@step
def person_arrives_by_single_sign_on(world: World) -> None:
    """The provider speaks for somebody whom an organization has invited."""
    email = f"{world.name()}@example.org"
    InvitationFactory(organization=world.acme, email=email)
    with world.served():
        person = single_sign_on.welcome(
            Arrival(email=email, is_verified=True, username=world.name()),
            linked=User.objects.none(),
        )
    with world.everywhere():
        addresses.prove(person, email)
    with world.served():
        single_sign_on.settle(person, Arrival(email=email, is_verified=True))


@step
def support_is_asked_for_approved_and_revoked(world: World) -> None:
    helper = UserFactory(username=f"helper-{world.name()}", is_staff=True)
    with world.everywhere():
        grant = support.request_grant(
            world.acme, staff=helper, reason="a run is gone", hours=2, may_write=True
        )
    with world.serving():
        support.approve_grant(grant, hours=1, may_write=False)
        support.revoke_grant(grant)


@step
def support_breaks_the_glass(world: World) -> None:
    helper = UserFactory(username=f"helper-{world.name()}", is_staff=True)
    with world.everywhere():
        support.request_grant(
            world.acme, staff=helper, reason="all is down", break_glass=True
        )


# Setting up


@step
def tenant_is_founded(world: World) -> None:
    with world.everywhere():
        setup.tenant_token(f"o-{world.name()}", f"p-{world.name()}")


@step
def first_run_finds_its_work_done(world: World) -> None:
    with world.everywhere():
        setup.first_run()


# Marks of deletion


@step
def mark_is_put_on_a_row_and_taken_off(world: World) -> None:
    with world.serving():
        row = world.pick(Membership, deleted_at=None, role="member")
        deletion.put(row, deletion.new_mark(row))
        deletion.put(row, deletion.UNMARKED)


@step
def mark_is_put_on_all_rows(world: World) -> None:
    with world.serving():
        rows = ProjectMember.objects.filter(project=world.fraud, role="viewer")
        deletion.put_on_all(rows, deletion.new_mark(world.fraud))
