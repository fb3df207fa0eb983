"""mlflow.search_runs: filters and orders, read into a data frame."""

from __future__ import annotations

import mlflow

mlflow.set_experiment("search")
for number in range(30):
    with mlflow.start_run(run_name=f"run {number:02}"):
        mlflow.log_param("kind", "even" if number % 2 == 0 else "odd")
        mlflow.log_param("rate", number / 10)
        if number % 3:
            mlflow.log_metric("loss", float("nan") if number == 4 else 30 - number)
        if number % 5 == 0:
            mlflow.set_tag("team", ["red", "Red", "blue"][number % 3])

QUESTIONS = [
    ("", None),
    ("metrics.loss > 10", ["metrics.loss DESC"]),
    ("params.kind = 'even' and metrics.loss <= 25", ["params.rate"]),
    ("params.kind != 'even'", ["attributes.run_name DESC"]),
    ("tags.team LIKE 'R%'", ["tags.team ASC", "run_name"]),
    ("tags.team ILIKE 'r%'", ["start_time DESC"]),
    ("tags.team IS NULL AND params.kind = 'odd'", ["metrics.loss ASC"]),
    ("", ["metrics.loss ASC"]),
    ("", ["metrics.loss DESC"]),
    ("attributes.status = 'FINISHED' AND run_name LIKE 'run 1%'", ["run_name"]),
]
for text, order in QUESTIONS:
    frame = mlflow.search_runs(
        experiment_names=["search"], filter_string=text, order_by=order
    )
    known = [name for name in frame.columns if name.startswith(("metrics", "params"))]
    print(repr(text), order, sorted(known), len(frame))
    if len(frame):
        shown = frame[["tags.mlflow.runName", *sorted(known)]].fillna("-")
        print(shown.to_csv(index=False))
