"""Models of the unmodified client: logged, loaded by every address, registered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import mlflow
import numpy as np
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel
from mlflow.tracking import MlflowClient
from sklearn.linear_model import LogisticRegression

from tests.e2e.running import Platform, Tenant

pytestmark = pytest.mark.e2e
DATA = np.random.default_rng(7).normal(size=(60, 4))
TRUTH = (DATA.sum(axis=1) > 0).astype(int)


class Threshold(PythonModel):
    """A flavour whose code travels with the model."""

    def predict(
        self,
        context: Any,
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,
    ) -> np.ndarray:
        return (np.asarray(model_input).sum(axis=1) > 0.5).astype(int)


@dataclass
class Logged:
    """What was logged, and under which addresses it is found."""

    client: MlflowClient
    model: Any
    flavour: Any
    info: Any
    run_id: str
    name: str

    @property
    def addresses(self) -> list[str]:
        return [
            f"models:/{self.info.model_id}",
            f"runs:/{self.run_id}/model",
            f"models:/{self.name}/1",
            f"models:/{self.name}@champion",
        ]


@pytest.fixture(scope="module", params=["sklearn", "pyfunc"])
def logged(platform: Platform, request) -> Iterator[Logged]:
    """Log a model in a project of its own, by the way that its mount is."""
    mount = {"sklearn": "token", "pyfunc": "path"}[request.param]
    with platform.make_tenant().client(mount) as client:
        with mlflow.start_run() as run:
            mlflow.log_params({"kind": request.param, "seed": 7})
            if request.param == "sklearn":
                model: Any = LogisticRegression().fit(DATA, TRUTH)
                info = mlflow.sklearn.log_model(
                    model, name="model", pip_requirements=["scikit-learn"]
                )
            else:
                model = Threshold()
                info = mlflow.pyfunc.log_model(
                    name="model", python_model=model, pip_requirements=["numpy"]
                )
            mlflow.log_metric("accuracy", 0.75, step=3, model_id=info.model_id)
        name = f"detector-{request.param}"
        mlflow.register_model(f"models:/{info.model_id}", name)
        client.set_registered_model_alias(name, "champion", "1")
        flavour = getattr(mlflow, request.param)
        yield Logged(client, model, flavour, info, run.info.run_id, name)


def expected(logged: Logged) -> np.ndarray:
    if isinstance(logged.model, Threshold):
        return logged.model.predict(None, DATA)
    return logged.model.predict(DATA)


def test_a_logged_model_predicts_the_same_from_every_address(logged: Logged) -> None:
    for address in logged.addresses:
        loaded = logged.flavour.load_model(address)
        assert np.array_equal(loaded.predict(DATA), expected(logged)), address


def test_every_address_leads_to_the_same_bytes(logged: Logged, tmp_path: Path) -> None:
    trees = []
    for number, address in enumerate(logged.addresses):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = mlflow.artifacts.download_artifacts(address, dst_path=str(folder))
        trees.append(digests(Path(found)))
    assert "MLmodel" in trees[0]
    assert all(tree == trees[0] for tree in trees)


def digests(folder: Path) -> dict[str, str]:
    """Digest all files but the one that a client writes by itself when it downloads."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "registered_model_meta"
    }


def test_a_logged_model_tells_what_it_is(logged: Logged) -> None:
    found = mlflow.get_logged_model(logged.info.model_id)
    assert (found.name, str(found.status)) == ("model", "READY")
    assert found.source_run_id == logged.run_id
    assert found.params == logged.client.get_run(logged.run_id).data.params
    assert [(m.key, m.value, m.step, m.run_id) for m in found.metrics or []] == [
        ("accuracy", 0.75, 3, logged.run_id)
    ]
    assert logged.name in found.tags["mlflow.modelVersions"]
    assert found.artifact_location == (
        f"mlflow-artifacts:/0/models/{found.model_id}/artifacts"
    )


def test_the_run_and_the_version_know_the_model(logged: Logged) -> None:
    run = logged.client.get_run(logged.run_id)
    assert run.outputs
    outputs = [output.model_id for output in run.outputs.model_outputs]
    assert outputs == [logged.info.model_id]
    version = logged.client.get_model_version(logged.name, "1")
    assert version.source == f"models:/{logged.info.model_id}"
    assert version.run_id == logged.run_id
    by_alias = logged.client.get_model_version_by_alias(logged.name, "champion")
    assert by_alias.version == "1"
    listed = logged.client.list_artifacts(logged.run_id, "model")
    assert "model/MLmodel" in {file.path for file in listed}


def test_another_tenant_finds_neither_model_nor_version(
    logged: Logged, stranger: Tenant
) -> None:
    model_id = logged.info.model_id
    with stranger.client() as client:
        for look in (
            client.get_logged_model,
            client.delete_logged_model,
            lambda key: client.set_logged_model_tags(key, {"mine": "now"}),
            lambda key: client.create_model_version(
                "stolen", f"models:/{key}", model_id=key
            ),
        ):
            nobodys = f"m-{uuid4().hex}"
            said = refusal(look, model_id).replace(model_id, "<model>")
            assert said == refusal(look, nobodys).replace(nobodys, "<model>")
        with pytest.raises(MlflowException, match="not found"):
            client.get_model_version(logged.name, "1")


def refusal(look: Any, model_id: str) -> str:
    with pytest.raises(MlflowException) as refused:
        look(model_id)
    return str(refused.value)
