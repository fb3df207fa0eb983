from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.utils import timezone

from audit.folding import (
    Contradiction,
    agree,
    differences,
    fold,
    present_rows,
    same,
)
from audit.models import AuditLog
from audit.tests.trail import entries, run
from mlops.db.uuid7 import uuid7
from registry.models import Alias, ModelVersion
from registry.tests.factories import ModelVersionFactory, RunFactory
from tenants.models import ApiToken, User
from tenants.tests.factories import UserFactory, make_api_token

SOMETHING = UUID("01890000-0000-7000-8000-000000000001")


def told(verb: str, before=None, after=None, second: int = 0) -> AuditLog:
    """An entry of a model version, as the trail would hold it."""
    return AuditLog(
        id=uuid7(),
        created_at=datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC),
        action=f"registry.model_version.{verb}",
        object_type="model_versions",
        object_id=SOMETHING,
        before=before,
        after=after,
    )


CREATED = told("created", None, {"stage": "None", "version": 1})

HISTORIES = [
    ("nothing", [], None),
    ("created", [CREATED], {"stage": "None", "version": 1}),
    (
        "updated",
        [CREATED, told("updated", {"stage": "None"}, {"stage": "Archived"}, 1)],
        {"stage": "Archived", "version": 1},
    ),
    (
        "deleted and restored",
        [
            CREATED,
            told("soft_deleted", {"stage": "None"}, {"stage": "gone"}, 1),
            told("restored", {"stage": "gone"}, {"stage": "None"}, 2),
        ],
        {"stage": "None", "version": 1},
    ),
    (
        "deleted for good",
        [CREATED, told("deleted", {"stage": "None", "version": 1}, None, 1)],
        None,
    ),
    (
        "deleted and made anew",
        [
            CREATED,
            told("deleted", {"version": 1}, None, 1),
            told("created", None, {}, 2),
        ],
        {},
    ),
    (
        "known from its middle",
        [told("updated", {"stage": "None"}, {"stage": "Production"})],
        {"stage": "Production"},
    ),
]


@pytest.mark.parametrize("_case,history,expected", HISTORIES)
def test_fold_lays_entries_over_one_another(_case, history, expected):
    assert fold(history) == expected
    assert fold(reversed(history)) == expected


CONTRADICTIONS = [
    ("made twice", [CREATED, told("created", None, {}, 1)], "there already"),
    (
        "changed after it went",
        [CREATED, told("deleted", {}, None, 1), told("updated", {}, {}, 2)],
        "not there",
    ),
    (
        "a change between is missing",
        [CREATED, told("updated", {"stage": "Staging"}, {"stage": "Archived"}, 1)],
        "stage was not what it says",
    ),
    (
        "gone as something else",
        [CREATED, told("deleted", {"version": 2}, None, 1)],
        "version was not",
    ),
    ("no such verb", [CREATED, told("approved", {}, {}, 1)], "nothing that happens"),
]


@pytest.mark.parametrize("_case,history,message", CONTRADICTIONS)
def test_fold_refuses_entries_that_do_not_follow(_case, history, message):
    with pytest.raises(Contradiction, match=message) as refusal:
        fold(history)
    assert refusal.value.entry is history[-1]


def test_fold_passes_over_what_is_no_change_of_the_row():
    summary = told("created", None, {"count": 3})
    summary.action = "registry.metric.created"
    occurrence = told("created", None, {"rows": 1})
    occurrence.action = "export.finished"
    assert fold([CREATED, summary, occurrence]) == {"stage": "None", "version": 1}


SAME = [
    (1, 1.0, True),
    (1, True, False),
    (0, False, False),
    ("1", 1, False),
    (None, None, True),
    ({"a": [1, {"b": True}]}, {"a": [1.0, {"b": True}]}, True),
    ({"a": [1, {"b": True}]}, {"a": [1, {"b": 1}]}, False),
    ({"a": 1}, {"a": 1, "b": None}, False),
    ([1, 2], [2, 1], False),
]


@pytest.mark.parametrize("one,other,expected", SAME)
def test_values_are_compared_as_jsonb_does(one, other, expected):
    assert same(one, other) is expected
    assert same(other, one) is expected


