"""Why something cannot be done to a run or an experiment, in MLflow's own words.

One home for each text: a foreign object must be answered in the same bytes as one that
never existed, whichever path the request took.
"""

from __future__ import annotations

from django.conf import settings

from mlops.errors import InvalidInput, LimitExceeded, NotFound

SHOWN_CHARACTERS = 250


def shown(value: object) -> str:
    """Return what the caller sent, cut where an answer would only repeat a body."""
    text = str(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def no_run(run_id: str) -> NotFound:
    return NotFound(f"Run with id={shown(run_id)} not found")


def deleted_run(run_id: str) -> InvalidInput:
    return InvalidInput(
        f"The run {run_id} must be in the 'active' state. Current state is deleted."
    )


def no_experiment(iid: object) -> NotFound:
    return NotFound(f"No Experiment with id={shown(iid)} exists")


def deleted_experiment(iid: object) -> InvalidInput:
    return InvalidInput(
        f"The experiment {iid} must be in the 'active' state. Current state is deleted."
    )


def no_logged_model(model_id: str) -> NotFound:
    return NotFound(f"Logged model with ID '{shown(model_id)}' not found.")


def deleted_logged_model(model_id: str) -> InvalidInput:
    return InvalidInput(
        f"The logged model {model_id} must be in the 'active' state. "
        "Current state is deleted."
    )


def no_evaluation_dataset(dataset_id: str) -> NotFound:
    return NotFound(f"Evaluation dataset with id '{shown(dataset_id)}' not found")


def no_dataset_to_label(dataset_id: str) -> NotFound:
    return NotFound(f"Could not find evaluation dataset with ID {shown(dataset_id)}")


def no_dataset_to_link(dataset_id: str) -> NotFound:
    return NotFound(f"Dataset '{shown(dataset_id)}' not found")


def no_experiment_of_dataset(iid: str) -> NotFound:
    return NotFound(f"No Experiment with id={shown(iid)}")


def most(limit: str) -> int:
    """Return how many the installation allows: of `run_params`, for example."""
    return int(settings.OBJECT_LIMITS[limit])


def no_room(limit: str, owner: str, *, holds: int, more: int) -> LimitExceeded:
    noun = limit.rpartition("_")[2]
    return LimitExceeded(
        f"{owner} has {holds} {noun}; {more} more would exceed the limit of "
        f"{most(limit)} (LIMIT_{limit.upper()})."
    )


def invalid_page_token() -> InvalidInput:
    return InvalidInput(
        "Invalid page token, could not base64-decode it or it belongs to another "
        "request. Send the next_page_token of the same request."
    )


class ParamsChanged(InvalidInput):
    """A param cannot change its value."""

    def __init__(self, run_id: str, changes: list[dict[str, str]]) -> None:
        self.run_id = run_id
        self.changes = changes
        super().__init__(
            f"Changing param values is not allowed. Params were already logged="
            f"'{changes}' for run ID='{run_id}'."
        )

    def alone(self) -> InvalidInput:
        """Say it of the one param that was logged by itself."""
        change = self.changes[0]
        return InvalidInput(
            f"Changing param values is not allowed. Param with key='{change['key']}' "
            f"was already logged with value='{change['old_value']}' for run "
            f"ID='{self.run_id}'. Attempted logging new value '{change['new_value']}'."
        )
