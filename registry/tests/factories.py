from __future__ import annotations

import hashlib

import factory

from registry import models
from tenants.tests.factories import ProjectFactory, TenantFactory


class ExperimentFactory(TenantFactory):
    class Meta:
        model = models.Experiment

    project = factory.SubFactory(ProjectFactory)
    organization = factory.SelfAttribute("project.organization")
    # Far above what a project's counter hands out, so the two never meet in a test.
    iid = factory.Sequence(lambda n: 1_000_000 + n)
    name = factory.Sequence(lambda n: f"experiment-{n}")
    artifact_location = factory.LazyAttribute(lambda e: f"mlflow-artifacts:/{e.iid}")


class RunFactory(TenantFactory):
    class Meta:
        model = models.Run

    experiment = factory.SubFactory(ExperimentFactory)
    project = factory.SelfAttribute("experiment.project")
    organization = factory.SelfAttribute("project.organization")
    iid = factory.Sequence(lambda n: 1_000_000 + n)
    name = factory.Sequence(lambda n: f"run-{n}")
    start_time_ms = factory.Sequence(lambda n: 1_710_000_000_000 + n)


class BlobFactory(TenantFactory):
    class Meta:
        model = models.Blob

    sha256 = factory.Sequence(lambda n: hashlib.sha256(str(n).encode()).hexdigest())
    size_bytes = 3


class PackageFactory(TenantFactory):
    class Meta:
        model = models.Package

    project = factory.SubFactory(ProjectFactory)
    organization = factory.SelfAttribute("project.organization")
    name = factory.Sequence(lambda n: f"package-{n}")
    version = "1.0"


class PackageFileFactory(TenantFactory):
    class Meta:
        model = models.PackageFile

    package = factory.SubFactory(PackageFactory)
    organization = factory.SelfAttribute("package.organization")
    path = factory.Sequence(lambda n: f"folder/file-{n}.txt")
    blob = factory.SubFactory(
        BlobFactory, organization=factory.SelfAttribute("..organization")
    )
    size_bytes = factory.SelfAttribute("blob.size_bytes")
    sha256 = factory.SelfAttribute("blob.sha256")


class UploadFactory(TenantFactory):
    class Meta:
        model = models.MultipartUpload

    project = factory.SubFactory(ProjectFactory)
    organization = factory.SelfAttribute("project.organization")
    location = factory.Sequence(lambda n: f"0/{n:032x}/artifacts/model.bin")
    part_count = 2


class UploadPartFactory(TenantFactory):
    class Meta:
        model = models.UploadPart

    upload = factory.SubFactory(UploadFactory)
    organization = factory.SelfAttribute("upload.organization")
    number = 1
    size_bytes = 3
    sha256 = factory.Sequence(lambda n: hashlib.sha256(str(n).encode()).hexdigest())


class ProtectionRuleFactory(TenantFactory):
    class Meta:
        model = models.PackageProtectionRule

    project = factory.SubFactory(ProjectFactory)
    organization = factory.SelfAttribute("project.organization")
    name_pattern = factory.Sequence(lambda n: f"protected-{n}-*")
    push_role = "maintainer"


class RetentionRuleFactory(TenantFactory):
    class Meta:
        model = models.RetentionRule

    project = factory.SubFactory(ProjectFactory)
    organization = factory.SelfAttribute("project.organization")
    name = factory.Sequence(lambda n: f"rule-{n}")
    older_than_days = 30


class RegisteredModelFactory(TenantFactory):
    class Meta:
        model = models.RegisteredModel

    project = factory.SubFactory(ProjectFactory)
    organization = factory.SelfAttribute("project.organization")
    name = factory.Sequence(lambda n: f"model-{n}")


class ModelVersionFactory(TenantFactory):
    class Meta:
        model = models.ModelVersion

    registered_model = factory.SubFactory(RegisteredModelFactory)
    project = factory.SelfAttribute("registered_model.project")
    organization = factory.SelfAttribute("project.organization")
    version = factory.Sequence(lambda n: n + 1)


class LoggedModelFactory(TenantFactory):
    class Meta:
        model = models.LoggedModel

    experiment = factory.SubFactory(ExperimentFactory)
    project = factory.SelfAttribute("experiment.project")
    organization = factory.SelfAttribute("project.organization")
    name = factory.Sequence(lambda n: f"logged-{n}")
    status = "READY"


class EvaluationDatasetFactory(TenantFactory):
    class Meta:
        model = models.EvaluationDataset

    project = factory.SubFactory(ProjectFactory)
    organization = factory.SelfAttribute("project.organization")
    name = factory.Sequence(lambda n: f"questions-{n}")
    digest = factory.Sequence(lambda n: f"{n:08x}")


class EvaluationRecordFactory(TenantFactory):
    class Meta:
        model = models.EvaluationRecord

    dataset = factory.SubFactory(EvaluationDatasetFactory)
    organization = factory.SelfAttribute("dataset.organization")
    inputs = factory.Sequence(lambda n: f'{{"question": "number {n}"}}')
    inputs_sha256 = factory.LazyAttribute(
        lambda record: hashlib.sha256(record.inputs.encode()).hexdigest()
    )
    size_bytes = factory.LazyAttribute(lambda record: len(record.inputs))


class DeploymentFactory(TenantFactory):
    class Meta:
        model = models.Deployment

    model_version = factory.SubFactory(ModelVersionFactory)
    project = factory.SelfAttribute("model_version.project")
    organization = factory.SelfAttribute("project.organization")
    name = factory.Sequence(lambda n: f"deployment-{n}")
    status = "active"


def model_package(model, *, files: int = 0):
    """Store the package of a logged model, with files in it."""
    package = PackageFactory(
        project=model.project, name=model.package_name, version="-", type="model"
    )
    PackageFileFactory.create_batch(files, package=package)
    return package


def candidate_package(run, *, files: int = 0):
    """Store the run's package, with files in it."""
    package = PackageFactory(
        project=run.project, name=f"ml_candidate_{run.iid}", version="-"
    )
    PackageFileFactory.create_batch(files, package=package)
    return package
