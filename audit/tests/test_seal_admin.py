from __future__ import annotations

import json

import pytest
from django.db import connection

from audit import anchors
from audit.models import Anchor, AuditLog
from audit.tests.factories import make_seal
from audit.tests.sealed import ids_of, seal, seals_of, write
from audit.tests.trail import run
from mlops.db.uuid7 import uuid7
from tenants.tests.superuser import page_of, shown, superuser

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sealing_key"),
]


def test_pages_show_seals_and_by_which_an_entry_is_covered(settings, tmp_path):
    settings.AUDIT_ANCHORS = [f"file:{tmp_path / 'anchors.jsonl'}"]
    organization = uuid7()
    write(organization, 2)
    run("SELECT audit_append(%s, NULL, 'a.b.c', 'ok', '', NULL, '', NULL, NULL)", None)
    seal()
    anchors.anchor_all(connection)
    (sealed,) = seals_of(organization)
    root = superuser()
    page = shown(root.listed("audit_seal"))
    assert page_of(sealed) in page
    assert bytes(sealed.hash).hex()[:16] in page
    page = shown(root.get(page_of(sealed)))
    assert bytes(sealed.root).hex() in page
    assert shown(root.listed("audit_seal", n="7")).count("mp-code") == 0

    entry = AuditLog._base_manager.get(pk=ids_of(organization)[1])
    page = shown(root.get(page_of(entry)))
    assert page_of(sealed) in page
    assert f"prove_audit_entry {entry.pk}" in page
    write(organization)
    entry = AuditLog._base_manager.get(pk=ids_of(organization)[2])
    assert "in no seal yet" in shown(root.get(page_of(entry)))

    assert str(tmp_path) in shown(root.listed("audit_anchor"))
    anchor = Anchor.objects.get()
    line = shown(root.get(page_of(anchor)))
    assert json.loads(anchor.line)["signature"] in line


def test_a_seal_of_an_unknown_key_is_marked():
    sealed = make_seal(None)
    assert "not trusted" in shown(superuser().get(page_of(sealed)))


def test_nobody_changes_a_seal():
    sealed = make_seal(None)
    root = superuser()
    for page in ("change", "delete"):
        assert root.post(page_of(sealed, page), {"n": "2"}).status_code == 403
