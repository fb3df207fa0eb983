"""docs/permissions.md shows the table that the server weighs requests by."""

from __future__ import annotations

from io import StringIO

from django.conf import settings
from django.core.management import call_command

from tenants.models import Feature
from tenants.permissions import OPT_IN, ROLES, Permission


def test_the_page_has_the_table_as_it_is_printed():
    printed = StringIO()
    call_command("permissions", "--markdown", stdout=printed)
    page = (settings.BASE_DIR / "docs" / "permissions.md").read_text()
    assert len(printed.getvalue().splitlines()) == len(Permission) + 2
    assert printed.getvalue().strip() in page


def test_a_service_account_names_whatever_an_editor_may_not():
    of_project = [name for name in ROLES if "maintainer" in ROLES[name]]
    beyond = {name for name in of_project if "editor" not in ROLES[name]}
    assert beyond <= OPT_IN


def test_every_feature_is_the_first_word_of_a_permission():
    words = {name.partition(":")[0] for name in Permission.values}
    assert set(Feature.values) <= words