def test_a_shortened_text_agrees_with_the_text_only():
    short = {
        "shortened": True,
        "size_bytes": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }
    assert agree(short, "abc")
    assert agree("abc", short)
    assert not agree(short, "abd")
    assert not agree(short, {**short, "size_bytes": 4})


def compared(row, **differing) -> list[str]:
    """Compare a row with what its entries tell, after changing it past the triggers."""
    model = type(row)
    if differing:
        run("SET LOCAL session_replication_role = replica")
        model._base_manager.filter(pk=row.pk).update(**differing)
        run("SET LOCAL session_replication_role = origin")
    history = entries(object_type=model._meta.db_table, object_id=row.pk)
    present = present_rows(connection, model, [row.pk]).get(str(row.pk))
    state = fold(history)
    if state is not None and present is not None:
        assert state.keys() == present.keys()
    return differences(state, present)


def update(row, **values) -> None:
    type(row)._base_manager.filter(pk=row.pk).update(**values)


@pytest.mark.django_db
def test_a_row_is_what_its_entries_tell():
    version = ModelVersionFactory(description="é" * 3000)
    assert compared(version) == []
    update(version, stage="Production", description="x" * 5000)
    update(version, deleted_at=timezone.now(), deleted_by=uuid4())
    update(version, description="short")
    assert compared(version) == []


@pytest.mark.django_db
def test_secrets_and_persons_are_compared_by_what_their_entries_tell(cast):
    make_api_token(cast.alice, cast.acme)
    token = ApiToken._base_manager.get()
    update(token, retired_digests=[b"one", b"two"], digest=b"three")
    assert compared(token) == []
    assert compared(RunFactory(user_name="carol")) == []
    assert compared(UserFactory(first_name="", last_name="Ångström")) == []


CHANGED = [
    ("a text", {"description": "other"}, ["description is not what its entries tell"]),
    ("a long text", {"description": "y" * 5000}, ["description is not"]),
    ("two", {"stage": "Staging", "version": 9}, ["stage is not", "version is not"]),
]


@pytest.mark.django_db
@pytest.mark.parametrize("_case,values,expected", CHANGED)
def test_a_change_that_left_no_entry_is_found(_case, values, expected):
    found = compared(ModelVersionFactory(description="x" * 5000), **values)
    assert [
        text[: len(start)] for text, start in zip(found, expected, strict=True)
    ] == (expected)


@pytest.mark.django_db
def test_a_secret_that_was_exchanged_is_found(cast):
    make_api_token(cast.alice, cast.acme)
    found = compared(ApiToken._base_manager.get(), digest=b"another")
    assert found == ["digest is not what its entries tell"]


@pytest.mark.django_db
def test_a_person_who_became_nobody_is_found():
    user = UserFactory(first_name="Carol")
    run("ALTER TABLE users ALTER first_name DROP NOT NULL")
    assert compared(user, first_name=None) == [
        "first_name is not what its entries tell"
    ]


@pytest.mark.django_db
def test_a_row_without_entries_and_entries_without_a_row_are_found():
    version = ModelVersionFactory()
    (present,) = present_rows(connection, ModelVersion, [version.pk]).values()
    state = fold(entries(object_id=version.pk))
    assert differences(state, None) == ["the row is gone"]
    assert differences(None, present) == ["no entry tells of the row"]
    assert differences(None, None) == []


@pytest.mark.django_db
def test_columns_of_other_times_are_not_compared():
    version = ModelVersionFactory()
    (present,) = present_rows(connection, ModelVersion, [version.pk]).values()
    state = fold(entries(object_id=version.pk)) or {}
    former = {name: value for name, value in state.items() if name != "stage"}
    assert differences({**former, "dropped": 1}, present) == []


@pytest.mark.django_db
def test_rows_are_read_whatever_the_session_sets(cast):
    run("SET LOCAL timezone = 'Asia/Tokyo'")
    run("SET LOCAL bytea_output = 'escape'")
    make_api_token(cast.alice, cast.acme)
    assert compared(ApiToken._base_manager.get()) == []
    assert present_rows(connection, Alias) == {}
    assert set(present_rows(connection, User)) == {
        str(key) for key in User.objects.values_list("pk", flat=True)
    }
