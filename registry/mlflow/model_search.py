"""The few filters of logged models that clients and the web UI cannot do without.

A client looks for the model of a run by its name; the UI asks for models by their ids.
The grammar of all other filters is a matter of the search.
"""

from __future__ import annotations

import re

from django.db.models import Q

from mlops.errors import InvalidInput
from registry.mlflow.holders import model_key
from registry.refusals import shown

ATTRIBUTE = r"(?:attributes?\.)?"
BY_NAME = re.compile(
    rf"\s*{ATTRIBUTE}name\s*=\s*(?:'([^']*)'|\"([^\"]*)\")\s*", re.IGNORECASE
)
ID = r"\s*['\"][^'\"]*['\"]\s*"
BY_IDS = re.compile(
    rf"\s*{ATTRIBUTE}model_id\s+IN\s*\(({ID}(?:,{ID})*)\)\s*", re.IGNORECASE
)


def condition_of(text: str) -> Q:
    """Read a filter. Raises InvalidInput for one of another form."""
    if not text.strip():
        return Q()
    if found := BY_NAME.fullmatch(text):
        return Q(name=found[1] or found[2] or "")
    if found := BY_IDS.fullmatch(text):
        ids = (part.strip()[1:-1] for part in found[1].split(","))
        return Q(pk__in=[key for key in map(model_key, ids) if key])
    raise InvalidInput(
        f"Invalid value for parameter 'filter' supplied: '{shown(text)}'. Filters "
        "other than name = '…' and model_id IN ('…') are not supported yet; leave "
        "it out."
    )
