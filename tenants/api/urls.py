"""REST below /api/v1/: its description, organizations, and what belongs to them."""

from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from tenants.api import invitations, leaks, openapi, single_sign_on, viewsets

of_organization = SimpleRouter(use_regex_path=False)
of_organization.register("projects", viewsets.ProjectsViewSet, "project")
of_organization.register("members", viewsets.MemberViewSet, "member")
of_organization.register("invitations", invitations.InvitationViewSet, "invitation")
of_organization.register("tokens", viewsets.TokenViewSet, "token")
of_organization.register(
    "service-accounts", viewsets.ServiceAccountViewSet, "service-account"
)

of_organization.register(
    "support-grants", viewsets.SupportGrantViewSet, "support-grant"
)

of_project = SimpleRouter(use_regex_path=False)
of_project.register("members", viewsets.ProjectMemberViewSet, "project-member")

organizations = viewsets.OrganizationViewSet.as_view({"get": "list"})
organization = viewsets.OrganizationViewSet.as_view(
    {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}
)
restore = viewsets.OrganizationViewSet.as_view({"post": "restore"})

sign_on = single_sign_on.SingleSignOnViewSet.as_view(
    {"get": "retrieve", "patch": "partial_update"}
)

OF_ORGANIZATION = "organizations/<slug:organization>/"
OF_PROJECT = OF_ORGANIZATION + "projects/<slug:project>/"

urlpatterns = [
    path("schema/", openapi.schema, name="schema"),
    path("docs/", openapi.documentation, name="docs"),
    path("token-leaks/", leaks.report, name="token-leaks"),
    path("organizations/", organizations, name="organization-list"),
    path(OF_ORGANIZATION, organization, name="organization-detail"),
    path(OF_ORGANIZATION + "restore/", restore, name="organization-restore"),
    path(OF_ORGANIZATION + "single-sign-on/", sign_on, name="single-sign-on"),
    path(OF_ORGANIZATION, include(of_organization.urls)),
    path(OF_PROJECT, include(of_project.urls)),
]
