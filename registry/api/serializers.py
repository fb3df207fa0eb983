"""Shapes of REST. They read what the view set prefetched, and never query or save."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from registry.models import (
    Deployment,
    DeploymentStatus,
    Experiment,
    ModelVersion,
    Package,
    PackageFile,
    PackageProtectionRule,
    PackageRole,
    PackageType,
    RegisteredModel,
    Run,
    RunStatus,
    Stage,
)
from registry.services.packages import CHOSEN_STATUSES
from registry.services.runs import MAX_TAG
from tenants.api.fields import (
    Label,
    Metadata,
    Number,
    RowSerializer,
    StrictSerializer,
    Tags,
)

DESCRIPTION_LENGTH = 10_000
STAMPS = ["created_at", "updated_at", "deleted_at", "purge_after"]


class ExperimentSerializer(RowSerializer):
    name = Label(max_length=500, trim_whitespace=False)
    tags = Tags(required=False)

    class Meta:
        model = Experiment
        fields = [
            "id",
            "iid",
            "name",
            "artifact_location",
            "tags",
            "created_by",
            *STAMPS,
        ]
        read_only_fields = ["iid", "artifact_location", "created_by", "deleted_at"]


class PackageFileSerializer(RowSerializer):
    class Meta:
        model = PackageFile
        fields = ["path", "size_bytes", "sha256", "created_at"]
        read_only_fields = fields


class ListedFileSerializer(PackageFileSerializer):
    """A file with the address from which it is downloaded."""

    url = serializers.SerializerMethodField()

    class Meta(PackageFileSerializer.Meta):
        fields = [*PackageFileSerializer.Meta.fields, "url"]
        read_only_fields = fields

    def get_url(self, file: PackageFile) -> str:
        actor, package = self.context["view"].actor, file.package
        place = f"organizations/{actor.organization}/projects/{actor.project}"
        name, version = quote(package.name, safe=""), quote(package.version, safe="")
        return f"/api/v1/{place}/packages/{name}/{version}/{quote(file.path)}"


class PackageSummarySerializer(RowSerializer):
    """A package with what it holds in sum; `files` are the first ones by path."""

    file_count = serializers.IntegerField(read_only=True)
    total_bytes = serializers.IntegerField(read_only=True)
    files = ListedFileSerializer(source="first_files", many=True, read_only=True)

    class Meta:
        model = Package
        fields = [
            "id",
            "name",
            "version",
            "type",
            "status",
            "file_count",
            "total_bytes",
            "files",
        ]
        read_only_fields = fields


class PackageSerializer(RowSerializer):
    file_count = serializers.IntegerField(read_only=True)
    total_bytes = serializers.IntegerField(read_only=True)
    metadata = Metadata(required=False)

    class Meta:
        model = Package
        fields = [
            "id",
            "name",
            "version",
            "type",
            "status",
            "file_count",
            "total_bytes",
            "metadata",
            "created_by",
            "last_downloaded_at",
            *STAMPS,
        ]
        read_only_fields = [
            *("name", "version", "type", "created_by", "last_downloaded_at"),
            "deleted_at",
            "purge_after",
        ]

    def validate_status(self, status: str) -> str:
        """The others say what becomes of a package, and nobody says so by hand."""
        if status not in CHOSEN_STATUSES:
            raise serializers.ValidationError(f"Use {', '.join(CHOSEN_STATUSES)}.")
        return status


class OrganizationPackageSerializer(PackageSerializer):
    """A package beside those of other projects."""

    project = serializers.CharField(source="project.slug", read_only=True)

    class Meta(PackageSerializer.Meta):
        fields = ["id", "project", *PackageSerializer.Meta.fields[1:]]


class PackageFilePageSerializer(serializers.Serializer):
    results = PackageFileSerializer(many=True, read_only=True)
    next = serializers.CharField(read_only=True, allow_null=True)


class PackageDetailSerializer(PackageSerializer):
    """One package with a page of its files, by path."""

    files = PackageFilePageSerializer(source="file_page", read_only=True)

    class Meta(PackageSerializer.Meta):
        fields = [*PackageSerializer.Meta.fields, "files"]
        read_only_fields = fields


class PushedPackageSerializer(RowSerializer):
    class Meta:
        model = Package
        fields = ["id", "name", "version", "type", "status"]
        read_only_fields = fields


class PushedFileSerializer(serializers.Serializer):
    """A file that was put there, and the package that it lies in."""

    path = serializers.CharField(source="file.path")
    size_bytes = serializers.IntegerField(source="file.size_bytes")
    sha256 = serializers.CharField(source="file.sha256")
    package = PushedPackageSerializer()


class ManifestFileSerializer(serializers.Serializer):
    path = serializers.CharField()
    size_bytes = serializers.IntegerField()
    sha256 = serializers.CharField()


class ManifestSerializer(serializers.Serializer):
    """All files of a package or folder, to be checked against what was downloaded."""

    name = serializers.CharField()
    version = serializers.CharField()
    folder = serializers.CharField(allow_blank=True)
    file_count = serializers.IntegerField()
    total_bytes = serializers.IntegerField()
    files = ManifestFileSerializer(many=True)


class ProtectionRuleSerializer(RowSerializer):
    # The service says what is wrong with a pattern, blanks at its ends included.
    name_pattern = serializers.CharField(max_length=255, trim_whitespace=False)
    package_type = serializers.ChoiceField(
        PackageType.choices, allow_blank=True, required=False
    )
    push_role = serializers.ChoiceField(
        PackageRole.choices, allow_blank=True, required=False
    )
    delete_role = serializers.ChoiceField(
        PackageRole.choices, allow_blank=True, required=False
    )

    class Meta:
        model = PackageProtectionRule
        fields = [
            "id",
            "name_pattern",
            "package_type",
            "push_role",
            "delete_role",
            "created_by",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["created_by"]


class RoomSerializer(serializers.Serializer):
    """What is held, and what may be; null is no limit."""

    size_bytes = serializers.IntegerField()
    file_count = serializers.IntegerField()
    limit_bytes = serializers.IntegerField(allow_null=True)
    limit_files = serializers.IntegerField(allow_null=True)


class StorageSerializer(serializers.Serializer):
    """Of the project; of the organization as well for its owners and admins."""

    project = RoomSerializer()
    organization = RoomSerializer(allow_null=True)


class Milliseconds(serializers.IntegerField):
    """A moment as MLflow's clients write it: any int64."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=-(2**63), max_value=2**63 - 1, **kwargs)


