"""What the server is and can do; nobody signs in to ask."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from registry.mlflow.endpoint import endpoint
from registry.storage.direct import direct_store

# Clients turn features on and off by it: the version of MLflow that is spoken here.
MLFLOW_VERSION = "3.18.0"


@endpoint("GET", "server-info")
def server_info() -> dict[str, Any]:
    return {
        "store_type": "SqlStore",
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": True,
        "multipart_downloads_enabled": direct_store() is not None,
        "artifact_serving_enabled": True,
        "presigned_upload_run_id_supported": False,
        "presigned_upload_model_id_supported": False,
        "model_artifact_presigned_downloads_supported": False,
        "features_enabled": {"gateway": False, "scheduled_issue_detection": False},
        "tracking_auth": "",
        "artifacts_presigned_only": False,
    }


@require_safe
def health(request: HttpRequest, **names: str) -> HttpResponse:
    return HttpResponse("OK", content_type="text/plain")


@require_safe
def version(request: HttpRequest, **names: str) -> HttpResponse:
    return HttpResponse(MLFLOW_VERSION, content_type="text/plain")


health.public = version.public = True  # type: ignore[attr-defined]
