"""Packages: lists, pages, deletion; their protection rules; what they may hold."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from mlops.errors import Forbidden, InvalidInput
from registry.api import serializers
from registry.api.filters import OrganizationPackageFilterSet, PackageFilterSet
from registry.models import Package, PackageProtectionRule, StorageUsage
from registry.services import packages, protection, storage_usage
from registry.storage import ArtifactKey
from tenants.api.base import (
    ChangeMixin,
    ProjectViewSet,
    ReadMixin,
    RestoreMixin,
    TenantViewSet,
    changes_of,
)
from tenants.models import Feature, Project
from tenants.permissions import ADMINS, Permission, lends

# By the indexes packages_of_project, packages_live_name, packages_by_version and
# packages_by_type.
ORDERS: dict[str, tuple[str, ...]] = {
    "created": ("id",),
    "name": ("name", "version", "id"),
    "version": ("version", "id"),
    "type": ("type", "id"),
}
NEWEST = "-created"
FOLDER = OpenApiParameter(
    "folder", OpenApiTypes.STR, description="Only what lies in this folder."
)
OF_FILES = [
    OpenApiParameter("limit", OpenApiTypes.INT, description="Files per page."),
    OpenApiParameter("cursor", OpenApiTypes.STR, description="Of the files."),
    OpenApiParameter(
        "prefix", OpenApiTypes.STR, description="How the paths of the files begin."
    ),
]


@extend_schema_view(
    list=extend_schema(
        parameters=[
            OpenApiParameter(
                "order",
                OpenApiTypes.STR,
                enum=sorted({*ORDERS, *(f"-{name}" for name in ORDERS)}),
                description=f"{NEWEST} if left out; a minus turns the order around.",
            )
        ]
    )
)
class PackageViewSet(ReadMixin, ChangeMixin, RestoreMixin, ProjectViewSet):
    """Packages with what they hold in sum; the first file that is put makes one."""

    queryset = Package.objects.with_deleted()
    serializer_class = serializers.PackageSerializer
    filterset_class = PackageFilterSet
    parameters = {
        "list": frozenset({"order"}),
        "retrieve": frozenset({"limit", "cursor", "prefix"}),
        "manifest": frozenset({"folder"}),
    }
    needs = {
        "list": Permission.ARTIFACTS_READ,
        "retrieve": Permission.ARTIFACTS_READ,
        "manifest": Permission.ARTIFACTS_READ,
        "partial_update": Permission.ARTIFACTS_WRITE,
        "destroy": Permission.ARTIFACTS_DELETE,
        "restore": Permission.ARTIFACTS_DELETE,
    }
    # Of these a deleted package may be the subject.
    MARKED = ("list", "destroy", "restore")

    def get_queryset(self) -> Any:
        rows = super().get_queryset()
        return (rows if self.action in self.MARKED else rows.live()).with_totals()

    @property
    def keyset(self) -> tuple[str, ...]:
        """What is paged: the packages, or the files of one."""
        if self.action == "retrieve":
            return ("path",)
        asked = self.request.query_params.get("order", NEWEST)
        fields = ORDERS.get(asked.removeprefix("-"))
        if fields is None:
            raise InvalidInput(
                f"order={asked[:50]!r}: use {', '.join(ORDERS)}, or one of them after"
                " a minus."
            )
        return tuple(f"-{f}" for f in fields) if asked.startswith("-") else fields

    @extend_schema(parameters=OF_FILES, responses=serializers.PackageDetailSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        package = self.get_object()
        files = package.files.all()
        if prefix := request.query_params.get("prefix"):
            files = files.filter(path__startswith=prefix)
        page = self.paginate_queryset(files)
        paginator: Any = self.paginator
        package.file_page = {"results": page, "next": paginator.next_link()}
        return Response(serializers.PackageDetailSerializer(package).data)

    @extend_schema(parameters=[FOLDER], responses=serializers.ManifestSerializer)
    @action(detail=True)
    def manifest(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """All files with their digests, as the archive has them."""
        package = self.get_object()
        folder = request.query_params.get("folder", "").removesuffix("/")
        found = packages.files_below(
            package, ArtifactKey(folder).path if folder else ""
        )
        shown = {
            "name": package.name,
            "version": package.version,
            "folder": folder,
            "file_count": len(found),
            "total_bytes": sum(file.size_bytes for file in found),
            "files": found,
        }
        return Response(serializers.ManifestSerializer(shown).data)

    def perform_update(self, serializer: Any) -> None:
        packages.update_package(serializer.instance, **changes_of(serializer))

    def perform_destroy(self, package: Package) -> None:
        packages.delete_package(package)

    def perform_restore(self, package: Package) -> None:
        packages.restore_package(package)


class OrganizationPackageViewSet(mixins.ListModelMixin, TenantViewSet):
    """Packages of all projects whose artifacts the caller may read, newest first."""

    queryset = Package.objects.with_deleted().select_related("project")
    serializer_class = serializers.OrganizationPackageSerializer
    filterset_class = OrganizationPackageFilterSet
    needs = {"list": Permission.ORGANIZATION_READ}

    def within_reach(self, rows: Any) -> Any:
        if not lends(self.actor, Permission.ARTIFACTS_READ):
            raise Forbidden(
                f"Listing packages needs the permission {Permission.ARTIFACTS_READ}."
            )
        projects = Project.objects.visible_to(self.actor)
        tracking = projects.exclude(switched_off__contains=[Feature.TRACKING])
        return rows.filter(project__in=tracking).with_totals()


class ProtectionRuleViewSet(
    ReadMixin,
    mixins.CreateModelMixin,
    ChangeMixin,
    mixins.DestroyModelMixin,
    ProjectViewSet,
):
    """Who may push to which packages, and who may delete from them."""

    queryset = PackageProtectionRule.objects.all()
    serializer_class = serializers.ProtectionRuleSerializer
    needs = {
        "list": Permission.ARTIFACTS_READ,
        "retrieve": Permission.ARTIFACTS_READ,
        "create": Permission.PROJECT_ADMIN,
        "partial_update": Permission.PROJECT_ADMIN,
        "destroy": Permission.PROJECT_ADMIN,
    }

    def perform_create(self, serializer: Any) -> None:
        asked = changes_of(serializer)
        serializer.instance = protection.create_rule(self.project, **asked)

    def perform_update(self, serializer: Any) -> None:
        protection.update_rule(serializer.instance, **changes_of(serializer))

    def perform_destroy(self, rule: PackageProtectionRule) -> None:
        protection.delete_rule(rule)


class StorageViewSet(ProjectViewSet):
    """What the packages of the project hold, and what they may."""

    queryset = StorageUsage.objects.all()
    serializer_class = serializers.StorageSerializer
    pagination_class = None
    needs = {"retrieve": Permission.ARTIFACTS_READ}

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Of all projects together only who rules over all of them hears."""
        storage = storage_usage.storage_of(self.project)
        whole = storage.organization if self.actor.roles & ADMINS else None
        shown = {"project": storage.project, "organization": whole}
        return Response(self.get_serializer(shown).data)
