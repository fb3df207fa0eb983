"""Runs below runs, three deep, and how they are found again."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import pandas as pd

mlflow.set_experiment("nested")
with mlflow.start_run(run_name="parent", description="the whole search") as parent:
    mlflow.log_params({"folds": 3, "seed": 7})
    for fold in range(3):
        with mlflow.start_run(run_name=f"fold {fold}", nested=True):
            mlflow.log_param("fold", fold)
            for step in range(5):
                mlflow.log_metric("loss", 1 / (step + 1 + fold), step=step)
            with mlflow.start_run(run_name=f"leaf of {fold}", nested=True):
                mlflow.log_metric("depth", 3)
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [0, 1]})
    mlflow.log_input(mlflow.data.from_pandas(frame, name="frame"), context="training")
    with TemporaryDirectory() as folder:
        Path(folder, "notes").mkdir()
        Path(folder, "notes", "größe.txt").write_text("wie heißt das\n")
        Path(folder, "weights.bin").write_bytes(bytes(range(256)) * 100)
        mlflow.log_artifacts(folder, "made")
    mlflow.log_dict({"a": [1, 2]}, "settings.json")
    mlflow.set_tag("stage", "done")

found = mlflow.search_runs(
    experiment_names=["nested"],
    filter_string=f"tags.mlflow.parentRunId = '{parent.info.run_id}'",
    order_by=["tags.`mlflow.runName` ASC"],
)
print("children", list(found["tags.mlflow.runName"]))
print("losses", [round(value, 6) for value in found["metrics.loss"]])
