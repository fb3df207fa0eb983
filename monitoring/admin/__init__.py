"""The browser admin of monitoring; importing it registers every model."""

from __future__ import annotations

from monitoring.admin import alerts, jobs, points, reports
from monitoring.admin.overview import overview
