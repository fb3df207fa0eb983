"""Which changes leave an entry: every governed model stands in exactly one list.

A new model costs a line here and a migration of ours with the same words:
`CaptureRows("registry.Webhook", redact=["secret"])`. A test compares both with the
models and with the catalog, and so does a check at start-up.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import models

from audit.operations import Batches, Rows

# What people do to accounts, organizations, the registry and monitoring is kept row by
# row. So are runs: two entries in a run's life are about 2 % of what its requests may
# cost, and a run does not say itself who made, ended or deleted it. What a run or a
# deployment logs is its own history: Batches, off until an organization asks.
CAPTURED: dict[str, Rows | Batches] = {
    "account.EmailAddress": Rows(personal=["email"]),
    "auth.Group": Rows(),
    "auth.Group_permissions": Rows(),
    "tenants.User": Rows(
        redact=["password"],
        personal=["username", "first_name", "last_name", "email"],
        ignore=["last_login", "session_epoch", "sign_in_epoch"],
    ),
    "mfa.Authenticator": Rows(redact=["data"], ignore=["last_used_at"]),
    "tenants.User_groups": Rows(),
    "tenants.User_user_permissions": Rows(),
    "tenants.Organization": Rows(),
    "tenants.Membership": Rows(),
    "tenants.Project": Rows(),
    "tenants.ProjectMember": Rows(),
    "tenants.SupportGrant": Rows(),
    "tenants.ServiceAccount": Rows(),
    "tenants.ApiToken": Rows(
        redact=["digest", "previous_digest", "retired_digests"],
        ignore=["last_used_at", "last_used_ip_prefix"],
    ),
    "tenants.Invitation": Rows(
        redact=["shown_digest", "mailed_digest"], personal=["email"]
    ),
    "tenants.SingleSignOn": Rows(),
    "socialaccount.SocialAccount": Rows(personal=["extra_data"], ignore=["last_login"]),
    "registry.Experiment": Rows(),
    "registry.ExperimentTag": Rows(),
    "registry.Run": Rows(personal=["user_name"]),
    "registry.Param": Batches(by="run", names="key", digest=["run", "key", "value"]),
    "registry.RunTag": Batches(by="run", names="key", digest=["run", "key", "value"]),
    "registry.Metric": Batches(by="run", names="name", span="step"),
    "registry.Dataset": Rows(),
    "registry.RunInput": Batches(
        by="run", names="dataset", digest=["run", "dataset", "tags"]
    ),
    "registry.LoggedModel": Rows(),
    "registry.LoggedModelParam": Batches(
        by="logged_model", names="key", digest=["logged_model", "key", "value"]
    ),
    "registry.LoggedModelTag": Rows(),
    "registry.LoggedModelMetric": Batches(by="logged_model", names="name", span="step"),
    "registry.RunModel": Batches(
        by="run",
        names="logged_model",
        digest=["run", "role", "logged_model", "step"],
    ),
    "registry.EvaluationDataset": Rows(personal=["creator_name", "updater_name"]),
    "registry.EvaluationDatasetTag": Rows(),
    "registry.EvaluationDatasetExperiment": Rows(),
    "registry.EvaluationRecord": Batches(
        by="dataset",
        names="inputs_sha256",
        digest=["dataset", "inputs_sha256", "outputs", "expectations", "tags"],
    ),
    "registry.Package": Rows(ignore=["last_downloaded_at"]),
    "registry.PackageFile": Rows(),
    "registry.PackageProtectionRule": Rows(),
    "registry.RetentionRule": Rows(),
    "registry.MultipartUpload": Rows(redact=["reference"]),
    "registry.RegisteredModel": Rows(ignore=["last_version"]),
    "registry.RegisteredModelTag": Rows(),
    "registry.ModelVersion": Rows(),
    "registry.ModelVersionTag": Rows(),
    "registry.Alias": Rows(),
    "registry.Deployment": Rows(),
    "monitoring.AlertRule": Rows(),
    "monitoring.Alert": Rows(),
    "monitoring.DriftReport": Rows(),
    "monitoring.MonitoringPoint": Batches(
        by="deployment", names="metric_name", span="recorded_at"
    ),
}

EXEMPT: dict[str, str] = {
    "admin.LogEntry": "Django's own log of changes that are captured",
    "audit.AuditLog": "the trail itself",
    "audit.Seal": "signed links over the trail, which nobody can change",
    "auth.Permission": "made from the models by migrate",
    "registry.Blob": "bytes by digest; the files that name them are captured",
    "registry.LatestMetric": "derived from run_metrics",
    "registry.RunDocument": "built from the run, whose rows are captured",
    "registry.UploadPart": "bytes on their way; the upload they belong to is captured",
    "registry.StorageUsage": "counted from package_files, whose rows are captured",
    "usersessions.UserSession": "where a session is; signing in and out is recorded",
    "tenants.IdempotencyKey": "what a request was answered; what it did is captured",
    "tenants.ProjectCounter": "the next free number; what gets numbers is captured",
}


def governed_models() -> list[type[models.Model]]:
    """Collect all models with an organization and all that make up an account."""
    everything = apps.get_models(include_auto_created=True)
    return [model for model in everything if is_governed(model)]


def is_governed(model: type[models.Model]) -> bool:
    options = model._meta
    if options.proxy or not options.managed:
        return False
    belongs = {field.column for field in options.concrete_fields}
    return (
        "organization_id" in belongs
        or options.db_table == "organizations"
        or is_account(model)
    )


def is_account(model: type[models.Model]) -> bool:
    """Users, whatever refers to one, and the groups and permissions they may hold."""
    user = get_user_model()
    refers = any(field.related_model is user for field in model._meta.concrete_fields)
    return model is user or refers or model._meta.app_label == "auth"


def lines_to_add(governed: Iterable[type[models.Model]]) -> list[str]:
    """Write the line that CAPTURED or EXEMPT lacks for each model in neither."""
    labels = sorted(model._meta.label for model in governed)
    return [
        f'"{label}": Rows(),  # or in EXEMPT: "{label}": "<why it leaves no entry>",'
        for label in labels
        if label not in CAPTURED and label not in EXEMPT
    ]


def definitions() -> dict[str, dict[str, str]]:
    """Return the triggers that each captured table must have, by table and name."""
    captured = {apps.get_model(label): how for label, how in CAPTURED.items()}
    return {m._meta.db_table: how.definitions(m) for m, how in captured.items()}
