from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from monitoring.api.filters import (
    AlertFilterSet,
    AlertRuleFilterSet,
    DriftReportFilterSet,
)
from monitoring.api.serializers import (
    AlertRuleSerializer,
    AlertSerializer,
    DriftReportSerializer,
    DriftReportSummarySerializer,
    ResolveSerializer,
)
from monitoring.models import Alert, AlertRule, DriftReport
from monitoring.services import alerts, rules
from registry.models import Deployment
from registry.services import deployments
from tenants.api.base import (
    ChangeMixin,
    ProjectViewSet,
    ReadMixin,
    RestoreMixin,
    changes_of,
)
from tenants.permissions import Permission, demand


class DriftReportViewSet(ReadMixin, ProjectViewSet):
    queryset = DriftReport.objects.select_related("deployment")
    serializer_class = DriftReportSerializer
    filterset_class = DriftReportFilterSet
    needs = {
        "list": Permission.MONITORING_READ,
        "retrieve": Permission.MONITORING_READ,
    }

    def get_queryset(self) -> Any:
        rows = super().get_queryset()
        return rows.defer("result") if self.action == "list" else rows

    def get_serializer_class(self) -> Any:
        listing = self.action == "list"
        return DriftReportSummarySerializer if listing else DriftReportSerializer


class AlertRuleViewSet(
    ReadMixin, mixins.CreateModelMixin, ChangeMixin, RestoreMixin, ProjectViewSet
):
    queryset = AlertRule.objects.with_deleted()
    serializer_class = AlertRuleSerializer
    filterset_class = AlertRuleFilterSet
    needs = {
        "list": Permission.MONITORING_READ,
        "retrieve": Permission.MONITORING_READ,
        "create": Permission.MONITORING_WRITE,
        "partial_update": Permission.MONITORING_WRITE,
        "destroy": Permission.MONITORING_WRITE,
        "restore": Permission.MONITORING_WRITE,
    }

    def perform_create(self, serializer: Any) -> None:
        asked = self._with_deployment(changes_of(serializer))
        serializer.instance = rules.create_rule(self.project, **asked)

    def perform_update(self, serializer: Any) -> None:
        asked = self._with_deployment(changes_of(serializer))
        rules.update_rule(serializer.instance, **asked)

    def _with_deployment(self, asked: dict[str, Any]) -> dict[str, Any]:
        if "deployment_id" in asked:
            key = asked.pop("deployment_id")
            asked["deployment"] = self.referred(Deployment.objects, key)
        return asked

    def perform_destroy(self, rule: AlertRule) -> None:
        rules.delete_rule(rule)

    def restore_parent(self, rule: AlertRule) -> None:
        if rule.deployment is not None:
            demand(self.actor, Permission.REGISTRY_DELETE, "Restoring the deployment")
            deployments.restore_deployment(rule.deployment)

    def perform_restore(self, rule: AlertRule) -> None:
        rules.restore_rule(rule)


class AlertViewSet(ReadMixin, ProjectViewSet):
    """Alerts are opened by evaluations; people acknowledge and resolve them."""

    queryset = Alert.objects.select_related("rule", "deployment")
    serializer_class = AlertSerializer
    filterset_class = AlertFilterSet
    needs = {
        "list": Permission.MONITORING_READ,
        "retrieve": Permission.MONITORING_READ,
        "acknowledge": Permission.MONITORING_WRITE,
        "resolve": Permission.MONITORING_WRITE,
    }

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        alert = alerts.acknowledge_alert(self.get_object())
        return Response(self.get_serializer(alert).data)

    @extend_schema(request=ResolveSerializer)
    @action(detail=True, methods=["post"])
    def resolve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        alert = self.get_object()
        alerts.resolve_alert(alert, **self.asked(ResolveSerializer))
        return Response(self.get_serializer(alert).data)
