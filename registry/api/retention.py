"""Retention rules over REST: everybody of the project reads them, maintainers write."""

from __future__ import annotations

from typing import Any

from django_filters.rest_framework import FilterSet
from rest_framework import mixins, serializers

from registry.models import RetentionCounting, RetentionEffect, RetentionRule
from registry.models.retention import RULED_STATUSES
from registry.services import retention
from tenants.api.base import ChangeMixin, ProjectViewSet, ReadMixin, changes_of
from tenants.api.fields import Label, RowSerializer
from tenants.permissions import Permission

MOST_DAYS = 36_500
MOST_PACKAGES = 1_000_000


class RetentionRuleSerializer(RowSerializer):
    name = Label(max_length=200)
    effect = serializers.ChoiceField(RetentionEffect.choices, required=False)
    name_pattern = Label(
        max_length=255,
        required=False,
        help_text="Name of the packages, in which * stands for any text.",
    )
    package_status = serializers.ChoiceField(
        RULED_STATUSES, required=False, allow_blank=True
    )
    tag_key = Label(max_length=250, required=False, allow_blank=True)
    tag_value = Label(max_length=5000, required=False, allow_blank=True)
    older_than_days = serializers.IntegerField(
        min_value=0, max_value=MOST_DAYS, required=False, allow_null=True
    )
    keep_newest = serializers.IntegerField(
        min_value=0, max_value=MOST_PACKAGES, required=False, allow_null=True
    )
    counting = serializers.ChoiceField(RetentionCounting.choices, required=False)

    class Meta:
        model = RetentionRule
        fields = ["id", *retention.FIELDS, "created_by", "created_at", "updated_at"]
        read_only_fields = ["created_by"]


class RetentionRuleFilterSet(FilterSet):
    class Meta:
        model = RetentionRule
        fields = ["name", "effect", "is_enabled"]


class RetentionRuleViewSet(
    ReadMixin,
    mixins.CreateModelMixin,
    ChangeMixin,
    mixins.DestroyModelMixin,
    ProjectViewSet,
):
    """Which packages go by themselves, and which stay whatever other rules say."""

    queryset = RetentionRule.objects.all()
    serializer_class = RetentionRuleSerializer
    filterset_class = RetentionRuleFilterSet
    needs = {
        "list": Permission.ARTIFACTS_READ,
        "retrieve": Permission.ARTIFACTS_READ,
        "create": Permission.ARTIFACTS_DELETE,
        "partial_update": Permission.ARTIFACTS_DELETE,
        "destroy": Permission.ARTIFACTS_DELETE,
    }

    def perform_create(self, serializer: Any) -> None:
        made = retention.create_rule(self.project, **changes_of(serializer))
        serializer.instance = made

    def perform_update(self, serializer: Any) -> None:
        retention.update_rule(serializer.instance, **changes_of(serializer))

    def perform_destroy(self, rule: RetentionRule) -> None:
        retention.delete_rule(rule)