class LatestMetricSerializer(serializers.Serializer):
    name = serializers.CharField()
    value = Number()
    step = serializers.IntegerField()
    timestamp_ms = serializers.IntegerField()


class RunSerializer(RowSerializer):
    run_id = serializers.CharField(
        source="id.hex", read_only=True, help_text="The id as MLflow writes it."
    )
    experiment = serializers.UUIDField(source="experiment_id")
    experiment_iid = serializers.IntegerField(source="experiment.iid", read_only=True)
    experiment_name = serializers.CharField(source="experiment.name", read_only=True)
    name = Label(max_length=500, required=False, allow_blank=True)
    status = serializers.ChoiceField(RunStatus.choices, required=False)
    start_time_ms = Milliseconds(required=False)
    end_time_ms = Milliseconds(required=False, allow_null=True)
    started_at = serializers.DateTimeField(read_only=True, allow_null=True)
    ended_at = serializers.DateTimeField(read_only=True, allow_null=True)
    metadata = Metadata(read_only=True)
    package = PackageSummarySerializer(read_only=True, allow_null=True)
    params = Tags(read_only=True)
    metrics = LatestMetricSerializer(
        source="latest_metrics.all", many=True, read_only=True
    )
    tags = Tags(required=False, value_length=MAX_TAG)

    class Meta:
        model = Run
        fields = [
            "id",
            "run_id",
            "iid",
            "name",
            "experiment",
            "experiment_iid",
            "experiment_name",
            "status",
            "user_name",
            "created_by",
            "start_time_ms",
            "end_time_ms",
            "started_at",
            "ended_at",
            "metadata",
            "package",
            "params",
            "metrics",
            "tags",
            *STAMPS,
        ]
        read_only_fields = ["iid", "user_name", "created_by", "deleted_at"]

    def validate_start_time_ms(self, moment: int) -> int:
        if self.instance and moment != self.instance.start_time_ms:
            raise serializers.ValidationError("When a run began does not change.")
        return moment

    def validate_experiment(self, experiment: Any) -> Any:
        if self.instance and experiment != self.instance.experiment_id:
            raise serializers.ValidationError("A run stays in its experiment.")
        return experiment


