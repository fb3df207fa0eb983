from registry.models.deployments import Deployment, DeploymentStatus
from registry.models.evaluation_datasets import (
    EvaluationDataset,
    EvaluationDatasetExperiment,
    EvaluationDatasetTag,
    EvaluationRecord,
)
from registry.models.experiments import (
    DEFAULT_EXPERIMENT_IID,
    Experiment,
    ExperimentTag,
)
from registry.models.logged_models import (
    LoggedModel,
    LoggedModelMetric,
    LoggedModelParam,
    LoggedModelStatus,
    LoggedModelTag,
    ModelRole,
    RunModel,
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
from registry.models.protection import PackageProtectionRule, PackageRole
from registry.models.retention import (
    RetentionCounting,
    RetentionEffect,
    RetentionRule,
)
from registry.models.runs import (
    Dataset,
    Param,
    Run,
    RunDocument,
    RunInput,
    RunStatus,
    RunTag,
)
from registry.models.storage_usage import StorageUsage
from registry.models.uploads import MAX_PARTS, MultipartUpload, UploadPart
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
    "MAX_PARTS",
    "Alias",
    "Blob",
    "Dataset",
    "Deployment",
    "DeploymentStatus",
    "EvaluationDataset",
    "EvaluationDatasetExperiment",
    "EvaluationDatasetTag",
    "EvaluationRecord",
    "Experiment",
    "ExperimentTag",
    "LatestMetric",
    "LoggedModel",
    "LoggedModelMetric",
    "LoggedModelParam",
    "LoggedModelStatus",
    "LoggedModelTag",
    "Metric",
    "ModelRole",
    "ModelVersion",
    "ModelVersionTag",
    "MultipartUpload",
    "Package",
    "PackageFile",
    "PackageProtectionRule",
    "PackageRole",
    "PackageStatus",
    "PackageType",
    "Param",
    "RegisteredModel",
    "RegisteredModelTag",
    "RetentionCounting",
    "RetentionEffect",
    "RetentionRule",
    "Run",
    "RunDocument",
    "RunInput",
    "RunModel",
    "RunStatus",
    "RunTag",
    "Stage",
    "StorageUsage",
    "UploadPart",
    "VersionStatus",
]
