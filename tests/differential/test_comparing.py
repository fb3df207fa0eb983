"""The comparer sees what differs, and nothing else: without it all would be equal."""

from __future__ import annotations

import time
from itertools import islice

import pytest

from tests.differential.allowed import ALLOWED, entry_for
from tests.differential.calls import Call, get, post, scene
from tests.differential.comparing import Difference, Kind, differences
from tests.differential.corpus import SCENES
from tests.differential.generated import unlike_scenes
from tests.differential.playing import Result, play, play_while_alike
from tests.differential.sides import Answer, Dropped, Side, target, written

JSON = "application/json"
CALL = post("runs/create", experiment_id="$e")
ID, OTHER = "0" * 32, "f" * 32


def found(left: Answer, right: Answer, **names: tuple[str, str]) -> list[tuple]:
    """Return (what, place) of each difference; a name has an id on each side."""
    one = Side("", names={name: ids[0] for name, ids in names.items()})
    two = Side("", names={name: ids[1] for name, ids in names.items()})
    return [
        (each.what, each.place) for each in differences(CALL, (one, two), (left, right))
    ]


def ok(body) -> Answer:
    return Answer(200, JSON, body)


def error(code: str, message: str, status: int = 400) -> Answer:
    return Answer(status, JSON, {"error_code": code, "message": message})


@pytest.mark.parametrize(
    "left, right, expected",
    [
        ({}, {}, []),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, [("body", "a")]),
        ({"a": 1}, {"a": "1"}, [("body", "a")]),
        ({"a": 1}, {}, [("body", "a")]),
        ({}, {"a": []}, [("body", "a")]),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}, {"b": 3}]}, [("body", "a.1.b")]),
        ({"a": [1]}, {"a": [1, 2]}, [("body", "a")]),
        ({"a": [1, 2]}, {"a": [2, 1]}, [("body", "a.0"), ("body", "a.1")]),
    ],
)
def test_bodies_differ_where_they_do(left, right, expected):
    assert found(ok(left), ok(right)) == expected


