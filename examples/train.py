"""Train five classifiers on the breast-cancer data and log them with plain MLflow.

    pip install -r examples/requirements.txt
    export MLFLOW_TRACKING_URI=http://127.0.0.1:8000
    export MLFLOW_TRACKING_TOKEN=mlp_u_…
    python examples/train.py

Nothing here knows of the platform: the same script runs on any MLflow server.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import joblib
import matplotlib
import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import Metric
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import train_test_split

EXPERIMENT = "breast-cancer"
SOURCE = "https://archive.ics.uci.edu/dataset/17/breast+cancer+wisconsin+diagnostic"
STAGES = 200
SETTINGS = [
    {"learning_rate": 0.02, "max_depth": 2, "subsample": 1.0},
    {"learning_rate": 0.05, "max_depth": 2, "subsample": 0.7},
    {"learning_rate": 0.10, "max_depth": 1, "subsample": 1.0},
    {"learning_rate": 0.10, "max_depth": 3, "subsample": 0.5},
    {"learning_rate": 0.30, "max_depth": 3, "subsample": 1.0},
]


def main() -> None:
    matplotlib.use("Agg")  # draw into files: there may be no screen
    data = load_breast_cancer(as_frame=True)
    split = train_test_split(data.data, data.target, random_state=7)
    mlflow.set_experiment(EXPERIMENT)
    for settings in SETTINGS:
        name = "depth {max_depth}, rate {learning_rate}".format(**settings)
        with mlflow.start_run(run_name=name) as run:
            accuracy = train(settings, *split)
        print(f"{name}: accuracy {accuracy:.3f}, run {run.info.run_id}")
    print(f"All in experiment {EXPERIMENT} at {mlflow.get_tracking_uri()}")


def train(
    settings: dict,
    x_train: pd.DataFrame,
    x_test: pd.DataFrame,
    y_train: pd.Series,
    y_test: pd.Series,
) -> float:
    """Fit one model in the active run, log all there is to know, return accuracy."""
    mlflow.log_params({**settings, "stages": STAGES, "rows": len(x_train)})
    mlflow.set_tags({"algorithm": "gradient boosting", "library": "scikit-learn"})
    dataset = mlflow.data.from_pandas(
        x_train.assign(malignant=y_train == 0), SOURCE, "malignant", EXPERIMENT
    )
    mlflow.log_input(dataset, context="training")

    model = GradientBoostingClassifier(
        n_estimators=STAGES, max_features="sqrt", random_state=7, **settings
    )
    model.fit(x_train, y_train)
    log_curve(model, "train_loss", x_train, y_train)
    log_curve(model, "test_loss", x_test, y_test)
    accuracy = model.score(x_test, y_test)
    mlflow.log_metric("accuracy", accuracy)

    picture = ConfusionMatrixDisplay.from_estimator(
        model, x_test, y_test, display_labels=["malignant", "benign"]
    )
    mlflow.log_figure(picture.figure_, "plots/confusion_matrix.png")
    mlflow.log_dict({"features": list(x_train.columns)}, "model/features.json")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.joblib"
        joblib.dump(model, file)
        mlflow.log_artifact(file, "model")
    return accuracy


def log_curve(
    model: GradientBoostingClassifier, name: str, x: pd.DataFrame, y: pd.Series
) -> None:
    """Log the cross entropy after every stage.

    `log_batch` sends up to 1,000 points a request, `log_metric` would send one.
    """
    now = int(time.time() * 1000)
    curve = [
        Metric(name, -np.log(chances[np.arange(len(y)), y]).mean(), now, step)
        for step, chances in enumerate(model.staged_predict_proba(x), start=1)
    ]
    run = mlflow.active_run()
    mlflow.MlflowClient().log_batch(run.info.run_id, metrics=curve)


if __name__ == "__main__":
    main()
