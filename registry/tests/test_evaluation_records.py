"""The records of evaluation datasets: merged by their inputs, in pages, removed."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from django.db import connection

from audit.models import AuditLog
from registry.mlflow import record_pages
from registry.mlflow.evaluation_wire import MAX_RECORDS
from registry.models import EvaluationRecord
from registry.services import evaluation_records, evaluation_schemas
from registry.tests.evaluating import (
    PREFIX,
    counts,
    create,
    created,
    get,
    records,
    row,
    send,
    upsert,
)
from registry.tests.protocol import (
    Tracking,
    error,
    invalid,
    missing,
    read,
    statements,
)
from tenants.models import Organization

# Tests run in a transaction of their own, so a request's is a savepoint of it.
SAVEPOINT = 2


@pytest.fixture
def fraud(fraud) -> Tracking:
    fraud.prefix = PREFIX
    return fraud


def schema_of(dataset):
    return json.loads(dataset["schema"])


# Upsert


def test_a_new_record_answers_as_mlflow_does(fraud):
    dataset_id = created(fraud)
    sent = {
        "inputs": {"question": "why?", "n": 1},
        "expectations": {"answer": "so"},
        "tags": {"level": "easy", "mlflow.user": "ann"},
        "source": {"source_type": "trace", "source_data": {"trace_id": "tr-1"}},
    }
    assert counts(upsert(fraud, dataset_id, [sent])) == (1, 0)
    (found,) = records(fraud, dataset_id)
    dataset = get(fraud, dataset_id)
    moment = dataset["last_update_time"]
    assert found == {
        "dataset_record_id": found["dataset_record_id"],
        "dataset_id": dataset_id,
        "inputs": sent["inputs"],
        "outputs": {},
        "expectations": sent["expectations"],
        "tags": sent["tags"],
        "source": {"source_type": "TRACE", "source_data": {"trace_id": "tr-1"}},
        "source_id": "tr-1",
        "source_type": "TRACE",
        "created_time": moment,
        "last_update_time": moment,
        "created_by": "ann",
        "last_updated_by": "ann",
    }
    digest = hashlib.sha256(f"questions:{moment}".encode()).hexdigest()[:8]
    assert dataset["digest"] == digest
    assert dataset["last_updated_by"] == "ann"
    assert dataset["profile"] == '{"num_records": 1}'
    assert schema_of(dataset) == {
        "inputs": {"question": "string", "n": "integer"},
        "outputs": {},
        "expectations": {"answer": "string"},
        "version": "1.0",
    }


def test_a_record_with_the_same_inputs_is_merged(fraud):
    dataset_id = created(fraud)
    upsert(
        fraud,
        dataset_id,
        [
            {
                "inputs": {"a": 1, "b": [{"c": 2, "d": 3}]},
                "outputs": "first",
                "expectations": {"x": 1, "y": 1},
                "tags": {"s": "1", "mlflow.user": "ann"},
                "source": {"source_type": "HUMAN"},
            }
        ],
    )
    (before,) = records(fraud, dataset_id)
    again = {
        "inputs": {"b": [{"d": 3, "c": 2}], "a": 1},
        "expectations": {"y": 2, "z": 2},
        "tags": {"t": "2", "mlflow.user": "bob"},
        "source": {"source_type": "CODE"},
    }
    assert counts(upsert(fraud, dataset_id, [again])) == (0, 1)
    (after,) = records(fraud, dataset_id)
    assert after["last_update_time"] >= before["last_update_time"]
    assert after == before | {
        "expectations": {"x": 1, "y": 2, "z": 2},
        "tags": {"s": "1", "mlflow.user": "bob", "t": "2"},
        "last_updated_by": "bob",
        "last_update_time": after["last_update_time"],
    }
    assert get(fraud, dataset_id)["profile"] == '{"num_records": 1}'
    gone = {"inputs": again["inputs"], "outputs": None}
    assert counts(upsert(fraud, dataset_id, [gone])) == (0, 1)
    (last,) = records(fraud, dataset_id)
    assert "outputs" not in last
    assert last["expectations"] == after["expectations"]
    # Nobody said who sent it: the dataset's last word is nobody's, the record's stays.
    assert last["last_updated_by"] == "bob"
    assert "last_updated_by" not in get(fraud, dataset_id)


def test_records_of_one_request_are_merged_among_themselves(fraud):
    dataset_id = created(fraud)
    same = [{"inputs": {"q": 1}, "expectations": {key: 1}} for key in "abc"]
    others = [{"inputs": {"q": value}} for value in (1.0, True, "1", None)]
    assert counts(upsert(fraud, dataset_id, [*same, *others])) == (5, 2)
    found = records(fraud, dataset_id)
    assert [each["inputs"]["q"] for each in found] == [1, 1.0, True, "1", None]
    assert found[0]["expectations"] == {"a": 1, "b": 1, "c": 1}


def test_records_come_back_as_they_were_written(fraud):
    dataset_id = created(fraud)
    text = (
        '[{"inputs": {"z": 1.50, "a": 1e3, "n": NaN, "u": "\\u0000\\ud800ü"},'
        ' "outputs": [-Infinity, 12345678901234567890], "expectations": {}}]'
    )
    assert counts(upsert(fraud, dataset_id, text)) == (1, 0)
    (found,) = records(fraud, dataset_id)
    assert list(found["inputs"]) == ["z", "a", "n", "u"]
    assert math.isnan(found["inputs"]["n"])
    assert found["inputs"]["u"] == "\x00\ud800ü"
    assert found["outputs"] == [-math.inf, 12345678901234567890]
    assert found["expectations"] == {}
    assert "source" not in found


def test_no_records_are_a_change_of_the_dataset_without_a_profile(fraud):
    dataset = create(fraud, tags={"mlflow.user": "ann"})
    assert counts(upsert(fraud, dataset["dataset_id"], [])) == (0, 0)
    found = get(fraud, dataset["dataset_id"])
    assert not {"profile", "schema", "last_updated_by"} & set(found)
    assert found["created_by"] == "ann"


def test_a_schema_keeps_the_first_type_of_each_field(fraud):
    dataset_id = created(fraud)
    first = {"i": 1, "f": 1.5, "s": "", "b": False, "z": None, "l": [], "o": {}}
    upsert(fraud, dataset_id, [{"inputs": first, "outputs": {"k": 1}}])
    later = {"inputs": {"i": "late", "new": 1}, "outputs": 5}
    upsert(fraud, dataset_id, [later, {"inputs": {}, "outputs": {"m": "x"}}])
    assert schema_of(get(fraud, dataset_id)) == {
        "inputs": {
            "i": "integer",
            "f": "float",
            "s": "string",
            "b": "boolean",
            "z": "null",
            "l": "array",
            "o": "object",
            "new": "integer",
        },
        "outputs": {"k": "integer", "m": "string"},
        "expectations": {},
        "version": "1.0",
    }


def test_outputs_that_are_no_object_have_one_type(fraud):
    dataset_id = created(fraud)
    for outputs in ("text", {"k": 1}, [1]):
        sent = {"inputs": {"q": str(outputs)}, "outputs": outputs}
        assert counts(upsert(fraud, dataset_id, [sent])) == (1, 0)
    assert schema_of(get(fraud, dataset_id))["outputs"] == "string"


# What is refused

OBJECT = "It must be a JSON object."
TYPES = ["UNSPECIFIED", "TRACE", "HUMAN", "DOCUMENT", "CODE"]


def wrong(name: str, value: Any, reason: str) -> tuple[int, str, str]:
    text = json.dumps(value, separators=(",", ":"), sort_keys=True)
    return invalid(f"Invalid value {text} for parameter '{name}' supplied: {reason}")


FORM = "It must be an object with 'source_type' and, maybe, 'source_data'."
RECORDS = [
    (5, wrong("records[1]", 5, OBJECT)),
    ({"inputs": None}, wrong("records[1].inputs", None, OBJECT)),
    ({"inputs": [1]}, wrong("records[1].inputs", [1], OBJECT)),
    ({"expectations": "x"}, wrong("records[1].expectations", "x", OBJECT)),
    ({"tags": ["a"]}, wrong("records[1].tags", ["a"], OBJECT)),
    ({"source": "x"}, wrong("records[1].source", "x", FORM)),
    (
        {"source": {"source_type": "HUMAN", "x": 1}},
        wrong("records[1].source", {"source_type": "HUMAN", "x": 1}, FORM),
    ),
    (
        {"source": {"source_data": {}}},
        wrong("records[1].source.source_type", None, f"It must be one of {TYPES}."),
    ),
    (
        {"source": {"source_type": "nope"}},
        invalid(
            f"Invalid dataset record source type: NOPE. Valid source types: {TYPES}"
        ),
    ),
    (
        {"source": {"source_type": "\ud800"}},
        invalid(
            "'records[1].source.source_type' holds the character U+D800; leave it out."
        ),
    ),
    (
        {"source": {"source_type": "HUMAN", "source_data": [1]}},
        wrong("records[1].source.source_data", [1], OBJECT),
    ),
    (
        {"source": {"source_type": "HUMAN", "source_data": {"source_id": []}}},
        wrong(
            "records[1].source.source_data", {"source_id": []}, "Its id must be a text."
        ),
    ),
    (
        {"tags": {"mlflow.user": {}}},
        wrong("records[1].tags.mlflow.user", {}, "It must be a text."),
    ),
    (
        {"tags": {"mlflow.user": "\udc00"}},
        invalid(
            "'records[1].tags.mlflow.user' holds the character U+DC00; leave it out."
        ),
    ),
]


@pytest.mark.parametrize("record,expected", RECORDS)
def test_a_record_that_is_none_is_named_and_nothing_is_stored(fraud, record, expected):
    dataset_id = created(fraud)
    sent = [{"inputs": {"q": 1}}, record]
    assert error(upsert(fraud, dataset_id, sent)) == expected
    assert not EvaluationRecord._base_manager.exists()
    assert "profile" not in get(fraud, dataset_id)


@pytest.mark.parametrize("value", [{}, {"inputs": {}}, 5, None, "x"])
def test_records_must_be_a_list(fraud, value):
    response = upsert(fraud, created(fraud), json.dumps(value))
    assert error(response) == wrong(
        "records", value, "It must be a JSON array of objects."
    )


@pytest.mark.parametrize(
    "text", ["{", "[" * 5000, "[" + "9" * 5000 + "]", "[1,]", "\ufeff[]"]
)
def test_records_that_are_no_json_are_refused(fraud, text):
    status, code, message = error(upsert(fraud, created(fraud), text))
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert message.startswith("'records' is not valid JSON: ")
    assert len(message) < 500


def test_records_that_are_nested_deep_are_refused(fraud):
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    response = upsert(fraud, created(fraud), [{"inputs": {"q": deep}}])
    assert error(response) == invalid("The request body is nested deeper than 32.")


def test_records_must_be_said(fraud):
    dataset_id = created(fraud)
    assert error(upsert(fraud, dataset_id, "")) == missing("records")
    assert error(fraud.post(f"datasets/{dataset_id}/records")) == missing("records")


def test_many_records_at_once_are_told_how_many_may_come(fraud):
    response = upsert(fraud, created(fraud), [{}] * (MAX_RECORDS + 1))
    assert error(response) == invalid(
        "'records' holds 10001 records; send at most 10000 at once."
    )


def test_a_record_that_grows_too_large_is_refused(fraud, monkeypatch):
    monkeypatch.setattr(evaluation_records, "MAX_RECORD_BYTES", 100)
    dataset_id = created(fraud)
    half = {"inputs": {"q": 1}, "expectations": {"a": "x" * 60}}
    assert counts(upsert(fraud, dataset_id, [half])) == (1, 0)
    other = {"inputs": {"q": 1}, "expectations": {"b": "x" * 60}}
    assert error(upsert(fraud, dataset_id, [other])) == invalid(
        "A record of 'records' has 148 bytes, what it is merged with included; a "
        "record may have at most 100."
    )
    (kept,) = records(fraud, dataset_id)
    assert kept["expectations"] == half["expectations"]


def test_a_request_that_changes_too_much_at_once_is_refused(fraud, monkeypatch):
    dataset_id = created(fraud)
    sent = [{"inputs": {"q": n}} for n in range(5)]
    upsert(fraud, dataset_id, sent)
    monkeypatch.setattr(evaluation_records, "MAX_MERGED_BYTES", 30)
    status, code, message = error(upsert(fraud, dataset_id, sent))
    assert (status, code) == (400, "RESOURCE_LIMIT_EXCEEDED")
    assert "send fewer at once" in message
    assert counts(upsert(fraud, dataset_id, sent[:2])) == (0, 2)


def test_fields_beyond_all_measure_are_refused(fraud, monkeypatch):
    monkeypatch.setattr(evaluation_schemas, "MAX_SCHEMA_BYTES", 200)
    sent = [{"inputs": {f"field-{n}": n}} for n in range(20)]
    status, code, message = error(upsert(fraud, created(fraud), sent))
    assert (status, code) == (400, "RESOURCE_LIMIT_EXCEEDED")
    assert message.endswith("use fewer names, so that it has at most 200.")
    assert not EvaluationRecord._base_manager.exists()


# Pages


def test_records_come_in_pages_in_the_order_they_came(fraud):
    dataset_id = created(fraud)
    upsert(fraud, dataset_id, [{"inputs": {"n": n}} for n in range(5)])
    found, query = [], {"max_results": "2"}
    for size in (2, 2, 1):
        answer = fraud.read(f"datasets/{dataset_id}/records", **query)
        page = json.loads(answer["records"])
        assert len(page) == size
        found += [each["inputs"]["n"] for each in page]
        query["page_token"] = answer.get("next_page_token", "")
    assert found == [0, 1, 2, 3, 4]
    assert query["page_token"] == ""
    assert len(records(fraud, dataset_id, max_results=0)) == 5
    assert len(records(fraud, dataset_id, max_results=10**9)) == 5


def test_a_page_of_large_records_ends_early(fraud, monkeypatch):
    dataset_id = created(fraud)
    upsert(fraud, dataset_id, [{"inputs": {"t": "x" * 90, "n": n}} for n in range(5)])
    monkeypatch.setattr(record_pages, "MAX_PAGE_BYTES", 250)
    sizes, token = [], ""
    while True:
        answer = fraud.read(f"datasets/{dataset_id}/records", page_token=token)
        sizes.append(len(json.loads(answer["records"])))
        token = answer.get("next_page_token", "")
        if not token:
            break
    assert sizes == [2, 2, 1]
    # A record that is larger than a page comes alone.
    monkeypatch.setattr(record_pages, "MAX_PAGE_BYTES", 1)
    assert len(records(fraud, dataset_id)) == 1


@pytest.mark.parametrize("query", [{"max_results": "-1"}, {"max_results": "x"}])
def test_a_page_of_no_size_is_refused(fraud, query):
    response = fraud.get(f"datasets/{created(fraud)}/records", **query)
    assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")


def test_a_token_opens_pages_of_its_own_dataset_alone(fraud):
    one, other = created(fraud), created(fraud)
    for dataset_id in (one, other):
        upsert(fraud, dataset_id, [{"inputs": {"n": n}} for n in range(3)])
    path = f"datasets/{one}/records"
    token = fraud.read(path, max_results=1)["next_page_token"]
    response = fraud.get(f"datasets/{other}/records", page_token=token)
    assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")
    for junk in ("%%%", "3", token[:-1]):
        response = fraud.get(path, page_token=junk)
        assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")


# Remove


def test_records_are_removed_and_the_profile_says_so(fraud):
    dataset_id, other = created(fraud), created(fraud)
    for each in (dataset_id, other):
        upsert(fraud, each, [{"inputs": {"n": n}} for n in range(3)])
    before = get(fraud, dataset_id)
    keys = [each["dataset_record_id"] for each in records(fraud, dataset_id)]
    foreign = [each["dataset_record_id"] for each in records(fraud, other)]
    asked = [*keys[:2], *foreign, "dr-1", keys[0]]
    assert remove(fraud, dataset_id, asked) == 2
    assert remove(fraud, dataset_id, asked) == 0
    assert remove(fraud, dataset_id, []) == 0
    after = get(fraud, dataset_id)
    assert after == before | {"profile": '{"num_records": 1}'}
    assert remove(fraud, dataset_id, keys) == 1
    # MLflow's own way to say that there are none any more.
    assert get(fraud, dataset_id)["profile"] == "null"
    assert upsert(fraud, dataset_id, []).status_code == 200
    assert get(fraud, dataset_id)["profile"] == "null"
    assert len(records(fraud, other)) == 3
    assert counts(upsert(fraud, dataset_id, [{"inputs": {"n": 0}}])) == (1, 0)
    assert get(fraud, dataset_id)["profile"] == '{"num_records": 1}'


def remove(tracking, dataset_id, keys):
    path = f"datasets/{dataset_id}/records"
    return read(send(tracking, "DELETE", path, dataset_record_ids=keys))[
        "deleted_count"
    ]


# What it costs, what it leaves


@pytest.mark.parametrize("number", [1, 200])
def test_records_take_the_same_statements_for_any_number(fraud, number):
    dataset_id = created(fraud)
    sent = [{"inputs": {"n": n}, "expectations": {"a": 1}} for n in range(number)]
    # Admission; dataset; a savepoint; dataset, locked; records; dataset.
    first = upsert(fraud, dataset_id, sent)
    assert (counts(first), statements(first)) == ((number, 0), 5 + 2 * SAVEPOINT)
    # What is there has a size, and is read.
    again = upsert(fraud, dataset_id, sent)
    assert (counts(again), statements(again)) == ((0, number), 7 + 2 * SAVEPOINT)
    # Admission; dataset; sizes; records.
    page = fraud.get(f"datasets/{dataset_id}/records")
    assert len(json.loads(read(page)["records"])) == number
    assert statements(page) == 4 + SAVEPOINT


def test_two_clients_at_once_add_a_record_once(committed):
    committed.prefix = PREFIX
    dataset_id, found = created(committed), []
    sent = [{"inputs": {"n": n}} for n in range(100)]

    def send_all(records):
        found.append(counts(upsert(committed, dataset_id, records)))
        connection.close()

    threads = [
        threading.Thread(target=send_all, args=(records,))
        for records in (sent, sent[::-1])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [(0, 100), (100, 0)]
    assert get(committed, dataset_id)["profile"] == '{"num_records": 100}'


def test_records_leave_an_entry_per_batch_where_the_organization_wants_them(
    fraud, cast
):
    dataset_id = created(fraud)
    upsert(fraud, dataset_id, [{"inputs": {"n": 1}}])
    entries = AuditLog._base_manager.filter(action__contains="evaluation_record")
    assert not entries.exists()
    switched_on = {"audit_data_events": True}
    Organization._base_manager.filter(pk=cast.acme.pk).update(**switched_on)
    upsert(fraud, dataset_id, [{"inputs": {"secret": n}} for n in range(30)])
    (entry,) = entries
    assert entry.after["count"] == 30
    assert "secret" not in str(entry.after)


def test_the_page_of_records_is_read_by_its_index(fraud):
    for _ in range(10):
        dataset_id = created(fraud)
        upsert(fraud, dataset_id, [{"inputs": {"n": n}} for n in range(200)])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE evaluation_records")
    rows = EvaluationRecord._base_manager.filter(dataset=row(dataset_id))
    plan = rows.order_by("id").values_list("size_bytes")[:100].explain()
    assert "Index Only Scan using evaluation_records_of_dataset" in plan
    assert "Sort" not in plan


# The same in plain Python


@dataclass
class Picture:
    """What a dataset should hold, made by MLflow's rules and nothing of ours."""

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    had_any: bool = False

    def upsert(self, sent: list[dict[str, Any]]) -> tuple[int, int]:
        before = len(self.records)
        for each in sent:
            self.put(each)
        inserted = len(self.records) - before
        self.had_any |= bool(self.records)
        return inserted, len(sent) - inserted

    def put(self, each: dict[str, Any]) -> None:
        key = json.dumps(each["inputs"], sort_keys=True)
        user = (each.get("tags") or {}).get("mlflow.user")
        if key not in self.records:
            self.records[key] = {
                "inputs": each["inputs"],
                "outputs": each.get("outputs", {}),
                "expectations": each.get("expectations"),
                "tags": each.get("tags") or {},
                "created_by": user,
                "last_updated_by": user,
            }
            return
        record = self.records[key]
        if "outputs" in each:
            record["outputs"] = each["outputs"]
        if each.get("expectations"):
            old = record["expectations"] or {}
            record["expectations"] = {**old, **each["expectations"]}
        record["tags"] = {**record["tags"], **(each.get("tags") or {})}
        record["last_updated_by"] = user or record["last_updated_by"]

    def remove(self, places: list[int]) -> int:
        keys = [key for n, key in enumerate(self.records) if n in places]
        for key in keys:
            del self.records[key]
        return len(keys)

    def shown(self) -> list[dict[str, Any]]:
        return [
            {name: value for name, value in record.items() if value is not None}
            for record in self.records.values()
        ]

    @property
    def profile(self) -> str | None:
        if not self.had_any:
            return None
        count = len(self.records)
        return json.dumps({"num_records": count} if count else None)


