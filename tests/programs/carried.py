"""An experiment to move: what a team has after a year, each kind of thing once."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import pandas as pd
from mlflow.entities import Metric
from mlflow.models import infer_signature
from mlflow.tracking import MlflowClient
from sklearn.linear_model import LinearRegression

FILES = {
    "made/weights.bin": bytes(range(256)) * 400,
    "made/notes/größe ½ 模型.txt": "wie heißt das\n".encode(),
    "made/notes/deep/er/empty": b"",
    "made/with space & + (1).csv": b"1,2\n",
    "made/.hidden": b"dot",
}
client = MlflowClient()
mlflow.set_experiment("carried")
mlflow.set_experiment_tags(
    {
        "mlflow.note.content": "# Größe\n\n- *eins* 🦊",
        "team": "Größe & Co",
        "long": "x" * 4000,
    }
)
frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "größe": [0, 1, 3]})

with mlflow.start_run(run_name="прогон ①", description="# 概要\n\n- eins") as whole:
    mlflow.log_params({f"param {number:03}": number for number in range(150)})
    mlflow.log_params(
        {"Schrittweite größe": "½ · 10⁻³", "empty": "", "long": "y" * 500}
    )
    mlflow.set_tags({"größe/ö": "🦊\n\t'\"\\", "empty": "", "long": "z" * 5000})
    points = [
        Metric("loss", math.exp(-step / 100), 1_790_000_000_000 + step, step)
        for step in range(1000)
    ]
    points += [
        *(Metric("loss", 0.25, 1_790_000_000_000, 999), Metric("точность", 0.5, 5, -3)),
        *(
            Metric("odd", value, 7, step)
            for step, value in enumerate(
                [math.nan, math.inf, -math.inf, 5e-324, 0.1 + 0.2, -0.0, 2.0**53 + 2]
            )
        ),
    ]
    for begin in range(0, len(points), 500):
        client.log_batch(whole.info.run_id, metrics=points[begin : begin + 500])
    for context in ("training", "eval"):
        given = mlflow.data.from_pandas(frame, name=f"frame of {context}")
        mlflow.log_input(given, context=context)
    with TemporaryDirectory() as folder:
        for name, content in FILES.items():
            file = Path(folder, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        mlflow.log_artifacts(folder)
    mlflow.log_dict({"a": [1, 2], "ö": None}, "settings.json")

with mlflow.start_run(run_name="modelled"):
    inputs = frame[["x"]]
    model = LinearRegression().fit(inputs, frame["größe"])
    mlflow.sklearn.log_model(
        model,
        "model",
        signature=infer_signature(inputs, model.predict(inputs)),
        input_example=inputs.head(2),
    )

with mlflow.start_run(run_name="parent"):
    for fold in range(3):
        with mlflow.start_run(run_name=f"fold {fold}", nested=True):
            mlflow.log_metric("loss", 1 / (fold + 1), step=fold)
            with mlflow.start_run(run_name=f"leaf of {fold}", nested=True):
                mlflow.log_param("depth", 3)

for status in ("FAILED", "KILLED", "RUNNING"):
    run = client.create_run(whole.info.experiment_id, run_name=status.lower())
    client.log_metric(run.info.run_id, "loss", 1.0)
    if status != "RUNNING":
        client.set_terminated(run.info.run_id, status)
gone = client.create_run(whole.info.experiment_id, run_name="gone")
client.delete_run(gone.info.run_id)
print("made", len(mlflow.search_runs([whole.info.experiment_id], output_format="list")))
