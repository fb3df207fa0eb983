"""The command erase_person, as far as it needs nothing but accounts."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import call_command

from mlops.cli import UsageError
from tenants.models import Membership, User
from tenants.services import erasure


@pytest.fixture(autouse=True)
def log_file(settings, tmp_path):
    settings.ERASURES_FILE = str(tmp_path / "erasures.jsonl")
    return tmp_path / "erasures.jsonl"


def erase(*words: str, reason: str = "asked by mail") -> dict:
    out = io.StringIO()
    call_command("erase_person", *words, "--reason", reason, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_an_account_without_organizations_is_emptied(cast):
    Membership._base_manager.filter(user=cast.bob).delete()
    told = erase("bob", "--yes")
    assert told["people"][0]["id"] == str(cast.bob.pk)
    cast.bob.refresh_from_db()
    assert cast.bob.username == erasure.invented_name(cast.bob.pk)
    assert cast.bob.email == ""


def test_an_erased_name_is_free_for_another_person(cast):
    erase("bob", "--yes")
    assert User.objects.create_user("bob").pk != cast.bob.pk


def test_it_asks_before_it_erases(cast):
    with pytest.raises(UsageError, match="Erase bob for good"):
        erase("bob")
    cast.bob.refresh_from_db()
    assert cast.bob.username == "bob"