def test_labels_have_no_order_of_their_own_but_points_have():
    pairs = [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
    turned = pairs[::-1]
    for body in ("tags", "params"):
        assert found(ok({body: pairs}), ok({body: turned})) == []
    assert (
        found(ok({"data": {"metrics": pairs}}), ok({"data": {"metrics": turned}})) == []
    )
    assert found(ok({"metrics": pairs}), ok({"metrics": turned}))


def test_a_status_stands_for_all_that_follows_from_it():
    assert found(ok({"a": 1}), error("X", "no")) == [("status", "")]
    assert found(error("X", "no"), error("Y", "no")) == [("error_code", "")]
    assert found(error("X", "no"), error("X", "never")) == [("message", "message")]
    page = Answer(400, "text/html", b"<html>")
    assert found(page, error("X", "no")) == [("type", "")]


@pytest.mark.parametrize(
    "left, right, expected",
    [
        (error("X", "no"), error("X", "never"), Kind.WORDS),
        (error("X", "no"), error("Y", "no"), Kind.REFUSAL),
        (error("X", "no", 500), error("X", "no"), Kind.REFUSAL),
        (ok({"a": 1}), error("X", "no"), Kind.STRICTER),
        (error("X", "no"), ok({"a": 1}), Kind.LOOSER),
        (ok({"a": 1}), ok({"a": 2}), Kind.MEANING),
        (ok({"a": 1}), ok({}), Kind.FIELD),
        (ok({"a": 1}), ok({"a": 1, "b": None}), Kind.FIELD),
        (ok({}), ok({"a": [{"b": 1}]}), Kind.MEANING),
    ],
)
def test_a_difference_is_of_the_kind_that_a_client_notices(left, right, expected):
    (difference,) = differences(CALL, (Side(""), Side("")), (left, right))
    assert difference.kind is expected


def test_a_call_counts_once_by_the_gravest_of_its_differences():
    result = Result()
    left, right = error("X", "No. Error: (psycopg2.Error) no"), error("X", "No.")
    left.body["sqlstate"] = "XXM00"
    play(scene("one", CALL), (Scripted(left), Scripted(right)), result)
    assert (result.calls, result.kinds) == (1, {Kind.WORDS: 1})
    assert len(result.listed) == 2
    assert "1  alike but for the words of an error, as listed" in result.summary()
    assert str(CALL) in result.details()


def test_ids_are_equal_where_they_name_the_same():
    left, right = ok({"run_id": ID}), ok({"run_id": OTHER})
    assert found(left, right, run=(ID, OTHER)) == []
    assert found(left, right, run=(ID, ID), other=("x", OTHER)) == [("body", "run_id")]


def test_json_in_a_text_is_compared_as_json():
    left = ok({"records": f'[{{"dataset_record_id": "dr-{ID}", "a": 1}}]'})
    right = ok({"records": f'[{{"a": 1, "dataset_record_id": "dr-{OTHER}"}}]'})
    assert found(left, right) == []
    right.body["records"] = right.body["records"].replace("1", "2", 1)
    assert found(left, right) == [("body", "records")]


def test_numbers_of_experiments_are_names_only_where_they_stand_for_one():
    names = {"e": ("7", "9")}
    assert found(ok({"experiment_id": "7"}), ok({"experiment_id": "9"}), **names) == []
    left, right = ok({"experiment_ids": ["7"]}), ok({"experiment_ids": ["9"]})
    assert found(left, right, **names) == []
    uri = "mlflow-artifacts:/{}/models"
    assert found(ok({"u": uri.format(7)}), ok({"u": uri.format(9)}), **names) == []
    assert found(ok({"step": 7}), ok({"step": 9}), **names) == [("body", "step")]


def test_the_present_is_one_moment_and_the_past_is_not():
    now = int(time.time() * 1000)
    assert found(ok({"t": now}), ok({"t": now - 5000})) == []
    assert found(ok({"t": 1000}), ok({"t": 1001})) == [("body", "t")]


def test_every_entry_has_its_own_reason_and_matches_something_definite():
    reasons = [entry.reason for entry in ALLOWED]
    assert len(reasons) == len(set(reasons))
    for entry in ALLOWED:
        assert entry.place or entry.reference or entry.ours or entry.agree
    assert (
        entry_for(Difference(CALL, "body", "run.info.status", "RUNNING", "x")) is None
    )


def test_names_reach_path_query_and_body():
    call = Call("GET", "/x/$a", (("k", "$a"),), {"deep": [{"b": "$a", "$c": "$d"}]})
    named = call.with_names({"a": "1"})
    assert (named.path, named.query) == ("/x/1", (("k", "1"),))
    assert named.body == {"deep": [{"b": "1", "$c": "$d"}]}


def test_calls_are_written_as_clients_write_them():
    assert (
        target(get("runs/get", run_id="a b")) == "/api/2.0/mlflow/runs/get?run_id=a+b"
    )
    assert target(get("x", k=["1", "2"])) == "/api/2.0/mlflow/x?k=1&k=2"
    assert written(post("x", a=None)) == b'{"a": null}'
    assert written(get("x")) is None


class Scripted(Side):
    """Answers what it was given, in that order."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__("")
        self.answers = list(answers)

    def send(self, call: Call) -> Answer:
        return self.answers.pop(0)


def test_an_unlisted_difference_is_reported_and_ends_a_generated_scene():
    calls = scene("two", CALL, CALL)
    for played, count in ((play, 2), (play_while_alike, 1)):
        result = Result()
        pair = (Scripted(ok({}), ok({})), Scripted(ok({"a": 1}), ok({})))
        played(calls, pair, result)
        assert (result.calls, len(result.unlisted)) == (count, 1)
        assert "differ otherwise" in result.summary()


class Dropping(Side):
    """Ends every connection before it answers."""

    def send(self, call: Call) -> Answer:
        raise Dropped(self, call, ConnectionResetError())


def test_a_scene_ends_where_mlflows_server_drops_a_connection_and_is_counted():
    result = Result()
    pair = (Dropping(""), Scripted(ok({}), ok({})))
    play_while_alike(scene("two", CALL, CALL), pair, result)
    assert (result.calls, len(result.dropped)) == (0, 1)
    assert "1  scenes ended by MLflow's own server" in result.summary()
    with pytest.raises(Dropped):
        play(scene("two", CALL), pair, result)


def test_a_connection_that_ours_drops_is_no_matter_of_counting():
    for other in (Scripted(ok({})), Dropping("")):
        with pytest.raises(Dropped):
            play_while_alike(scene("one", CALL), (other, Dropping("")), Result())


def test_two_seeds_make_scenes_of_their_own_and_one_makes_the_same_again():
    first, again, other = (
        [each.calls for each in islice(unlike_scenes(number), 4)]
        for number in (1, 1, 2)
    )
    assert first == again
    assert not [calls for calls in first if calls in other]


def test_the_corpus_is_large_and_each_scene_has_its_own_name():
    assert sum(len(each.calls) for each in SCENES) >= 300
    assert len({each.name for each in SCENES}) == len(SCENES)
