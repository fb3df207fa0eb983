"""registered-models/search and model-versions/search on the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from registry.models import (
    Alias,
    ModelVersion,
    ModelVersionTag,
    RegisteredModel,
    RegisteredModelTag,
)
from registry.tests.factories import (
    ModelVersionFactory,
    RegisteredModelFactory,
    RunFactory,
)
from registry.tests.protocol import error, invalid, statements

START = datetime(2026, 1, 1, tzinfo=UTC)
PROMPT = "mlflow.prompt.is_prompt"


def model_names(tracking, **query):
    found = tracking.read("registered-models/search", **query)
    return [each["name"] for each in found.get("registered_models", [])]


def versions(tracking, **query):
    found = tracking.read("model-versions/search", **query)
    return [
        (each["name"], int(each["version"])) for each in found.get("model_versions", [])
    ]


@pytest.fixture
def models(cast):
    """Three models and a prompt, the first updated last; two versions each."""
    made = {}
    for number, name in enumerate(("ash", "elm", "oak", "prompt")):
        model = RegisteredModelFactory(project=cast.fraud, name=name)
        RegisteredModel._base_manager.filter(pk=model.pk).update(
            updated_at=START - timedelta(hours=number)
        )
        made[name] = model
        for version in (1, 2):
            row = ModelVersionFactory(
                registered_model=model, version=version, source=f"s3://{name}/{version}"
            )
            ModelVersion._base_manager.filter(pk=row.pk).update(
                updated_at=START + timedelta(hours=version),
                created_at=START - timedelta(hours=version),
            )
    own = {"organization": cast.acme}
    for name, key, value in (
        ("ash", "team", "risk"),
        ("elm", "team", "Risk"),
        ("oak", "a b", "x"),
        ("prompt", PROMPT, "true"),
        ("prompt", "team", "risk"),
    ):
        tag = RegisteredModelTag(
            registered_model=made[name], key=key, value=value, **own
        )
        tag.save()
        newest = ModelVersion._base_manager.get(registered_model=made[name], version=2)
        ModelVersionTag(model_version=newest, key=key, value=value, **own).save()
    return made


MODELS = [
    ("", ["ash", "elm", "oak"]),
    ("name = 'ash'", ["ash"]),
    ("name != 'ash'", ["elm", "oak"]),
    ("attribute.name LIKE '%a%'", ["ash", "oak"]),
    ("name LIKE 'E%'", []),
    ("name ILIKE 'E%'", ["elm"]),
    ("name IN ('ash', 'oak', 'absent')", ["ash", "oak"]),
    ("name NOT IN ('ash')", ["elm", "oak"]),
    ("tags.team = 'risk'", ["ash"]),
    ("tag.team ILIKE 'risk'", ["ash", "elm"]),
    ("tags.team != 'risk'", ["elm"]),
    ("tags.`a b` = 'x' AND name = 'oak'", ["oak"]),
    # MLflow 3.18 refuses this one.
    ("tags.team IS NULL", ["oak"]),
    # Prompts hide from all but those who ask for them.
    ("name = 'prompt'", []),
    (f"tags.`{PROMPT}` = 'true'", ["prompt"]),
    (f"tags.`{PROMPT}` != 'false'", ["prompt"]),
    (f"name LIKE 'p%' AND tags.`{PROMPT}` = 'true'", ["prompt"]),
    (f"tags.`{PROMPT}` = 'TRUE'", []),
    (f"tags.`{PROMPT}` != 'true'", ["ash", "elm", "oak"]),
    (f"tags.`{PROMPT}` = 'false' AND name = 'oak'", ["oak"]),
    (f"tags.`{PROMPT}` LIKE '%'", ["ash", "elm", "oak"]),
]


@pytest.mark.parametrize("text,expected", MODELS)
def test_a_filter_finds_models_by_name(fraud, models, text, expected):
    assert model_names(fraud, filter=text) == expected


@pytest.mark.parametrize(
    "order,expected",
    [
        (["name DESC"], ["oak", "elm", "ash"]),
        (["timestamp"], ["oak", "elm", "ash"]),
        (["last_updated_timestamp DESC"], ["ash", "elm", "oak"]),
        (["`timestamp` desc", "name"], ["ash", "elm", "oak"]),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_models_come_in_the_order_asked_for_page_by_page(
    fraud, models, order, expected, size
):
    found, token = [], ""
    while token is not None:
        answer = fraud.read(
            "registered-models/search",
            max_results=size,
            order_by=order,
            page_token=token,
        )
        found += [each["name"] for each in answer["registered_models"]]
        token = answer.get("next_page_token")
    assert found == expected


def test_a_found_model_is_the_model_that_get_shows(fraud, models, cast):
    version = ModelVersion._base_manager.get(registered_model=models["ash"], version=2)
    ModelVersion._base_manager.filter(pk=version.pk).update(stage="Production")
    Alias(
        organization=cast.acme,
        registered_model=models["ash"],
        name="champion",
        model_version=version,
    ).save()
    answer = fraud.read("registered-models/search", filter="name = 'ash'")
    (found,) = answer["registered_models"]
    shown = fraud.read("registered-models/get", name="ash")["registered_model"]
    assert found == shown
    assert len(found["latest_versions"]) == 2
    assert found["aliases"] == [{"alias": "champion", "version": "2"}]


VERSIONS = [
    ("name = 'ash'", [("ash", 2), ("ash", 1)]),
    ("name IN ('ash', 'oak') AND version_number = 1", [("ash", 1), ("oak", 1)]),
    ("name NOT IN ('ash', 'elm') AND version_number > 1", [("oak", 2)]),
    ("name ILIKE 'ELM' AND version_number != '2'", [("elm", 1)]),
    ("version_number >= 3", []),
    (f"name = 'ash' AND version_number < {'9' * 40}", [("ash", 2), ("ash", 1)]),
    ("source_path = 's3://oak/1'", [("oak", 1)]),
    ("source_path LIKE 's3://oak/%'", [("oak", 2), ("oak", 1)]),
    ("tags.team = 'risk'", [("ash", 2)]),
    ("tags.team IS NULL AND name = 'ash'", [("ash", 1)]),
    # No run is the empty run: so the client's "" is stored in MLflow.
    ("run_id = '' AND name = 'oak'", [("oak", 2), ("oak", 1)]),
    ("run_id != 'x' AND name = 'oak'", [("oak", 2), ("oak", 1)]),
    # All versions of a prompt hide, tagged or not.
    ("name = 'prompt'", []),
    (f"tags.`{PROMPT}` = 'true'", [("prompt", 2)]),
]


@pytest.mark.parametrize("text,expected", VERSIONS)
def test_a_filter_finds_versions(fraud, models, text, expected):
    assert versions(fraud, filter=text) == expected


@pytest.mark.parametrize(
    "order,expected",
    [
        (
            None,
            [("ash", 2), ("elm", 2), ("oak", 2), ("ash", 1), ("elm", 1), ("oak", 1)],
        ),
        (
            ["name DESC"],
            [("oak", 2), ("oak", 1), ("elm", 2), ("elm", 1), ("ash", 2), ("ash", 1)],
        ),
        (
            ["version_number", "name DESC"],
            [("oak", 1), ("elm", 1), ("ash", 1), ("oak", 2), ("elm", 2), ("ash", 2)],
        ),
        (
            ["creation_timestamp"],
            [("ash", 2), ("elm", 2), ("oak", 2), ("ash", 1), ("elm", 1), ("oak", 1)],
        ),
    ],
)
@pytest.mark.parametrize("size", [1, 4, 10])
def test_versions_come_in_the_order_asked_for_page_by_page(
    fraud, models, order, expected, size
):
    found, token = [], ""
    while token is not None:
        query = {"order_by": order} if order else {}
        answer = fraud.read(
            "model-versions/search", max_results=size, page_token=token, **query
        )
        found += [
            (each["name"], int(each["version"])) for each in answer["model_versions"]
        ]
        token = answer.get("next_page_token")
    assert found == expected


def test_versions_are_found_by_their_run(fraud, models, cast):
    run = RunFactory(experiment__project=cast.fraud)
    ModelVersion._base_manager.filter(registered_model=models["ash"], version=1).update(
        run=run
    )
    assert versions(fraud, filter=f"run_id = '{run.pk.hex}'") == [("ash", 1)]
    assert versions(fraud, filter=f"run_id IN ('{run.pk.hex}', 'x')") == [("ash", 1)]
    begin = run.pk.hex[:30]
    assert versions(fraud, filter=f"run_id LIKE '{begin}%'") == [("ash", 1)]
    others = versions(fraud, filter=f"run_id != '{run.pk.hex}' AND name = 'ash'")
    assert others == [("ash", 2)]
    others = versions(fraud, filter=f"run_id NOT IN ('{run.pk.hex}') AND name = 'ash'")
    assert others == [("ash", 2)]
    assert versions(fraud, filter=f"run_id = '{run.pk.hex.upper()}'") == []


def test_a_found_version_is_the_version_that_get_shows(fraud, models):
    answer = fraud.read("model-versions/search", filter="tags.team = 'risk'")
    (found,) = answer["model_versions"]
    shown = fraud.read("model-versions/get", name="ash", version="2")
    assert found == shown["model_version"]


def test_what_is_deleted_is_not_found(fraud, models, cast):
    now = datetime.now(UTC)
    gone = ModelVersion._base_manager.filter(registered_model=models["ash"], version=2)
    gone.update(deleted_at=now)
    RegisteredModel._base_manager.filter(name="oak").update(deleted_at=now)
    assert versions(fraud, filter="name = 'ash'") == [("ash", 1)]
    assert model_names(fraud) == ["ash", "elm"]


WRONG = [
    ("registered-models/search", {"max_results": 0}, "It must be a positive integer"),
    ("registered-models/search", {"max_results": 1001}, "It must be at most 1000"),
    ("model-versions/search", {"max_results": -1}, "It must be a positive integer"),
    ("model-versions/search", {"max_results": 200_001}, "It must be at most 200000"),
    (
        "registered-models/search",
        {"filter": "tags.team IN ('a')"},
        "(at position 14)",
    ),
    (
        "registered-models/search",
        {"order_by": ["creation_timestamp"]},
        "Invalid attribute key 'creation_timestamp' specified.",
    ),
    ("model-versions/search", {"page_token": "x"}, "Invalid page token"),
    ("registered-models/search", {"page_token": "x"}, "Invalid page token"),
]


@pytest.mark.parametrize("path,query,reason", WRONG)
def test_a_wrong_search_is_refused(fraud, path, query, reason):
    status, code, message = error(fraud.get(path, **query))
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert reason in message


def test_a_post_is_refused_with_the_method(fraud):
    assert fraud.post("registered-models/search").status_code == 405


@pytest.mark.parametrize("path", ["registered-models/search", "model-versions/search"])
def test_a_token_opens_its_own_search_only(
    fraud, models, churn, stranger_in_fraud, path
):
    token = fraud.read(path, max_results=1)["next_page_token"]
    assert fraud.read(path, max_results=1, page_token=token)
    for other in (churn, stranger_in_fraud):
        assert other.get(path, page_token=token).status_code == 400
    for change in ({"filter": "name != 'x'"}, {"order_by": ["name DESC"]}):
        response = fraud.get(path, page_token=token, **change)
        assert response.status_code == 400


def test_a_strangers_models_are_found_by_no_filter(models, churn, stranger_in_fraud):
    for other in (churn, stranger_in_fraud):
        for text in ("", "name LIKE '%'", "tags.team = 'risk'", "tags.x IS NULL"):
            assert model_names(other, filter=text) == []
            assert versions(other, filter=text) == []


def test_a_reader_may_search(reader, models):
    assert model_names(reader, filter="name = 'ash'") == ["ash"]
    assert len(versions(reader, filter="name = 'ash'")) == 2


def test_a_search_takes_as_many_statements_for_any_page(fraud, cast):
    counts = set()
    for count in (1, 20, 100):
        for model in RegisteredModelFactory.create_batch(count, project=cast.fraud):
            own = {"organization": cast.acme}
            version = ModelVersionFactory(registered_model=model, version=1)
            RegisteredModelTag(registered_model=model, key="k", value="v", **own).save()
            ModelVersionTag(model_version=version, key="k", value="v", **own).save()
            Alias(registered_model=model, model_version=version, name="a", **own).save()
        query = {"filter": "tags.k = 'v'", "max_results": 1000}
        models = fraud.get("registered-models/search", **query)
        assert len(models.json()["registered_models"]) >= count
        found = fraud.get("model-versions/search", **query)
        assert len(found.json()["model_versions"]) >= count
        counts.add((statements(models), statements(found)))
    # Savepoint, admission, release; models, tags, aliases; versions, tags, aliases.
    # Savepoint, admission, release; versions, tags, aliases.
    assert counts == {(9, 6)}


def test_the_words_of_a_size_are_those_of_all_searches(fraud):
    response = fraud.get("registered-models/search", max_results=1001)
    assert error(response) == invalid(
        "Invalid value 1001 for parameter 'max_results' supplied. "
        "It must be at most 1000"
    )