class Sender:
    """Makes records that meet often, each part of them said, empty or left out."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)

    def records(self) -> list[dict[str, Any]]:
        return [self.record() for _ in range(self.chance.choice((0, 1, 2, 5, 9)))]

    def record(self) -> dict[str, Any]:
        pick = self.chance.choice
        inputs: list[tuple[str, Any]] = [
            ("q", pick((0, 1, 2, 1.0, True, None, "ü"))),
            ("x", pick((0, {}))),
        ]
        self.chance.shuffle(inputs)
        found: dict[str, Any] = {"inputs": dict(inputs[: pick((1, 2))])}
        parts: dict[str, tuple[Any, ...]] = {
            "outputs": (None, {}, [], "text", {"o": 1}, False),
            "expectations": (None, {}, {"a": 1}, {"b": [2]}, {"a": None}),
            "tags": (None, {}, {"t": "1"}, {"u": 2, "mlflow.user": "ann"}, BY_BOB),
        }
        for name, values in parts.items():
            if self.chance.random() < 0.6:
                found[name] = pick(values)
        return found

    def places(self) -> list[int]:
        return self.chance.sample(range(20), 3)


BY_BOB = {"mlflow.user": "bob"}
SHOWN = ("inputs", "outputs", "expectations", "tags", "created_by", "last_updated_by")


def compare_with_plain_python(fraud, seeds, steps):
    for seed in seeds:
        sender, picture, dataset_id = Sender(seed), Picture(), created(fraud)
        for _ in range(steps):
            if sender.chance.random() < 0.2:
                places = sender.places()
                keys = [
                    each["dataset_record_id"] for each in records(fraud, dataset_id)
                ]
                asked = [key for n, key in enumerate(keys) if n in places]
                assert remove(fraud, dataset_id, asked) == picture.remove(places)
            else:
                sent = sender.records()
                expected = picture.upsert(sent)
                assert counts(upsert(fraud, dataset_id, sent)) == expected
        found = records(fraud, dataset_id)
        shown = [{k: v for k, v in each.items() if k in SHOWN} for each in found]
        # As text, so that 1, 1.0 and true are told apart.
        assert json.dumps(shown) == json.dumps(in_order(picture.shown(), shown)), seed
        assert get(fraud, dataset_id).get("profile") == picture.profile


def in_order(expected, shown):
    """Put the members in the order of the answer: which it is, nobody promises."""
    assert len(expected) == len(shown)
    return [
        {name: record.get(name) for name in each}
        for record, each in zip(expected, shown, strict=True)
        if set(record) == set(each)
    ]


def test_generated_upserts_leave_what_plain_python_leaves(fraud):
    compare_with_plain_python(fraud, range(12), steps=6)


@pytest.mark.soak
def test_hundreds_of_generated_upserts_leave_what_plain_python_leaves(fraud):
    compare_with_plain_python(fraud, range(1000, 1400), steps=20)
