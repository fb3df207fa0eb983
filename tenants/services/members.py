"""Who belongs to an organization and to its projects, and in which role."""

from __future__ import annotations

from django.db.models import Q
from django.utils import timezone

from mlops.db.uniques import claiming
from mlops.errors import Conflict, NotFound
from tenants.models import (
    ApiToken,
    Invitation,
    Membership,
    Organization,
    OrganizationRole,
    Project,
    ProjectMember,
    ServiceAccount,
    User,
)
from tenants.services import deletion
from tenants.services.addresses import proven_by
from tenants.services.invitations import invite
from tenants.services.rights import demand_organization_role

NO_OWNER = "An organization needs an owner; make somebody else an owner first."


def find_acquaintance(login: str) -> User | None:
    """Find who is or was in the bound organization, by user name or proven e-mail.

    Nobody else is looked for: whether an account exists on this installation is no
    organization's business.
    """
    named = Q(user__username=login) | Q(user__email__iexact=login)
    met = Membership.objects.with_deleted().filter(named, user__is_active=True)
    for membership in met.select_related("user").order_by("pk") if login else ():
        user = membership.user
        if user.username == login or login.lower() in proven_by(user):
            return user
    return None


def join_or_invite(
    organization: Organization, *, login: str, role: str
) -> Membership | Invitation:
    """Add somebody whom the organization knows; mail an invitation to anybody else.

    An e-mail address of an account that the organization never met is answered as one
    that nobody has, and so is a user name: NotFound. Raises Forbidden for a role above
    the actor's, AlreadyExists for a member or a pending invitation.
    """
    demand_organization_role(role)
    user = find_acquaintance(login)
    if user is not None:
        return add_member(organization, user=user, role=role)
    if "@" not in login:
        raise NotFound(
            f"Nobody who is or was a member has the user name {login!r}; write an"
            " e-mail address to invite a person."
        )
    invitation, _ = invite(organization, email=login, role=role)
    return invitation


def find_member(login: str) -> User:
    """Find a person of the bound organization. Raises NotFound, whoever else exists."""
    named = Q(user__username=login) | Q(user__email__iexact=login)
    found = Membership.objects.filter(named, user__is_active=True)
    membership = found.select_related("user").first() if login else None
    if membership is None:
        raise NotFound(f"No member has the user name or e-mail {login!r}.")
    return membership.user


def add_member(organization: Organization, *, user: User, role: str) -> Membership:
    """Raises AlreadyExists for a member, Forbidden for a role above the actor's."""
    demand_organization_role(role)
    membership = Membership(organization=organization, user=user, role=role)
    with claiming("member", user=user.username):
        membership.save(force_insert=True)
    return membership


def change_role(membership: Membership, *, role: str) -> Membership:
    """Raises Conflict when nobody would be left as an owner."""
    _prepare(membership)
    demand_organization_role(role)
    if role != OrganizationRole.OWNER:
        _refuse_last_owner(membership)
    membership.role = role
    membership.save(update_fields=["role", "updated_at"])
    return membership


def remove_member(membership: Membership) -> None:
    """Take a person out of the organization, its projects and its tokens."""
    _prepare(membership)
    _refuse_last_owner(membership)
    mark = deletion.new_mark(membership)
    person = {"organization": membership.organization_id, "user": membership.user_id}
    deletion.put_on_all(ProjectMember.objects.filter(**person), mark)
    deletion.put(membership, mark)
    # Else they would work again for somebody who comes back in a smaller role.
    ApiToken.objects.usable().filter(**person).update(
        revoked_at=timezone.now(), revoked_reason="removed from the organization"
    )


def _prepare(membership: Membership) -> None:
    """Lock the owners, then weigh: two who demote each other wait for one another."""
    owners = Membership.objects.filter(
        organization=membership.organization_id, role=OrganizationRole.OWNER
    )
    list(owners.order_by("pk").select_for_update(no_key=True))
    membership.refresh_from_db()
    deletion.refuse_deleted(membership)
    demand_organization_role(membership.role)


def _refuse_last_owner(membership: Membership) -> None:
    if membership.role != OrganizationRole.OWNER:
        return
    others = Membership.objects.filter(
        organization=membership.organization_id,
        role=OrganizationRole.OWNER,
        user__is_active=True,
    )
    if not others.exclude(pk=membership.pk).exists():
        raise Conflict(NO_OWNER)


def add_project_member(
    project: Project,
    *,
    role: str,
    user: User | None = None,
    service_account: ServiceAccount | None = None,
) -> ProjectMember:
    """Give a member of the organization, or a service account, a role in a project."""
    if user is not None:
        _refuse_outsider(project, user)
    member = ProjectMember(
        organization_id=project.organization_id,
        project=project,
        user=user,
        service_account=service_account,
        role=role,
    )
    with claiming("member", of=str(user or service_account)):
        member.save(force_insert=True)
    return member


def _refuse_outsider(project: Project, user: User) -> None:
    belonging = Membership.objects.filter(
        organization=project.organization_id, user=user
    )
    if not belonging.exists():
        raise NotFound(f"No member of the organization is called {user.username!r}.")


def change_project_role(member: ProjectMember, *, role: str) -> ProjectMember:
    deletion.refuse_deleted(member)
    member.role = role
    member.save(update_fields=["role", "updated_at"])
    return member


def remove_project_member(member: ProjectMember) -> None:
    if member.deleted_at is None:
        deletion.put(member, deletion.new_mark(member))
