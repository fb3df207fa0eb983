from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin
from django.db import DEFAULT_DB_ALIAS
from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe
from unfold.decorators import display

from mlops.streams import Download, download_response
from mlops.telemetry import line_of
from registry.admin.facts import PartAdmin
from registry.admin.previews import image_response, pickle_badge, preview_panel
from registry.models import PackageFile
from registry.storage import BlobStream, StoredBlob, open_blob
from tenants import sql
from tenants.admin_panels import Panel, code, link, size
from tenants.context import acting, bound_alias, is_unscoped, record

DOWNLOAD = "registry_packagefile_download"
IMAGE = "registry_packagefile_image"


def download_url(file: PackageFile) -> str:
    return reverse(f"admin:{DOWNLOAD}", args=[file.pk])


@admin.register(PackageFile)
class PackageFileAdmin(PartAdmin):
    """Files with their bytes: to be downloaded, and looked at where that is safe."""

    parent = "package"
    ordering = ("-id",)
    list_display = ("name_of", "value_of", "kind", "belongs_to")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        shown = ("name_of", ("value_of", "kind", "belongs_to"), "digest", "bytes_of")
        return [(None, {"fields": [*shown, "key"]})]

    @display(description="Path")
    def name_of(self, row: PackageFile) -> str:
        return row.path

    @display(description="Size")
    def value_of(self, row: PackageFile) -> str:
        return size(row.size_bytes)

    @display(description="Warning")
    def kind(self, row: PackageFile) -> SafeString | str:
        return pickle_badge(row.path)

    @display(description="SHA-256")
    def digest(self, row: PackageFile) -> SafeString | str:
        return code(row.sha256)

    @display(description="Bytes")
    def bytes_of(self, row: PackageFile) -> SafeString:
        return link(download_url(row), "Download")

    def panels(self, request: HttpRequest, row: PackageFile) -> list[Panel]:
        return [preview_panel(row, reverse(f"admin:{IMAGE}", args=[row.pk]))]

    def get_urls(self) -> list[Any]:
        return [
            path("<uuid:pk>/download/", self._page(self.download), name=DOWNLOAD),
            path("<uuid:pk>/image/", self._page(self.image), name=IMAGE),
            *super().get_urls(),
        ]

    def _page(self, view: Any) -> Any:
        page: Any = self.admin_site.admin_view(require_safe(view))
        page.model_admin = self
        return page

    def download(self, request: HttpRequest, pk: Any) -> HttpResponseBase:
        """Send the file as any client gets it; the trail tells who of the staff did."""
        file = self._file(request, pk)
        if is_unscoped():
            bind_to_owner(request, file)
        record("artifact.downloaded", target=file, path=file.path)
        read = partial(read_file, file)
        name = file.path.rpartition("/")[2]
        return download_response(
            request, Download(name, file.size_bytes, file.sha256, read)
        )

    def image(self, request: HttpRequest, pk: Any) -> HttpResponseBase:
        return image_response(self._file(request, pk))

    def _file(self, request: HttpRequest, pk: Any) -> PackageFile:
        """Raises Http404 for what the person may not see, too."""
        if not self.has_view_permission(request):
            raise Http404
        file: PackageFile | None = self.get_queryset(request).filter(pk=pk).first()
        if file is None:
            raise Http404
        return file


def bind_to_owner(request: HttpRequest, file: PackageFile) -> None:
    """Superusers work across organizations; the entry belongs into the file's own."""
    request_line = line_of(request)
    using = bound_alias() or DEFAULT_DB_ALIAS
    sql.bind(using, str(file.organization_id), str(acting()), request_line, "admin")


def read_file(file: PackageFile, start: int, length: int) -> BlobStream:
    blob = StoredBlob(file.sha256, file.size_bytes)
    return BlobStream(
        open_blob(file.organization_id, blob),
        start=start,
        length=length,
        sha256=file.sha256,
        organization=file.organization_id,
    )
