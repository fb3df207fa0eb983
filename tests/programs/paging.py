"""MlflowClient walks 3 000 runs by pages, newest first and by a metric."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from mlflow.tracking import MlflowClient

RUNS, PAGE, THREADS = 3000, 250, 4
client = MlflowClient()
experiment = client.create_experiment("paging")


def make(number: int) -> str:
    run = client.create_run(experiment, start_time=1000 + number // 2)
    client.log_metric(run.info.run_id, "m", number % 100, timestamp=1)
    return run.info.run_id


def walked(text: str, order: list[str]) -> list:
    found, token, pages = [], None, 0
    while pages == 0 or token:
        page = client.search_runs(
            [experiment], text, max_results=PAGE, order_by=order, page_token=token
        )
        found, token, pages = found + list(page), page.token, pages + 1
    print("pages", pages, "runs", len(found))
    assert len({run.info.run_id for run in found}) == len(found), "a run came twice"
    return found


with ThreadPoolExecutor(THREADS) as pool:
    made = set(pool.map(make, range(RUNS)))
newest = walked("", [])
assert {run.info.run_id for run in newest} == made
starts = [run.info.start_time for run in newest]
assert starts == sorted(starts, reverse=True), "not newest first"
ranked = walked("metrics.m >= 50", ["metrics.m ASC"])
values = [run.data.metrics["m"] for run in ranked]
assert values == sorted(value for value in range(50, 100) for _ in range(RUNS // 100))
