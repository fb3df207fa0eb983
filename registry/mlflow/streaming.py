"""Artifacts flow as tenants.streaming says; a refusal has the form of MLflow."""

from __future__ import annotations

from registry.mlflow.errors import MethodNotAllowed, refuse
from tenants.streaming import Entrance, Streaming, turns

__all__ = ["Entrance", "streaming", "turns"]

streaming = Streaming(refuse, MethodNotAllowed)
