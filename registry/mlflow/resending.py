"""Which creates may be an earlier one, sent again because its answer was not heard."""

from __future__ import annotations

import re
from collections.abc import Mapping

PARENT_TAG = "mlflow.parentRunId"
CLIENT = re.compile(r"mlflow-python-client/([0-9]{1,4})\.([0-9]{1,4})")
# From here on MLflow's client resends a create only if the server has not begun it.
RESENDS_NO_CREATE = (3, 18)


def may_be_sent_again(user_agent: str, tags: Mapping[str, str]) -> bool:
    """Say whether a run that looks the same to the millisecond may be the answer.

    Not for a child: a search over parameters makes all of its children at once, and
    nothing tells them apart until something is logged to them.
    """
    if PARENT_TAG in tags:
        return False
    found = CLIENT.match(user_agent)
    return found is None or (int(found[1]), int(found[2])) < RESENDS_NO_CREATE
