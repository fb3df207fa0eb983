from __future__ import annotations

from typing import Any

import pytest

from mlops import env


@pytest.fixture(autouse=True)
def unthrottled(settings: Any) -> None:
    """Thousands of requests of one address are the point here, not an attack."""
    rate = env.rate("", "1000000/s")
    settings.THROTTLES = dict.fromkeys(settings.THROTTLES, rate)
