"""What the server is and can do, which nobody signs in to ask; and who asks."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from registry.mlflow.endpoint import endpoint
from registry.storage.direct import direct_store
from tenants.context import acting
from tenants.models import Project
from tenants.permissions import Permission

# Clients turn features on and off by it: the version of MLflow that is spoken here.
MLFLOW_VERSION = "3.18.0"


@endpoint("GET", "server-info")
def server_info(*, project: str = "") -> dict[str, Any]:
    """Below the address of a project there is no other workspace to go to."""
    return {
        "store_type": "SqlStore",
        "workspaces_enabled": not project,
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


@endpoint("GET", "users/current", needs=Permission.TRACKING_READ)
def current_user(project: Project) -> dict[str, Any]:
    """Tell MLflow's pages who signed in; they look after no people here."""
    actor = acting()
    user = {"id": str(actor.id), "username": actor.label, "is_admin": False}
    return {"user": user, "is_basic_auth": False}


@endpoint("GET", "ui-telemetry", needs=Permission.TRACKING_READ)
def ui_telemetry(project: Project) -> dict[str, Any]:
    """Keep MLflow's pages from reporting what is done on them."""
    return {
        "disable_ui_telemetry": True,
        "disable_ui_events": [],
        "ui_rollout_percentage": 0,
    }


@endpoint("POST", "ui-telemetry", needs=Permission.TRACKING_READ)
def take_no_telemetry(project: Project) -> dict[str, str]:
    return {"status": "disabled"}


def gateway_proxy(project: Project) -> dict[str, list]:
    """Answer as MLflow does where no gateway is set up: there are no endpoints."""
    return {"endpoints": []}


for _method in ("GET", "POST"):
    endpoint(_method, "gateway-proxy", needs=Permission.TRACKING_READ)(gateway_proxy)


@require_safe
def health(request: HttpRequest, **names: str) -> HttpResponse:
    return HttpResponse("OK", content_type="text/plain")


@require_safe
def version(request: HttpRequest, **names: str) -> HttpResponse:
    return HttpResponse(MLFLOW_VERSION, content_type="text/plain")


health.public = version.public = True  # type: ignore[attr-defined]
