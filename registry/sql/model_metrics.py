"""Points that name a logged model: stored twice, in the request's one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from mlops.db import hot
from mlops.db.hot import Bigints, Floats, Texts, Uuids
from mlops.db.uuid7 import fact_id
from registry import refusals
from registry.sql.answers import admitted, read
from registry.sql.batch import BATCH, NO_RUN, Point, batch_parameters
from tenants.callers import Caller

NO_MODEL = b"no_model "

# Unknown models are looked for before anything is written.
LOG_MODEL_BATCH = admitted(f"""
    coalesce(
        registry_unknown_model(
            caller.organization_id, caller.project_id, %(models)b),
        registry_log_model_metrics(
            {BATCH}, caller.organization_id, %(run)s,
            %(model_point_ids)b, %(models)b, %(model_names)b, %(model_values)b,
            %(model_timestamps)b, %(model_steps)b, %(datasets)b, %(digests)b))
""")


class ModelPoint(NamedTuple):
    """Which model a point of a batch is of, and which data it was measured on."""

    place: int  # of the point in its batch
    model_id: str
    dataset_name: str = ""
    dataset_digest: str = ""


def log_batch(
    caller: Caller,
    run_id: str,
    *,
    points: Sequence[Point],
    of_models: Sequence[ModelPoint],
    keys: Sequence[UUID | None],
    **batch: Any,
) -> bytes:
    """Store all or nothing; `keys` are the ids of the models, None for what is no id.

    Raises NotFound for a model that the project lacks, and what batch.log_batch does.
    """
    parameters = batch_parameters(run_id, points=points, **batch)
    parameters |= _columns(parameters["run"], points, of_models, keys)
    answer = hot.fetch(LOG_MODEL_BATCH, {**caller.parameters, **parameters})
    if answer.startswith(NO_MODEL):
        unknown = of_models[int(answer.removeprefix(NO_MODEL)) - 1]
        raise refusals.no_logged_model(unknown.model_id)
    return read(answer, caller, run_id=run_id)


def _columns(
    run: str | None,
    points: Sequence[Point],
    of_models: Sequence[ModelPoint],
    keys: Sequence[UUID | None],
) -> Mapping[str, hot.Column]:
    mine = [points[each.place] for each in of_models]
    models = [key or NO_RUN for key in keys]
    names, timestamps, steps, values = zip(*mine, strict=True)
    return {
        "model_point_ids": Uuids(
            [
                fact_id(point[1], key, run, *point, *each[2:]).hex
                for key, point, each in zip(models, mine, of_models, strict=True)
            ]
        ),
        "models": Uuids([key.hex for key in models]),
        "model_names": Texts(names),
        "model_values": Floats(values),
        "model_timestamps": Bigints(timestamps),
        "model_steps": Bigints(steps),
        "datasets": Texts([each.dataset_name for each in of_models]),
        "digests": Texts([each.dataset_digest for each in of_models]),
    }
