"""Cases B1 to B12 of addresses: none but our own, and what an operator allows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from registry.models import Experiment, ModelVersion, RegisteredModel, Run
from registry.tests.factories import (
    ExperimentFactory,
    ModelVersionFactory,
    RegisteredModelFactory,
    RunFactory,
)
from tests.mounts import (
    Mount,
    by_two_mounts_or_all,
    every_mount,
    mounts,
    mounts_for,
)

JSON = "application/json"

ELSEWHERE: dict[str, list[str]] = {
    "B1": ["file:///etc", "/etc", "./x", "x", "../x", "file:x", "~/x", "C:\\x"],
    "B2": [
        "http:///#/../../etc/",
        "http://h/a?/../../x",
        "http://h/;..%2F..%2Fetc",
        "mlflow-artifacts:/..%2f..%2fx",
        "mlflow-artifacts:/../x",
        "mlflow-artifacts:/%2e%2e/x",
        "mlflow-artifacts:/7/../../x",
        "mlflow-artifacts://x/7",
        "mlflow-artifacts:/7",
    ],
    "B3": [
        "http://169.254.169.254/",
        "http://127.0.0.1:8000/",
        "http://[::ffff:10.0.0.1]/",
        "https://example.org/x",
        "gopher://h/x",
        "ftp://h/x",
        "dbfs:/x",
        "hdfs://h/x",
        "sftp://h/x",
        "s3://other-bucket/",
        "gs://bucket/x",
        "wasbs://c@a.blob.core.windows.net/x",
        "azureml://x",
        "javascript:alert(1)",
        "data:text/plain,x",
        "runs:/x",
        "models:/x/1",
    ],
    "B8": [
        "mlflow-artifacts://other:9000/x",
        "mlflow-artifacts://u:p@h/x",
        "mlflow-artifacts://h:0/x",
        "mlflow-artifacts://bücher.example/x",
        "mlflow-artifacts://testserver/x",
        "http://u:p@h/x",
    ],
    "B9": [
        "FILE:///etc",
        "File:///etc",
        "file:/etc",
        " file:///etc",
        "\tfile:///etc",
        "\nfile:///etc",
        "\u2028file:///etc",
        "MLFLOW-ARTIFACTS:/7",
        " mlflow-artifacts:/7",
    ],
}
ALLOWED = ["acme=s3://models/acme", "umbrella=s3://models/umbrella"]
BESIDE_ALLOWED = [
    "s3://models",
    "s3://models/",
    "s3://models/acmeuh",
    "s3://models/umbrella/x",
    "s3://models/acme/../umbrella",
    "s3://models/acme/%2e%2e/umbrella",
    "s3://models/acme/..",
    "s3://models/acme//etc",
    "S3://models/acme/x",
    "s3://Models/acme/x",
    "s3://models@evil/acme/x",
    "s3://models/acme/x\\..\\y",
]


def client_for(mount: Mount, alice: Any, alice_in_fraud: Any) -> Any:
    return alice_in_fraud if mount.name.startswith("token") else alice


def post(client: Any, mount: Mount, endpoint: str, body: Any) -> Any:
    text = body if isinstance(body, str) else json.dumps(body)
    return client.post(mount.url(endpoint), text, JSON, headers=mount.headers)


def is_refused(answer: Any) -> bool:
    code = answer.json()["error_code"]
    return (answer.status_code, code) == (400, "INVALID_PARAMETER_VALUE")


# B1 to B3, B8, B9: where an experiment's artifacts go


@by_two_mounts_or_all
@pytest.mark.parametrize("letter", ELSEWHERE)
def test_a_location_elsewhere_is_refused(
    alice, alice_in_fraud, settings, letter, every
):
    """Where some places are allowed and where none is."""
    before = Experiment._base_manager.count()
    for number, text in enumerate(ELSEWHERE[letter]):
        for mount in mounts_for(number, mounts(), every=every):
            client = client_for(mount, alice, alice_in_fraud)
            for settings.ARTIFACT_LOCATIONS in ([], ALLOWED):
                body = {"name": f"of {letter}", "artifact_location": text}
                answer = post(client, mount, "experiments/create", body)
                assert is_refused(answer), (mount, text)
    assert Experiment._base_manager.count() == before


@every_mount
def test_a_location_is_allowed_by_whole_segments_and_to_its_organization(
    alice, alice_in_fraud, cast, settings, mount
):
    settings.ARTIFACT_LOCATIONS = ALLOWED
    client = client_for(mount, alice, alice_in_fraud)
    for text in BESIDE_ALLOWED:
        body = {"name": "beside", "artifact_location": text}
        assert is_refused(post(client, mount, "experiments/create", body)), text
    for number, text in enumerate(["s3://models/acme", "s3://models/acme/deep/er"]):
        body = {"name": f"within {number}", "artifact_location": text}
        answer = post(client, mount, "experiments/create", body)
        assert answer.status_code == 200, answer.content
    settings.ARTIFACT_LOCATIONS = ["*=s3://shared"]
    body = {"name": "shared", "artifact_location": "s3://shared/x"}
    assert post(client, mount, "experiments/create", body).status_code == 200


@every_mount
def test_our_own_location_may_be_named(alice, alice_in_fraud, cast, mount):
    client = client_for(mount, alice, alice_in_fraud)
    for text in ("", "mlflow-artifacts:", "mlflow-artifacts:/"):
        body = {"name": f"ours {text}", "artifact_location": text}
        answer = post(client, mount, "experiments/create", body)
        number = answer.json()["experiment_id"]
        row = Experiment._base_manager.get(project=cast.fraud, iid=number)
        assert row.artifact_location == f"mlflow-artifacts:/{number}"


# B4 to B11: where a model version comes from


@pytest.fixture
def run(cast) -> Run:
    return RunFactory(experiment__project=cast.fraud)


@pytest.fixture
def model(cast):
    return RegisteredModelFactory(project=cast.fraud, name="scorer")


def has_no_version(model: RegisteredModel) -> bool:
    return not ModelVersion._base_manager.filter(registered_model=model).exists()


def root_of(run: Run) -> str:
    return f"mlflow-artifacts:/{run.experiment.iid}/{run.pk.hex}/artifacts"


@by_two_mounts_or_all
@pytest.mark.parametrize("letter", ELSEWHERE)
def test_a_source_elsewhere_is_refused(
    alice, alice_in_fraud, settings, run, model, letter, every
):
    """B4; with a run as well, whose files do not lie there."""
    settings.ARTIFACT_LOCATIONS = ALLOWED
    for number, text in enumerate(ELSEWHERE[letter]):
        for mount in mounts_for(number, mounts(), every=every):
            client = client_for(mount, alice, alice_in_fraud)
            for more in ({}, {"run_id": run.pk.hex}):
                body = {"name": "scorer", "source": text, **more}
                answer = post(client, mount, "model-versions/create", body)
                assert is_refused(answer), (mount, text, more)
    assert has_no_version(model)


PROMPTS = [
    [{"key": "mlflow.prompt.is_prompt", "value": "true"}],
    [{"key": "mlflow.prompt.is_prompt", "value": "TRUE"}],
    [
        {"key": "mlflow.prompt.is_prompt", "value": "false"},
        {"key": "mlflow.prompt.is_prompt", "value": "true"},
    ],
]


@every_mount
def test_no_tag_opens_the_way_to_a_source(alice, alice_in_fraud, run, model, mount):
    """B5; CVE-2026-2614 was that it did."""
    client = client_for(mount, alice, alice_in_fraud)
    for tags in PROMPTS:
        for text in ("file:///etc", "/etc/passwd", "http://169.254.169.254/", "x"):
            body = {"name": "scorer", "source": text, "tags": tags}
            assert is_refused(post(client, mount, "model-versions/create", body)), text
    assert has_no_version(model)


@every_mount
def test_a_source_lies_below_the_run_that_is_named(
    alice, alice_in_fraud, run, model, mount
):
    """B6, and B10: a prefix of text is not a folder above."""
    client = client_for(mount, alice, alice_in_fraud)
    other = RunFactory(experiment=run.experiment)
    root, named = root_of(run), {"run_id": run.pk.hex}
    wrong = [
        (root, {"run_id": other.pk.hex}),
        (f"{root}/model", {"run_id": other.pk.hex}),
        (f"runs:/{run.pk.hex}/model", {"run_id": other.pk.hex}),
        (f"runs:/{run.pk.hex}/model", {}),
        (f"{root}/model", {}),
        (f"{root}d", named),
        (f"{root}d/model", named),
        (root.replace("/artifacts", "a/artifacts"), named),
        (f"{root}/../../x", named),
        (f"{root}/%2e%2e/x", named),
        (f"{root}/a//b", named),
        (f"{root}/a\u0000", named),
        (f"runs:/{run.pk.hex}/../x", named),
        (f"runs:/{run.pk.hex}/%2e%2e/x", named),
        (f"runs:/{run.pk.hex}abcd/x", named),
        (f"runs://h/{run.pk.hex}/x", named),
        (root.replace("mlflow-artifacts:/", "mlflow-artifacts://h/"), named),
    ]
    for source, more in wrong:
        body = {"name": "scorer", "source": source, **more}
        answer = post(client, mount, "model-versions/create", body)
        assert is_refused(answer), (source, more)
    assert has_no_version(model)
    for source in (f"{root}/model", f"runs:/{run.pk.hex}/model"):
        body = {"name": "scorer", "source": source, **named}
        answer = post(client, mount, "model-versions/create", body)
        assert answer.status_code == 200, answer.content


@every_mount
def test_what_is_not_ours_is_no_source_in_the_same_words(
    alice, alice_in_fraud, cast, model, mount
):
    """B7: runs and logged models of others are as unknown as those of nobody."""
    client = client_for(mount, alice, alice_in_fraud)
    theirs = RunFactory(experiment__project=cast.umbrella_fraud)
    beside = RunFactory(experiment__project=cast.churn)
    for key in (theirs.pk.hex, beside.pk.hex):
        said = set()
        for each in (key, "0" * 32):
            body = {"name": "scorer", "source": f"runs:/{each}/m", "run_id": each}
            answer = post(client, mount, "model-versions/create", body)
            said.add((answer.status_code, answer.content.decode().replace(each, "?")))
            model_id = f"m-{each}"
            body = {"name": "scorer", "source": f"models:/{model_id}"}
            answer = post(
                client, mount, "model-versions/create", {**body, "model_id": model_id}
            )
            said.add((answer.status_code, answer.content.decode().replace(each, "?")))
        assert {status for status, _ in said} == {404}
        assert len(said) == 2
    assert has_no_version(model)


@every_mount
def test_readers_of_a_version_are_led_to_our_own_addresses(
    alice, alice_in_fraud, run, model, mount
):
    """B11."""
    client = client_for(mount, alice, alice_in_fraud)
    ModelVersionFactory(
        registered_model=model, version=1, run=run, source=f"runs:/{run.pk.hex}/m"
    )
    query = "name=scorer&version=1"
    for endpoint in ("model-versions/get-download-uri", "model-versions/get"):
        url = f"{mount.url(endpoint)}?{query}"
        answer = client.get(url, headers=mount.headers)
        assert answer.status_code == 200, answer.content
        text = answer.content.decode()
        assert "/blobs" not in text
        assert "file:" not in text
    uri = client.get(
        f"{mount.url('model-versions/get-download-uri')}?{query}",
        headers=mount.headers,
    ).json()["artifact_uri"]
    assert uri == f"{root_of(run)}/m"


# B12: what nobody may assign


FORGED = {
    "artifact_uri": "file:///etc",
    "artifact_location": "file:///etc",
    "lifecycle_stage": "deleted",
    "organization_id": "0198c5a0-0000-7000-8000-000000000001",
    "project_id": "0198c5a0-0000-7000-8000-000000000001",
    "user_id": "mallory",
    "created_by": "0198c5a0-0000-7000-8000-000000000001",
}


@every_mount
def test_what_is_ours_to_say_is_not_assigned(alice, alice_in_fraud, cast, mount):
    client = client_for(mount, alice, alice_in_fraud)
    experiment = ExperimentFactory(project=cast.fraud, name="before")
    run = RunFactory(experiment=experiment, user_name="alice")
    body = {"run_id": run.pk.hex, "run_name": "after", **FORGED}
    assert post(client, mount, "runs/update", body).status_code in (200, 400)
    body = {"experiment_id": str(experiment.iid), "new_name": "after", **FORGED}
    assert post(client, mount, "experiments/update", body).status_code in (200, 400)
    names = ["organization_id", "project_id", "deleted_at", "created_by"]
    for row, more in ((run, "user_name"), (experiment, "artifact_location")):
        now = type(row)._base_manager.get(pk=row.pk)
        for name in (*names, more):
            assert getattr(now, name) == getattr(row, name), name
