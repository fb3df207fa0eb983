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


class DeploymentFactory(TenantFactory):
    class Meta:
        model = models.Deployment

    model_version = factory.SubFactory(ModelVersionFactory)
    project = factory.SelfAttribute("model_version.project")
    organization = factory.SelfAttribute("project.organization")
    name = factory.Sequence(lambda n: f"deployment-{n}")
    status = "active"


def candidate_package(run, *, files: int = 0):
    """Store the run's package, with files in it."""
    package = PackageFactory(
        project=run.project, name=f"ml_candidate_{run.iid}", version="-"
    )
    PackageFileFactory.create_batch(files, package=package)
    return package
