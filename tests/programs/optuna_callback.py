"""Optuna tells MLflow of each trial by its callback."""

from __future__ import annotations

import os

import mlflow
import optuna
from optuna_integration.mlflow import MLflowCallback

optuna.logging.set_verbosity(optuna.logging.WARNING)


def objective(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -10, 10)
    kind = trial.suggest_categorical("kind", ["plain", "shifted"])
    trial.set_user_attr("note", f"x is {x:.3f}")
    return (x - (2 if kind == "shifted" else 0)) ** 2


study = optuna.create_study(
    study_name="optuna", sampler=optuna.samplers.TPESampler(seed=7)
)
told = MLflowCallback(
    tracking_uri=os.environ["MLFLOW_TRACKING_URI"], metric_name="loss"
)
study.optimize(objective, n_trials=12, callbacks=[told])
best = mlflow.search_runs(
    experiment_names=["optuna"], order_by=["metrics.loss ASC"], max_results=3
)
print("best", round(study.best_value, 6), [round(v, 6) for v in best["metrics.loss"]])
