"""A tenant ready for use: by a tool, and by the first person on a new installation."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from mlops.errors import Conflict, InvalidInput
from tenants.models import (
    Membership,
    Organization,
    OrganizationRole,
    Project,
    ProjectMember,
    ProjectRole,
    ServiceAccount,
    User,
)
from tenants.permissions import OPT_IN
from tenants.services.members import add_project_member
from tenants.services.organizations import create_organization
from tenants.services.projects import create_project
from tenants.services.tokens import EVERYTHING, issue_token

CLIENT = "client"
ADMIN = "admin"
# What software of this kind has been shipped with, or is set up with in a hurry.
KNOWN_PASSWORDS = (
    "admin",
    "password",
    "password1234",
    "changeme",
    "mlflow",
    "adminadminadmin",
)
DEMO, SANDBOX = "demo", "sandbox"
# Letters only, without the one that looks like a digit.
SLUG_LENGTH = 8
ALPHABET = "abcdefghijkmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class FirstRun:
    """What the first run made; secrets are empty when it was not the first."""

    created: bool
    password: str | None = None
    token: str | None = None


def random_slug() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(SLUG_LENGTH))


def found_organization(slug: str) -> Organization:
    """Return the organization, made if it is missing; all organizations must be bound.

    Raises Conflict for a deleted one.
    """
    organization = Organization.objects.with_deleted().filter(slug=slug).first()
    if organization is None:
        return create_organization(slug=slug)
    if organization.deleted_at is not None:
        raise Conflict(f"Organization {slug!r} is deleted; restore it or use another.")
    return organization


def found_project(organization: Organization, slug: str) -> Project:
    """Return the project, made if it is missing. Raises Conflict for a deleted one."""
    project = (
        Project.objects.with_deleted()
        .filter(organization=organization, slug=slug)
        .first()
    )
    if project is None:
        return create_project(organization, slug=slug)
    if project.deleted_at is not None:
        raise Conflict(f"Project {slug!r} is deleted; restore it or use another.")
    return project


def find_organization(slug: str) -> Organization:
    organization = Organization.objects.filter(slug=slug).first()
    if organization is None:
        raise InvalidInput(f"organization={slug!r}: there is none of that name.")
    return organization


def find_project(organization: Organization, slug: str) -> Project:
    projects = Project.objects.filter(organization=organization)
    project = projects.filter(slug=slug).first()
    if project is None:
        raise InvalidInput(f"project={slug!r}: {organization.slug} has none like that.")
    return project


def tenant_token(organization: str, project: str) -> str:
    """Return a token for the project, made like its organization if it is missing.

    All organizations must be bound.
    """
    founded = found_project(found_organization(organization), project)
    return client_token(founded, name="create_tenant")


def client_token(project: Project, *, name: str) -> str:
    """Issue a token for one project, held by a service account that maintains it."""
    account = client_of(project)
    _, text = issue_token(
        project.organization,
        account,
        name=name,
        projects=[project],
        permissions=[EVERYTHING, *OPT_IN],
    )
    return text


def client_of(project: Project) -> ServiceAccount:
    """Return the account for a project's tools, made if it is missing."""
    organization = project.organization
    account, _ = ServiceAccount.objects.get_or_create(
        organization=organization, name=f"{CLIENT}-{project.slug}", deleted_at=None
    )
    held = ProjectMember.objects.filter(project=project, service_account=account)
    if not held.exists():
        role = ProjectRole.MAINTAINER
        add_project_member(project, role=role, service_account=account)
    return account


def refuse_weak(password: str) -> None:
    """Raises InvalidInput for a password that one guesses; it does not repeat it."""
    try:
        validate_password(password, User(username=ADMIN))
    except ValidationError as error:
        reasons = " ".join(error.messages)
        raise InvalidInput(f"ADMIN_PASSWORD is too weak. {reasons}") from None
    if password.lower() in KNOWN_PASSWORDS:
        raise InvalidInput("ADMIN_PASSWORD is a known default; choose another.")


def first_run(password: str | None = None) -> FirstRun:
    """Make the first person, a demo organization and a token, unless there is one.

    All organizations must be bound, and one caller at a time. Raises InvalidInput for a
    weak password, even where it is not needed any more.
    """
    if password is not None:
        refuse_weak(password)
    if User.objects.filter(is_superuser=True).exists():
        return FirstRun(created=False)
    password = password or secrets.token_urlsafe(18)
    admin = User.objects.create_superuser(ADMIN, password=password)
    organization = found_organization(DEMO)
    Membership.objects.create(
        organization=organization, user=admin, role=OrganizationRole.OWNER
    )
    found_project(organization, SANDBOX)
    project = found_project(organization, DEMO)
    token = client_token(project, name="first run")
    return FirstRun(created=True, password=password, token=token)
