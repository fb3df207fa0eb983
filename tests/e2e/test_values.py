"""Values at the edges, through the unmodified client and by both mounts."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

from tests.e2e.logged import LARGEST, files_of
from tests.e2e.running import Tenant

pytestmark = pytest.mark.e2e

MB = 1024**2
NOW = 1_790_000_000_000


@pytest.fixture(scope="module", params=["token", "path"])
def client(tenant: Tenant, request) -> Iterator[MlflowClient]:
    with tenant.client(request.param) as client:
        yield client


@pytest.fixture
def run_id(client: MlflowClient) -> str:
    run_id: str = client.create_run("0").info.run_id
    return run_id


def test_default_experiment_is_there_from_the_start(client: MlflowClient) -> None:
    assert client.get_experiment("0").name == "Default"


@pytest.mark.parametrize(
    "value, kept",
    [
        (math.inf, LARGEST),
        (-math.inf, -LARGEST),
        (LARGEST, LARGEST),
        (5e-324, 5e-324),
        (0.1 + 0.2, 0.1 + 0.2),
        (-1e-9, -1e-9),
        (2**53 + 2, float(2**53 + 2)),
    ],
)
def test_odd_numbers_come_back_as_mlflow_keeps_them(
    client: MlflowClient, run_id: str, value: float, kept: float
) -> None:
    client.log_metric(run_id, "odd", value, timestamp=NOW, step=3)
    client.log_batch(run_id, metrics=[Metric("odd", value, NOW, 4)])
    points = client.get_metric_history(run_id, "odd")
    assert [(point.value, point.step) for point in points] == [(kept, 3), (kept, 4)]
    assert client.get_run(run_id).data.metrics == {"odd": kept}


def test_nan_comes_back_as_nan(client: MlflowClient, run_id: str) -> None:
    client.log_metric(run_id, "loss", 1.5, timestamp=NOW, step=0)
    client.log_metric(run_id, "loss", math.nan, timestamp=NOW, step=1)
    history = client.get_metric_history(run_id, "loss")
    assert [str(point.value) for point in history] == ["1.5", "nan"]
    assert math.isnan(client.get_run(run_id).data.metrics["loss"])


def test_steps_and_times_may_be_any_whole_numbers(
    client: MlflowClient, run_id: str
) -> None:
    given = [(0, -5), (0, 0), (NOW, 2**31), (2**53, 7)]
    for moment, step in given:
        client.log_metric(run_id, "loss", 1.0, timestamp=moment, step=step)
    history = client.get_metric_history(run_id, "loss")
    assert [(point.timestamp, point.step) for point in history] == given


def test_ten_thousand_points_of_one_key_come_back(
    client: MlflowClient, run_id: str
) -> None:
    sent = [Metric("loss", 1 / (step + 1), NOW + step, step) for step in range(10_000)]
    client.log_batch(run_id, metrics=sent)
    client.log_batch(run_id, metrics=sent[2_500:7_500])  # a retry stores nothing
    found = client.get_metric_history(run_id, "loss")
    assert [(m.timestamp, m.step, m.value) for m in found] == [
        (m.timestamp, m.step, m.value) for m in sent
    ]


def test_latest_is_the_highest_step_however_late_it_comes(
    client: MlflowClient, run_id: str
) -> None:
    for step, value in ((5, 0.5), (9, 0.9), (7, 0.7)):
        client.log_metric(run_id, "loss", value, timestamp=NOW, step=step)
    assert client.get_run(run_id).data.metrics == {"loss": 0.9}


def test_names_in_any_script_come_back(client: MlflowClient, tmp_path: Path) -> None:
    name = f"Größe 模型 №1 ☃ {tmp_path}"
    experiment = client.create_experiment(name)
    run = client.create_run(
        experiment, run_name="прогон ①", tags={"emoji 🦊": "🦊\n\t"}
    )
    run_id = run.info.run_id
    client.log_param(run_id, "Schrittweite_größe", "½ · 10⁻³")
    client.log_metric(run_id, "точность", 0.5)
    client.set_tag(run_id, "mlflow.note.content", "# 概要\n\n- *eins*")
    found = client.get_run(run_id)
    assert client.get_experiment(experiment).name == name
    by_name = client.get_experiment_by_name(name)
    assert by_name
    assert by_name.experiment_id == experiment
    assert found.info.run_name == "прогон ①"
    assert found.data.params == {"Schrittweite_größe": "½ · 10⁻³"}
    assert found.data.metrics == {"точность": 0.5}
    assert found.data.tags["mlflow.note.content"] == "# 概要\n\n- *eins*"


def test_folders_come_back_with_every_name_and_byte(
    client: MlflowClient, run_id: str, tmp_path: Path
) -> None:
    files = {
        "top.txt": b"top",
        "a/empty": b"",
        "a/b/c/d/deep.bin": bytes(range(256)),
        "a/b/größe ½ 模型.txt": "wie heißt das".encode(),
        "a/b/with space & + (1).csv": b"1,2\n",
        "a/.hidden": b"dot",
    }
    for name, content in files.items():
        file = tmp_path / "sent" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    client.log_artifacts(run_id, str(tmp_path / "sent"), "in/here")
    listed = {file.path: file.file_size for file in files_of(client, run_id)}
    assert listed == {f"in/here/{name}": len(files[name]) for name in files}
    (tmp_path / "found").mkdir()
    folder = Path(client.download_artifacts(run_id, "in", str(tmp_path / "found")))
    found = {
        file.relative_to(folder / "here").as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }
    assert found == files


@pytest.mark.parametrize("size_mb", [1, 100])
def test_large_files_come_back_by_their_digest(
    client: MlflowClient, run_id: str, tmp_path: Path, size_mb: int
) -> None:
    file = tmp_path / "weights.bin"
    dice = random.Random(size_mb)
    with file.open("wb") as output:
        for _ in range(size_mb):
            output.write(dice.randbytes(MB))
    client.log_artifact(run_id, str(file), "model")
    (listed,) = client.list_artifacts(run_id, "model")
    assert (listed.path, listed.file_size) == ("model/weights.bin", size_mb * MB)
    (tmp_path / "found").mkdir()
    found = client.download_artifacts(run_id, listed.path, str(tmp_path / "found"))
    assert sha256_of(Path(found)) == sha256_of(file)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
