from __future__ import annotations

from datetime import timedelta
from secrets import token_bytes

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from tenants import models
from tenants.authentication import NewToken, make_token


class UserFactory(DjangoModelFactory):
    class Meta:
        model = models.User

    username = factory.Sequence(lambda n: f"user{n}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.org")


class TenantFactory(DjangoModelFactory):
    """Writes through the plain manager: factories stand outside every tenant."""

    class Meta:
        abstract = True

    @classmethod
    def _create(cls, model_class, *args, **kwargs):
        row = model_class(*args, **kwargs)
        row.save(using="default")
        return row


class OrganizationFactory(TenantFactory):
    class Meta:
        model = models.Organization

    slug = factory.Sequence(lambda n: f"organization-{n}")
    name = factory.LazyAttribute(lambda organization: organization.slug.title())


class MembershipFactory(TenantFactory):
    class Meta:
        model = models.Membership

    organization = factory.SubFactory(OrganizationFactory)
    user = factory.SubFactory(UserFactory)
    role = "member"


class ProjectFactory(TenantFactory):
    class Meta:
        model = models.Project

    organization = factory.SubFactory(OrganizationFactory)
    slug = factory.Sequence(lambda n: f"project-{n}")
    name = factory.LazyAttribute(lambda project: project.slug.title())


class ProjectMemberFactory(TenantFactory):
    class Meta:
        model = models.ProjectMember

    project = factory.SubFactory(ProjectFactory)
    organization = factory.SelfAttribute("project.organization")
    user = factory.SubFactory(UserFactory)
    role = "viewer"


class SupportGrantFactory(TenantFactory):
    class Meta:
        model = models.SupportGrant

    organization = factory.SubFactory(OrganizationFactory)
    staff = factory.SubFactory(UserFactory, is_staff=True)
    reason = "a failing upload, ticket 17"


class ServiceAccountFactory(TenantFactory):
    class Meta:
        model = models.ServiceAccount

    organization = factory.SubFactory(OrganizationFactory)
    name = factory.Sequence(lambda n: f"service-{n}")


def make_api_token(
    holder: models.User | models.ServiceAccount,
    organization: models.Organization,
    *projects: models.Project,
    permissions: tuple[str, ...] = ("*",),
    **fields: object,
) -> NewToken:
    """Store a token for the holder and return it with its text."""
    kind = "u" if isinstance(holder, models.User) else "s"
    token = make_token(kind)
    row = {
        "organization": organization,
        "public_id": token.public_id,
        "digest": token.digest,
        "last_four": token.last_four,
        "kind": kind,
        "name": "test",
        "project_ids": [project.pk for project in projects],
        "permissions": list(permissions),
        "expires_at": timezone.now() + timedelta(days=1),
        "user" if kind == "u" else "service_account": holder,
    }
    models.ApiToken(**{**row, **fields}).save()
    return token


class InvitationFactory(TenantFactory):
    class Meta:
        model = models.Invitation

    organization = factory.SubFactory(OrganizationFactory)
    email = factory.Sequence(lambda n: f"invited{n}@example.org")
    sent_at = factory.LazyFunction(timezone.now)
    expires_at = factory.LazyAttribute(lambda row: row.sent_at + timedelta(days=7))
    shown_digest = factory.LazyFunction(lambda: token_bytes(32))
    mailed_digest = factory.LazyFunction(lambda: token_bytes(32))


class SingleSignOnFactory(TenantFactory):
    class Meta:
        model = models.SingleSignOn

    organization = factory.SubFactory(OrganizationFactory)
