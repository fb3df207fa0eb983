"""Packages in the browser admin: pages, downloads, safe previews, protection rules."""

from __future__ import annotations

import io

import pytest
from django.urls import reverse

from audit.models import AuditLog
from registry.admin.previews import TEXT_BYTES, image_type, text_of
from registry.models import Package, PackageProtectionRule, StorageUsage
from registry.storage import put_blob
from registry.tests.factories import (
    BlobFactory,
    LoggedModelFactory,
    PackageFactory,
    PackageFileFactory,
    RunFactory,
    candidate_package,
    model_package,
)
from tenants.tests.superuser import AdminClient, superuser

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 20


pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def root(db) -> AdminClient:
    return superuser()


@pytest.fixture
def package(cast) -> Package:
    return PackageFactory(project=cast.fraud, name="tool")


def stored(package: Package, path: str, content: bytes):
    put = put_blob(package.organization_id, io.BytesIO(content), max_bytes=10**8)
    blob = BlobFactory(
        organization=package.organization,
        sha256=put.sha256,
        size_bytes=put.size_bytes,
    )
    return PackageFileFactory(package=package, path=path, blob=blob)


def change(row) -> str:
    name = f"admin:registry_{type(row)._meta.model_name}_change"
    return reverse(name, args=[row.pk])


def page(root, row) -> str:
    response = root.get(change(row))
    assert response.status_code == 200
    return response.content.decode()


def test_a_packages_page_shows_its_first_files_and_leads_to_all(root, package):
    for number in range(60):
        PackageFileFactory(package=package, path=f"f{number:02}.txt")
    html = page(root, package)
    assert "f49.txt" in html
    assert "f50.txt" not in html
    assert f"/admin/registry/packagefile/?package={package.pk}" in html
    assert html.count(">Download</a>") == 50


def test_a_page_costs_the_same_for_any_number_of_files(root, package):
    costs = []
    for more in (1, 19, 80):
        PackageFileFactory.create_batch(more, package=package)
        costs.append(root.get(change(package))["X-Query-Count"])
    assert len({*costs}) == 1


@pytest.mark.parametrize(
    "path,warned",
    [
        ("model.pkl", True),
        ("a/python_model.PKL", True),
        ("a/weights.pth", True),
        ("model.joblib", True),
        ("model.onnx", False),
        ("pickle.txt", False),
    ],
)
def test_files_that_run_code_are_marked_by_their_names(root, package, path, warned):
    file = PackageFileFactory(package=package, path=path)
    assert ("contains pickle" in page(root, package)) is warned
    listed = root.get(reverse("admin:registry_package_changelist"))
    assert ("contains pickle" in listed.content.decode()) is warned
    if warned:
        # Its bytes are not in the store: a look at them would fail.
        html = page(root, file)
        assert "contains pickle" in html
        assert "not opened" in html


def test_a_package_leads_to_the_row_that_it_belongs_to(root, cast):
    run = RunFactory(experiment__project=cast.fraud, name="night run")
    model = LoggedModelFactory(experiment=run.experiment, name="forest")
    assert change(run) in page(root, candidate_package(run))
    assert change(model) in page(root, model_package(model))


def test_text_is_shown_as_text(root, package):
    file = stored(package, "x.html", "<script>alert('größe')</script>\n".encode())
    html = page(root, file)
    assert "&lt;script&gt;alert(&#x27;größe&#x27;)&lt;/script&gt;" in html
    assert "<script>alert" not in html


def test_only_the_beginning_of_a_long_text_is_shown(root, package):
    file = stored(package, "x.log", b"a" * (TEXT_BYTES - 1) + "ß".encode() + b"END")
    html = page(root, file)
    assert "the first 64 kB" in html
    assert "END" not in html


@pytest.mark.parametrize("content", [b"\x00\x01", b"\xff\xfe", b"a\x1b[31m"])
def test_what_is_neither_text_nor_picture_is_not_shown(root, package, content):
    assert "Neither text nor a picture." in page(root, stored(package, "x", content))


def image_of(root, file):
    return root.get(reverse("admin:registry_packagefile_image", args=[file.pk]))


