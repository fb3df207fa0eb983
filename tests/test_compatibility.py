"""docs/compatibility.md lists exactly the endpoints that are served."""

from __future__ import annotations

import re

from django.conf import settings

from registry.mlflow import urls
from registry.mlflow.endpoint import ENDPOINTS

ROW = re.compile(r"^\| ([A-Z, ]+) \| `([^`]+)` \| `?([a-z:]+)`? \|$", re.MULTILINE)


def test_every_endpoint_stands_in_the_docs_as_it_is_served():
    assert urls.REGISTERED  # importing the routes fills the list
    text = (settings.BASE_DIR / "docs" / "compatibility.md").read_text()
    documented = {
        (method, path, needs)
        for methods, path, needs in ROW.findall(text)
        for method in methods.split(", ")
    }
    served = {(each.method, each.path, each.needs or "none") for each in ENDPOINTS}
    assert documented == served
