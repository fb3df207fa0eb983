"""LightGBM with autolog: its metrics by step, its importances, its model."""

from __future__ import annotations

import lightgbm
import mlflow
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

x, y = load_breast_cancer(return_X_y=True, as_frame=True)
# LightGBM takes no spaces in names.
x.columns = [name.replace(" ", "_") for name in x.columns]
x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=7)
mlflow.set_experiment("lightgbm autolog")
mlflow.lightgbm.autolog()

train = lightgbm.Dataset(x_train, y_train)
with mlflow.start_run(run_name="boosted") as run:
    lightgbm.train(
        {
            "objective": "binary",
            "metric": ["auc", "binary_logloss"],
            "num_leaves": 7,
            "num_threads": 1,
            "deterministic": True,
            "seed": 7,
            "verbose": -1,
        },
        train,
        num_boost_round=20,
        valid_sets=[train, lightgbm.Dataset(x_test, y_test, reference=train)],
        valid_names=["train", "test"],
    )
model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
print("read back", [round(float(each), 6) for each in model.predict(x_test)[:5]])
