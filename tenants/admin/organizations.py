from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
)
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelect2MultipleWidget

from tenants.admin.base import Dated, Restorable, TenantAdmin
from tenants.admin.forms import OrganizationField, person_field
from tenants.admin.members import holder, role_badge
from tenants.admin_lists import DeletedFilter
from tenants.admin_panels import (
    Panel,
    badge,
    link,
    link_to,
    links,
    list_url,
    stack,
    when,
)
from tenants.models import (
    Feature,
    Membership,
    Organization,
    Project,
    ProjectCounter,
    ProjectMember,
)
from tenants.services import organizations, projects


class NewOrganization(ModelForm):
    owner = person_field(
        required=False, help_text="Who runs it; nobody may enter without."
    )


@admin.register(Organization)
class OrganizationAdmin(Restorable, Dated, TenantAdmin):
    list_display = ("title", "projects", "members", "state", "created")
    list_filter = (DeletedFilter,)
    search_fields = ("slug", "name")
    search_help_text = "Id, or start of the slug or name"
    searched = None
    in_palette = True
    ordering = ("-id",)
    editable = (
        "name",
        "storage_limit_bytes",
        "storage_limit_files",
        "retention_days",
        "legal_hold",
        "legal_hold_reason",
        "audit_data_events",
        "metadata",
    )
    add_form = NewOrganization
    add_fieldsets = ((None, {"fields": ("slug", "name", "owner")}),)
    fieldsets = (
        (None, {"fields": (("name", "slug"), ("state", "created", "updated"), "key")}),
        ("Storage", {"fields": (("storage_limit_bytes", "storage_limit_files"),)}),
        (
            "Keeping",
            {"fields": ("retention_days", ("legal_hold", "legal_hold_reason"))},
        ),
        ("Audit", {"fields": ("audit_data_events",)}),
        ("Metadata", {"fields": ("metadata",), "classes": ("collapse",)}),
    )
    delete_service = staticmethod(organizations.delete_organization)
    restore_service = staticmethod(organizations.restore_organization)
    consequence = "Nobody of it can enter any more, until it is restored here."

    def create_row(self, **values: Any) -> Organization:
        return organizations.create_organization(**values)

    def change_row(self, row: Organization, **changes: Any) -> Organization:
        return organizations.update_organization(row, **changes)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows = super().get_queryset(request)
        return rows.annotate(
            project_count=count_of(Project), member_count=count_of(Membership)
        )

    @display(description="Organization", header=True)
    def title(self, row: Organization) -> list[str]:
        return [row.name, row.slug, row.name[:2]]

    @display(description="Projects")
    def projects(self, row: Any) -> str:
        address = list_url("tenants_project", organization__id__exact=row.pk)
        return link(address, row.project_count or 0)

    @display(description="Members")
    def members(self, row: Any) -> str:
        address = list_url("tenants_membership", organization__id__exact=row.pk)
        return link(address, row.member_count or 0)

    def panels(self, request: HttpRequest, row: Organization) -> list[Panel]:
        mine = {"organization__id__exact": row.pk}
        people = newest(Membership, row).select_related("user")
        return [
            Panel(
                "Projects",
                ("Project", "Members may", "Created"),
                [project_line(project) for project in newest(Project, row)],
                link=list_url("tenants_project", **mine),
            ),
            Panel(
                "Members",
                ("Person", "Role", "Since"),
                [member_line(member) for member in people],
                link=list_url("tenants_membership", **mine),
            ),
            links("What is in it", {**LISTS, **ACCESS}, **mine),
            links("Audit", {"Audit logs": "audit_auditlog"}, organization=row.pk),
        ]


def count_of(model: type[models.Model]) -> Subquery:
    """Count the live rows of the outer organization, by the index they have for it."""
    rows = model._default_manager.filter(organization_id=OuterRef("pk"))
    grouped = rows.order_by().values("organization_id")
    return Subquery(grouped.annotate(count=Count("pk")).values("count"))


def newest(model: type[models.Model], organization: Organization) -> QuerySet:
    rows = model._default_manager.filter(organization_id=organization.pk)
    return rows.order_by("-id")[:10]


def project_line(project: Project) -> list[Any]:
    name = stack(link_to(project, project.name), project.slug)
    return [name, project.get_default_role_display(), when(project.created_at)]


def member_line(member: Membership) -> list[Any]:
    person = stack(link_to(member.user), member.user.email)
    return [person, role_badge(member), when(member.created_at)]


