"""Metrics: one point in; all points of a key, or a sample of them, out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from registry.mlflow import model_wire, paging, rules, wire
from registry.mlflow.endpoint import endpoint
from registry.mlflow.holders import model_key
from registry.sql import batch, history, model_metrics
from registry.sql.batch import Point
from registry.sql.model_metrics import ModelPoint
from tenants.callers import Caller
from tenants.permissions import Permission


@endpoint("POST", "runs/log-metric", needs=Permission.TRACKING_WRITE)
def log_metric(
    caller: Caller,
    *,
    run_id: str,
    key: str,
    value: float,
    timestamp: int,
    step: int = 0,
    model_id: str = "",
    dataset_name: str = "",
    dataset_digest: str = "",
) -> bytes:
    point = wire.point(key, value, timestamp, step)
    if not model_id:
        return batch.log_metric(caller, run_id, point)
    of_models = model_wire.model_points(
        [
            {
                "model_id": model_id,
                "dataset_name": dataset_name,
                "dataset_digest": dataset_digest,
            }
        ]
    )
    return log_points(caller, run_id, [point], of_models)


def log_points(
    caller: Caller,
    run_id: str,
    points: Sequence[Point],
    of_models: Sequence[ModelPoint],
    **batch: Any,
) -> bytes:
    """Store the points of a run, and those of them that name a model for it, too."""
    keys = [model_key(each.model_id) for each in of_models]
    return model_metrics.log_batch(
        caller, run_id, points=points, of_models=of_models, keys=keys, **batch
    )


@endpoint("GET", "metrics/get-history", needs=Permission.TRACKING_READ)
def get_history(
    caller: Caller,
    *,
    run_id: str,
    metric_key: str,
    max_results: int | None = None,
    page_token: str = "",
) -> bytes:
    limit = rules.history_size(max_results)
    request = ("metrics/get-history", run_id, metric_key)
    place = paging.unseal(page_token, *request)
    body, following = history.metric_history(
        caller, run_id, metric_key, limit=limit, place=place
    )
    return paging.append(body, following, *request)


@endpoint("GET", "metrics/get-history-bulk", needs=Permission.TRACKING_READ)
def get_history_bulk(
    caller: Caller,
    *,
    run_id: list[str] | None = None,
    metric_key: str | None = None,
    max_results: int = rules.MAX_BULK_HISTORY,
) -> bytes:
    """Pass over runs that the project lacks; no bound is set on the points of one."""
    rules.check_bulk_history(run_id or [], metric_key, max_results)
    limit = min(max_results, rules.MAX_BULK_HISTORY)
    return history.metric_histories(caller, run_id or [], metric_key or "", limit=limit)


@endpoint("GET", "metrics/get-history-bulk-interval", needs=Permission.TRACKING_READ)
def get_history_bulk_interval(
    caller: Caller,
    *,
    run_ids: list[str],
    metric_key: str,
    max_results: int = rules.MAX_SAMPLE,
    start_step: int | None = None,
    end_step: int | None = None,
) -> bytes:
    """Sample each run by itself; runs that the project lacks are passed over."""
    rules.check_sample(run_ids, max_results)
    return history.sample_histories(
        caller,
        run_ids,
        metric_key,
        points=max_results,
        steps=rules.interval(start_step, end_step),
    )
