"""How pages write moments: sortable, and in UTC, which they say."""

from __future__ import annotations

DATETIME_FORMAT = r"Y-m-d H:i:s \U\T\C"
DATE_FORMAT = "Y-m-d"
TIME_FORMAT = "H:i:s"
