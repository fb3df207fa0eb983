"""What an organization decides about signing in by the identity provider."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.base import ChangeMixin, TenantViewSet, changes_of
from tenants.api.fields import RowSerializer
from tenants.models import SingleSignOn
from tenants.permissions import Permission
from tenants.services import single_sign_on

GROUP_LENGTH = 200


class SingleSignOnSerializer(RowSerializer):
    provider = serializers.SerializerMethodField(
        help_text="The installation's identity provider; empty without one."
    )
    group_roles = serializers.DictField(
        child=serializers.ChoiceField(list(map(str, single_sign_on.GRANTED))),
        required=False,
        help_text="Role by group of the provider, applied at each sign-in.",
    )

    class Meta:
        model = SingleSignOn
        fields = ["provider", "domains", "group_roles", "sso_only", "updated_at"]
        read_only_fields = ["domains", "updated_at"]

    def get_provider(self, row: SingleSignOn) -> str:
        return settings.OIDC_NAME if settings.OIDC_ISSUER else ""

    def validate_group_roles(self, roles: dict[str, str]) -> dict[str, str]:
        if any(not 1 <= len(group) <= GROUP_LENGTH for group in roles):
            raise serializers.ValidationError(
                f"A group has 1 to {GROUP_LENGTH} characters."
            )
        return roles


class SingleSignOnViewSet(ChangeMixin, TenantViewSet):
    """One per organization. Its domains are an operator's to verify."""

    queryset = SingleSignOn.objects.all()
    serializer_class = SingleSignOnSerializer
    pagination_class = None
    needs = {
        "retrieve": Permission.ORGANIZATION_ADMIN,
        "partial_update": Permission.ORGANIZATION_ADMIN,
    }

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(self.get_serializer(self.get_object()).data)

    def get_object(self) -> SingleSignOn:
        return single_sign_on.single_sign_on_of(self.organization)

    def perform_update(self, serializer: Any) -> None:
        single_sign_on.change_single_sign_on(
            serializer.instance, **changes_of(serializer)
        )
