from registry.models.deployments import Deployment, DeploymentStatus
from registry.models.experiments import (
    DEFAULT_EXPERIMENT_IID,
    Experiment,
    ExperimentTag,
)
from registry.models.metrics import LatestMetric, Metric
from registry.models.packages import (
    CANDIDATE_VERSION,
    Blob,
    Package,
    PackageFile,
    PackageStatus,
    PackageType,
)
from registry.models.runs import Dataset, Param, Run, RunInput, RunStatus, RunTag
from registry.models.versions import (
    Alias,
    ModelVersion,
    ModelVersionTag,
    RegisteredModel,
    RegisteredModelTag,
    Stage,
    VersionStatus,
)

__all__ = [
    "CANDIDATE_VERSION",
    "DEFAULT_EXPERIMENT_IID",
    "Alias",
    "Blob",
    "Dataset",
    "Deployment",
    "DeploymentStatus",
    "Experiment",
    "ExperimentTag",
    "LatestMetric",
    "Metric",
    "ModelVersion",
    "ModelVersionTag",
    "Package",
    "PackageFile",
    "PackageStatus",
    "PackageType",
    "Param",
    "RegisteredModel",
    "RegisteredModelTag",
    "Run",
    "RunInput",
    "RunStatus",
    "RunTag",
    "Stage",
    "VersionStatus",
]
