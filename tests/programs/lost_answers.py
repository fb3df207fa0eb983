"""Runs that log a little of everything, by a client that resends what it hears no
answer to."""

from __future__ import annotations

import mlflow

RUNS = 400

mlflow.set_experiment("lost answers")
for number in range(RUNS):
    with mlflow.start_run(run_name=f"run {number}"):
        mlflow.log_param("number", number)
        for step in range(3):
            mlflow.log_metric("loss", number / (step + 1), step=step)
        mlflow.set_tag("half", str(number % 2))
