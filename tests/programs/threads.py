"""Runs made by eight threads at once, without names: many in one millisecond."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from mlflow.tracking import MlflowClient

client = MlflowClient()
experiment = client.create_experiment("threads")
with ThreadPoolExecutor(8) as pool:
    made = list(pool.map(lambda _: client.create_run(experiment), range(400)))
print("made", len({run.info.run_id for run in made}))
found = client.search_runs([experiment], max_results=1000)
print("found", len(found))
