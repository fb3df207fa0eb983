"""Capture evaluation datasets by row, and by batch the records that are their data."""

from django.db import migrations

from audit.operations import CaptureBatches, CaptureRows


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0020_redact_retired_digests"),
        ("registry", "0024_evaluation_datasets"),
    ]

    operations = [
        CaptureRows(
            "registry.EvaluationDataset", personal=["creator_name", "updater_name"]
        ),
        CaptureRows("registry.EvaluationDatasetTag"),
        CaptureRows("registry.EvaluationDatasetExperiment"),
        CaptureBatches(
            "registry.EvaluationRecord",
            by="dataset",
            names="inputs_sha256",
            digest=["dataset", "inputs_sha256", "outputs", "expectations", "tags"],
        ),
    ]
