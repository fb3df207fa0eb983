"""Filters, and fields of filters that refuse what they do not understand."""

from __future__ import annotations

from typing import Any

import django_filters
from django import forms
from django.db.models import QuerySet
from django_filters.rest_framework import FilterSet

from tenants.models import (
    ApiToken,
    Membership,
    Project,
    ProjectMember,
    ServiceAccount,
    SupportGrant,
)

FLAGS = {"true": True, "1": True, "false": False, "0": False}
LARGEST = 2**63 - 1


class FlagField(forms.Field):
    """true or false: the usual field takes everything else for "not said"."""

    def to_python(self, value: Any) -> bool | None:
        if value in self.empty_values:
            return None
        if str(value).lower() not in FLAGS:
            raise forms.ValidationError("Use true or false.")
        return FLAGS[str(value).lower()]


class FlagFilter(django_filters.BooleanFilter):
    field_class = FlagField


class DeletedFilter(django_filters.ChoiceFilter):
    """Live rows, unless the deleted ones are asked for."""

    ONLY = frozenset({"only", "true", "1"})
    CHOICES = ("only", "with", "true", "1", "false", "0")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=[(word, word) for word in self.CHOICES], **kwargs)

    def filter(self, qs: QuerySet, value: str | None) -> QuerySet:
        if value == "with":
            return qs
        return qs.filter(deleted_at__isnull=value not in self.ONLY)


class IntegerFilter(django_filters.Filter):
    field_class = forms.IntegerField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, min_value=0, max_value=LARGEST, **kwargs)


class LiveFilterSet(FilterSet):
    """Base of the filters of rows that can be deleted and restored."""

    deleted = DeletedFilter(
        label="only: deleted rows instead of live ones; with: both of them"
    )


class ProjectFilterSet(LiveFilterSet):
    class Meta:
        model = Project
        fields = ["slug"]


class MemberFilterSet(LiveFilterSet):
    user = django_filters.CharFilter(field_name="user__username")

    class Meta:
        model = Membership
        fields = ["role"]


class ProjectMemberFilterSet(LiveFilterSet):
    user = django_filters.CharFilter(field_name="user__username")
    service_account = django_filters.CharFilter(field_name="service_account__name")

    class Meta:
        model = ProjectMember
        fields = ["role"]


class ServiceAccountFilterSet(LiveFilterSet):
    class Meta:
        model = ServiceAccount
        fields = ["name"]


class SupportGrantFilterSet(FilterSet):
    staff = django_filters.CharFilter(field_name="staff__username")
    revoked = FlagFilter(field_name="revoked_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = SupportGrant
        fields = ["break_glass"]


class TokenFilterSet(FilterSet):
    user = django_filters.CharFilter(field_name="user__username")
    service_account = django_filters.CharFilter(field_name="service_account__name")
    revoked = FlagFilter(field_name="revoked_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = ApiToken
        fields = ["name", "kind"]
