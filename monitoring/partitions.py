from __future__ import annotations

from mlops.db.partitions import Policy

# Raw points serve charts and baselines for a year, and the last month to its end.
POLICIES = [Policy("model_monitoring", keep_months=14)]
