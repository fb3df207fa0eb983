"""Capture the registry row by row, what runs log by the batch."""

from django.db import migrations

from audit.operations import CaptureBatches, CaptureRows


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0004_capture_tenants"),
        ("registry", "0004_number_versions"),
    ]

    operations = [
        CaptureRows("registry.Experiment"),
        CaptureRows("registry.ExperimentTag"),
        CaptureRows("registry.Run", personal=["user_name"]),
        CaptureBatches(
            "registry.Param", by="run", names="key", digest=["run", "key", "value"]
        ),
        CaptureBatches(
            "registry.RunTag", by="run", names="key", digest=["run", "key", "value"]
        ),
        CaptureBatches("registry.Metric", by="run", names="name", span="step"),
        CaptureRows("registry.Dataset"),
        CaptureBatches(
            "registry.RunInput",
            by="run",
            names="dataset",
            digest=["run", "dataset", "tags"],
        ),
        CaptureRows("registry.Package"),
        CaptureRows("registry.PackageFile"),
        # The counter of versions: each version has an entry of its own.
        CaptureRows("registry.RegisteredModel", ignore=["last_version"]),
        CaptureRows("registry.RegisteredModelTag"),
        CaptureRows("registry.ModelVersion"),
        CaptureRows("registry.ModelVersionTag"),
        CaptureRows("registry.Alias"),
        CaptureRows("registry.Deployment"),
    ]