def test_a_picture_is_delivered_as_nothing_but_a_picture(root, package):
    file = stored(package, "evil.html", PNG)
    address = reverse("admin:registry_packagefile_image", args=[file.pk])
    assert f'src="{address}"' in page(root, file)
    response = image_of(root, file)
    assert (response.status_code, response.content) == (200, PNG)
    assert response["Content-Type"] == "image/png"
    assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert response["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path,content",
    [
        ("x.png", b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>"),
        ("x.svg", b"<svg/>"),
        ("x.png", b"<html>"),
        ("x.pkl", PNG),
        ("big.png", PNG + b"\x00" * 5 * 1024**2),
    ],
)
def test_what_is_no_safe_picture_is_not_delivered(root, package, path, content):
    file = stored(package, path, content)
    assert image_of(root, file).status_code == 404
    assert "mp-picture" not in page(root, file)


@pytest.mark.parametrize(
    "head,kind",
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVE", ""),
        (b"BM", ""),
        (b"", ""),
    ],
)
def test_a_picture_is_known_by_its_first_bytes(head, kind):
    assert image_type(head) == kind


def test_a_character_that_was_cut_off_does_not_spoil_a_text():
    assert text_of("aß".encode()[:-1], is_whole=False) == "a"
    assert text_of("aß".encode()[:-1], is_whole=True) is None


def test_a_download_by_staff_is_whole_and_recorded(root, package):
    file = stored(package, "bin/a.txt", b"bytes")
    address = reverse("admin:registry_packagefile_download", args=[file.pk])
    response = root.get(address)
    assert b"".join(response) == b"bytes"
    assert response["Content-Disposition"] == 'attachment; filename="a.txt"'
    entry = AuditLog._base_manager.filter(action="artifact.downloaded").get()
    assert (entry.object_id, entry.organization_id) == (
        file.pk,
        package.organization_id,
    )


def test_a_stranger_gets_no_bytes_from_the_admin(client, package):
    file = stored(package, "a", b"secret")
    for name in ("download", "image"):
        address = reverse(f"admin:registry_packagefile_{name}", args=[file.pk])
        response = client.get(address)
        assert response.status_code == 302
        assert "/admin/login/" in response["Location"]


def test_staff_change_the_status_delete_and_restore(root, package):
    response = root.post(change(package), {"status": "hidden"})
    assert response.status_code == 302, response.content
    package.refresh_from_db()
    assert package.status == "hidden"
    address = reverse("admin:registry_package_changelist")
    for action, status in [
        ("delete_rows", "pending_destruction"),
        ("restore_rows", "hidden"),
    ]:
        asked = {"action": action, "_selected_action": [str(package.pk)]}
        root.post(address, {**asked, "confirmed": "1"})
        package.refresh_from_db()
        assert package.status == status


def test_staff_add_change_and_delete_protection_rules(root, cast):
    address = reverse("admin:registry_packageprotectionrule_add")
    given = {
        "project": str(cast.fraud.pk),
        "name_pattern": "release-*",
        "push_role": "maintainer",
    }
    response = root.post(address, given)
    assert response.status_code == 302, response.content
    rule = PackageProtectionRule._base_manager.get()
    assert (rule.organization_id, rule.push_role) == (cast.acme.pk, "maintainer")
    refused = root.post(change(rule), {"name_pattern": "release-*", "push_role": ""})
    assert "Name at least one role" in refused.content.decode()
    root.post(change(rule), {"name_pattern": "r-*", "push_role": "owner"})
    rule.refresh_from_db()
    assert (rule.name_pattern, rule.push_role) == ("r-*", "owner")
    listed = reverse("admin:registry_packageprotectionrule_changelist")
    asked = {"action": "delete_rules", "_selected_action": [str(rule.pk)]}
    root.post(listed, {**asked, "confirmed": "1"})
    assert not PackageProtectionRule._base_manager.exists()


@pytest.mark.parametrize("model", ["packageprotectionrule", "storageusage"])
def test_lists_cost_the_same_for_any_number_of_rows(root, cast, model):
    costs = []
    for more in (1, 20):
        for number in range(more):
            package = PackageFactory()
            PackageFileFactory(package=package)
            PackageProtectionRule(
                organization=package.organization,
                project=package.project,
                name_pattern=f"{more}-{number}",
                push_role="owner",
            ).save()
        response = root.get(reverse(f"admin:registry_{model}_changelist"))
        assert response.status_code == 200
        costs.append(response["X-Query-Count"])
    assert len({*costs}) == 1


def test_limits_are_set_and_usage_is_shown(root, cast, package):
    PackageFileFactory(package=package)
    address = reverse("admin:tenants_organization_change", args=[cast.acme.pk])
    limits = {"storage_limit_bytes": "1000", "retention_days": "30"}
    given = {"name": "Acme", "metadata": "{}", **limits}
    assert root.post(address, given).status_code == 302
    cast.acme.refresh_from_db()
    assert cast.acme.storage_limit_bytes == 1000
    html = page(root, StorageUsage._base_manager.get(project=cast.fraud))
    assert "3 B" in html
