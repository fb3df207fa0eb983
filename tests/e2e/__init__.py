"""Tests that talk to a whole platform with the unmodified mlflow client."""

from __future__ import annotations

import os

# The client reads this when it is imported: tests talk to nobody but us.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