class RegisteredModelSerializer(RowSerializer):
    # The service says what is wrong with a name, blanks at its ends included.
    name = serializers.CharField(max_length=256, trim_whitespace=False)
    description = serializers.CharField(
        max_length=DESCRIPTION_LENGTH, allow_blank=True, required=False
    )
    tags = Tags(required=False)
    aliases = serializers.SerializerMethodField()

    class Meta:
        model = RegisteredModel
        fields = [
            "id",
            "name",
            "description",
            "last_version",
            "tags",
            "aliases",
            "created_by",
            *STAMPS,
        ]
        read_only_fields = ["last_version", "created_by", "deleted_at"]

    @extend_schema_field(
        {"type": "object", "additionalProperties": {"type": "integer"}}
    )
    def get_aliases(self, model: RegisteredModel) -> dict[str, int]:
        return {
            alias.name: alias.model_version.version for alias in model.aliases.all()
        }


class AliasSerializer(StrictSerializer):
    """Which version an alias points at."""

    name = serializers.CharField(max_length=255)
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1)


class AliasNameSerializer(StrictSerializer):
    name = serializers.CharField(max_length=255)


class ModelVersionSerializer(RowSerializer):
    model = serializers.UUIDField(source="registered_model_id")
    model_name = serializers.CharField(source="registered_model.name", read_only=True)
    run = serializers.UUIDField(source="run_id", required=False, allow_null=True)
    logged_model = serializers.UUIDField(
        source="logged_model_id", read_only=True, allow_null=True
    )
    package = serializers.UUIDField(
        source="package_id", read_only=True, allow_null=True
    )
    path = Label(
        write_only=True,
        required=False,
        max_length=1024,
        help_text="Folder of the model among the run's artifacts.",
    )
    description = serializers.CharField(
        max_length=DESCRIPTION_LENGTH, allow_blank=True, required=False
    )
    tags = Tags(required=False)
    aliases = serializers.SerializerMethodField()
    metadata = Metadata(required=False)

    class Meta:
        model = ModelVersion
        fields = [
            "id",
            "model",
            "model_name",
            "version",
            "stage",
            "status",
            "status_message",
            "description",
            "source",
            "path",
            "run",
            "run_link",
            "logged_model",
            "package",
            "tags",
            "aliases",
            "metadata",
            "created_by",
            *STAMPS,
        ]
        read_only_fields = [
            "version",
            "stage",
            "status",
            "status_message",
            "source",
            "run_link",
            "created_by",
            "deleted_at",
            "purge_after",
        ]

    def get_aliases(self, version: ModelVersion) -> list[str]:
        return [alias.name for alias in version.aliases.all()]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        fixed = {"registered_model_id", "run_id", "path"} & set(attrs)
        if self.instance and fixed:
            raise serializers.ValidationError(
                "A version keeps its model, run and path; register another one."
            )
        if attrs.get("path") and not attrs.get("run_id"):
            raise serializers.ValidationError({"path": ["It needs a run."]})
        return attrs


class TransitionSerializer(StrictSerializer):
    stage = serializers.ChoiceField(Stage.choices)
    archive_existing = serializers.BooleanField(
        default=False,
        help_text="Archive other versions of the model that hold the stage now.",
    )


class RestoredVersionSerializer(ModelVersionSerializer):
    """A restored version and what it had to leave to others meanwhile."""

    left_behind = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta(ModelVersionSerializer.Meta):
        fields = [*ModelVersionSerializer.Meta.fields, "left_behind"]


class DeploymentSerializer(RowSerializer):
    name = Label(max_length=200)
    environment = Label(max_length=63, required=False)
    model_version = serializers.UUIDField(
        source="model_version_id", required=False, allow_null=True
    )
    model_name = serializers.CharField(
        source="model_version.registered_model.name",
        default=None,
        read_only=True,
        allow_null=True,
    )
    version = serializers.IntegerField(
        source="model_version.version", default=None, read_only=True, allow_null=True
    )
    status = serializers.ChoiceField(DeploymentStatus.choices, required=False)
    endpoint_url = serializers.RegexField(
        r"^https?://[^\s]+$", max_length=500, required=False, allow_blank=True
    )
    metadata = Metadata(required=False)

    class Meta:
        model = Deployment
        fields = [
            "id",
            "name",
            "environment",
            "model_version",
            "model_name",
            "version",
            "status",
            "endpoint_url",
            "metadata",
            "deployed_at",
            "retired_at",
            "created_by",
            *STAMPS,
        ]
        read_only_fields = ["deployed_at", "retired_at", "created_by", "deleted_at"]
