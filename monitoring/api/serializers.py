from __future__ import annotations

from rest_framework import serializers

from monitoring.models import (
    Alert,
    AlertRule,
    DriftReport,
    Operator,
    RuleKind,
    Severity,
)
from tenants.api.fields import Label, Metadata, Number, RowSerializer, StrictSerializer

STAMPS = ["created_at", "updated_at"]
LONGEST_SECONDS = 7 * 24 * 3600


class DriftReportSummarySerializer(RowSerializer):
    """A report without its verdicts, which may be long."""

    deployment = serializers.UUIDField(source="deployment_id", read_only=True)
    deployment_name = serializers.CharField(source="deployment.name", read_only=True)
    label_coverage = Number(read_only=True, allow_null=True)

    class Meta:
        model = DriftReport
        fields = [
            "id",
            "deployment",
            "deployment_name",
            "period_start",
            "period_end",
            "segment",
            "revision",
            "status",
            "error",
            "drifted",
            "label_coverage",
            *STAMPS,
        ]
        read_only_fields = fields


class DriftReportSerializer(DriftReportSummarySerializer):
    result = Metadata(read_only=True)

    class Meta(DriftReportSummarySerializer.Meta):
        fields = [*DriftReportSummarySerializer.Meta.fields, "result"]
        read_only_fields = fields


class AlertRuleSerializer(RowSerializer):
    deployment = serializers.UUIDField(
        source="deployment_id", required=False, allow_null=True
    )
    name = Label(max_length=200)
    kind = serializers.ChoiceField(RuleKind.choices, required=False)
    metric_name = Label(max_length=250, required=False, allow_blank=True)
    operator = serializers.ChoiceField(Operator.choices, required=False)
    threshold = Number(required=False, allow_null=True)
    for_seconds = serializers.IntegerField(
        min_value=0, max_value=LONGEST_SECONDS, required=False
    )
    severity = serializers.ChoiceField(Severity.choices, required=False)
    labels = Metadata(required=False)

    class Meta:
        model = AlertRule
        fields = [
            "id",
            "name",
            "deployment",
            "kind",
            "metric_name",
            "operator",
            "threshold",
            "for_seconds",
            "severity",
            "is_enabled",
            "labels",
            "created_by",
            *STAMPS,
            "deleted_at",
            "purge_after",
        ]
        read_only_fields = ["created_by", "deleted_at"]


class AlertSerializer(RowSerializer):
    rule = serializers.UUIDField(source="rule_id", read_only=True)
    rule_name = serializers.CharField(source="rule.name", read_only=True)
    deployment = serializers.UUIDField(
        source="deployment_id", read_only=True, allow_null=True
    )
    deployment_name = serializers.CharField(
        source="deployment.name", default=None, read_only=True, allow_null=True
    )
    value = Number(read_only=True, allow_null=True)
    labels = Metadata(read_only=True)

    class Meta:
        model = Alert
        fields = [
            "id",
            "rule",
            "rule_name",
            "deployment",
            "deployment_name",
            "fingerprint",
            "status",
            "severity",
            "summary",
            "labels",
            "value",
            "triggered_at",
            "acknowledged_at",
            "acknowledged_by",
            "resolved_at",
            "resolution",
            *STAMPS,
        ]
        read_only_fields = fields


class ResolveSerializer(StrictSerializer):
    resolution = Label(max_length=500, allow_blank=True, default="")
