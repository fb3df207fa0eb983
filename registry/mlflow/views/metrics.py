"""Metrics: one point in, all points of a key out."""

from __future__ import annotations

from registry.mlflow import paging, rules, wire
from registry.mlflow.endpoint import endpoint
from registry.sql import batch, history
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
) -> bytes:
    return batch.log_metric(caller, run_id, wire.point(key, value, timestamp, step))


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