# Lists of the apps above, by the names of their addresses.
LISTS = {
    "Experiments": "registry_experiment",
    "Runs": "registry_run",
    "Logged models": "registry_loggedmodel",
    "Evaluation datasets": "registry_evaluationdataset",
    "Registered models": "registry_registeredmodel",
    "Model versions": "registry_modelversion",
    "Packages": "registry_package",
    "Storage usage": "registry_storageusage",
    "Protection rules": "registry_packageprotectionrule",
    "Deployments": "registry_deployment",
    "Alerts": "monitoring_alert",
    "Alert rules": "monitoring_alertrule",
    "Drift reports": "monitoring_driftreport",
}
ACCESS = {"API tokens": "tenants_apitoken", "Accounts": "tenants_serviceaccount"}


class NewProject(ModelForm):
    in_organization = OrganizationField()


class SwitchedProject(ModelForm):
    switched_off = forms.MultipleChoiceField(
        choices=Feature.choices,
        required=False,
        widget=UnfoldAdminSelect2MultipleWidget,
        help_text="Features whose every address answers 404, whoever asks.",
    )


@admin.register(Project)
class ProjectAdmin(Restorable, Dated, TenantAdmin):
    list_display = (
        "title",
        "of_organization",
        "experiments",
        "runs",
        "members_may",
        "state",
        "created",
    )
    list_filter = (
        ("organization", AutocompleteSelectFilter),
        ("default_role", ChoicesDropdownFilter),
        DeletedFilter,
    )
    list_select_related = ("organization",)
    search_fields = ("slug", "name")
    search_help_text = "Id, or start of the slug or name"
    searched = None
    in_palette = True
    editable = (
        "name",
        "description",
        "default_role",
        "switched_off",
        "protected_aliases",
        "viewers_download",
        "duplicate_files",
        "storage_limit_bytes",
        "storage_limit_files",
        "metadata",
    )
    change_form = SwitchedProject
    add_form = NewProject
    add_fieldsets = (
        (
            None,
            {
                "fields": (
                    "in_organization",
                    ("slug", "name"),
                    "default_role",
                    "description",
                )
            },
        ),
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "slug"),
                    ("of_organization", "default_role"),
                    ("switched_off", "viewers_download"),
                    "protected_aliases",
                    "description",
                    ("state", "created", "updated"),
                    "key",
                )
            },
        ),
        (
            "Storage",
            {
                "fields": (
                    ("storage_limit_bytes", "storage_limit_files"),
                    "duplicate_files",
                )
            },
        ),
        ("Metadata", {"fields": ("metadata",), "classes": ("collapse",)}),
    )
    delete_service = staticmethod(projects.delete_project)
    restore_service = staticmethod(projects.restore_project)
    consequence = "All in it is out of reach with it, until it is restored here."

    def create_row(self, *, in_organization: Organization, **values: Any) -> Project:
        return projects.create_project(in_organization, **values)

    def change_row(self, row: Project, **changes: Any) -> Project:
        return projects.update_project(row, **changes)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows = super().get_queryset(request)
        return rows.annotate(
            experiment_number=numbers_given("experiment"),
            run_number=numbers_given("run"),
        )

    def label_of(self, row: Project) -> str:
        return f"{row.organization.slug} / {row.slug}"

    @display(description="Project", header=True)
    def title(self, row: Project) -> list[str]:
        return [row.name, row.slug]

    @display(description="Members may")
    def members_may(self, row: Project) -> str:
        role = row.get_default_role_display()
        return badge(role, "" if row.default_role == "none" else "info")

    @display(description="Experiments")
    def experiments(self, row: Any) -> str:
        address = list_url("registry_experiment", project__id__exact=row.pk)
        return link(address, f"{(row.experiment_number or 1) - 1:,}")

    @display(description="Runs")
    def runs(self, row: Any) -> str:
        address = list_url("registry_run", project__id__exact=row.pk)
        return link(address, f"{(row.run_number or 1) - 1:,}")

    def panels(self, request: HttpRequest, row: Project) -> list[Panel]:
        members = ProjectMember.objects.filter(
            organization_id=row.organization_id,
            project_id=row.pk,
        ).select_related("user", "service_account")
        return [
            Panel(
                "Members",
                ("Who", "Role", "Since"),
                [
                    [holder(member), role_badge(member), when(member.created_at)]
                    for member in members.order_by("-id")[:20]
                ],
                link=list_url("tenants_projectmember", project__id__exact=row.pk),
                empty="Owners and admins of the organization are in by their role.",
            ),
            links("What is in it", LISTS, project__id__exact=row.pk),
        ]


def numbers_given(kind: str) -> Subquery:
    """The next number of the kind: how many there ever were, without counting them."""
    counter = ProjectCounter.objects.filter(
        organization_id=OuterRef("organization_id"),
        project_id=OuterRef("pk"),
        kind=kind,
    )
    return Subquery(counter.values("next_value")[:1])
