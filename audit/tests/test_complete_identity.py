"""Each entry says which row it is about, whatever the row is called by."""

from __future__ import annotations

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group

from audit.folding import fold
from audit.tests.trail import entries, run
from mlops.db.uuid7 import uuid7
from tenants.tests.factories import ServiceAccountFactory

pytestmark = pytest.mark.django_db


def test_update_of_a_numbered_row_says_its_number():
    """Two groups may be renamed in one transaction: the label does not tell them."""
    one, other = (Group.objects.create(name=name) for name in ("one", "other"))
    for group in (one, other):
        Group.objects.filter(pk=group.pk).update(name=f"{group.name} renamed")
    told = [(e.before, e.after) for e in entries(action="auth.group.updated")]
    assert told == [
        ({"id": one.pk, "name": "one"}, {"id": one.pk, "name": "one renamed"}),
        ({"id": other.pk, "name": "other"}, {"id": other.pk, "name": "other renamed"}),
    ]


def test_update_of_a_numbered_row_names_no_person(cast):
    row = EmailAddress.objects.create(user=cast.alice, email="alice@example.org")
    row.verified = True
    row.save()
    (entry,) = entries(action="account.email_address.updated")
    assert entry.before == {"id": row.pk, "verified": False}
    assert entry.after == {"id": row.pk, "verified": True}


def test_row_under_another_id_is_told_as_an_end_and_a_beginning():
    account = ServiceAccountFactory(name="nightly")
    other = uuid7()
    statement = "UPDATE service_accounts SET id = %s, name = 'other' WHERE id = %s"
    run(statement, other, account.pk)
    ended = entries(object_id=account.pk)
    begun = entries(object_id=other)
    assert [e.action for e in ended] == [
        "tenants.service_account.created",
        "tenants.service_account.deleted",
    ]
    assert [e.action for e in begun] == ["tenants.service_account.created"]
    assert ended[-1].before["name"] == "nightly"
    assert (ended[-1].object_label, begun[0].object_label) == ("nightly", "other")
    assert fold(ended) is None
    assert (fold(begun) or {})["id"] == str(other)


def test_update_of_a_row_with_a_uuid_says_its_id_once():
    account = ServiceAccountFactory(name="nightly")
    run("UPDATE service_accounts SET name = 'other' WHERE id = %s", account.pk)
    entry = entries(object_id=account.pk)[-1]
    assert (entry.before, entry.after) == ({"name": "nightly"}, {"name": "other"})
