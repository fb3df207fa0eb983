from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rest_framework import serializers

from tenants.api.fields import Label, Metadata, RowSerializer, StrictSerializer
from tenants.models import (
    ApiToken,
    DefaultRole,
    DuplicateFiles,
    Feature,
    GrantState,
    Invitation,
    Membership,
    Organization,
    OrganizationRole,
    Project,
    ProjectMember,
    ProjectRole,
    ServiceAccount,
    SupportGrant,
)
from tenants.models.organizations import SLUG_PATTERN, valid_slug
from tenants.models.support import MAX_HOURS
from tenants.services.tokens import DEFAULT_DAYS, EVERYTHING, MAX_DAYS
from tenants.services.tokens import MAX_OVERLAP_HOURS as MAX_OVERLAP

LOGIN_LENGTH = 254


class OrganizationSummarySerializer(serializers.Serializer):
    """An organization as its member sees it in a list."""

    id = serializers.UUIDField(read_only=True)
    slug = serializers.CharField(read_only=True)
    name = serializers.CharField(read_only=True)
    role = serializers.CharField(read_only=True)


class OrganizationListSerializer(serializers.Serializer):
    results = OrganizationSummarySerializer(many=True, read_only=True)
    next = serializers.CharField(read_only=True, allow_null=True)


class OrganizationSerializer(RowSerializer):
    name = Label(max_length=200)
    metadata = Metadata(required=False)

    class Meta:
        model = Organization
        fields = [
            "id",
            "slug",
            "name",
            "storage_limit_bytes",
            "storage_limit_files",
            "retention_days",
            "legal_hold",
            "legal_hold_reason",
            "audit_data_events",
            "metadata",
            "created_at",
            "updated_at",
            "deleted_at",
            "purge_after",
        ]
        # How much an organization may hold, and what must stay, the operator says.
        read_only_fields = [
            "slug",
            "storage_limit_bytes",
            "storage_limit_files",
            "legal_hold",
            "legal_hold_reason",
            "deleted_at",
            "purge_after",
        ]


class ConfirmSerializer(StrictSerializer):
    confirm = serializers.CharField(
        max_length=63, default="", allow_blank=True, help_text="The slug, once more."
    )


class StorageLimit(serializers.IntegerField):
    """The most that packages may hold; null: as the installation has it."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs |= {"min_value": 0, "max_value": 2**63 - 1}
        super().__init__(required=False, allow_null=True, **kwargs)


class ProjectSerializer(RowSerializer):
    slug = serializers.RegexField(
        # "$" alone would let a line break pass at the end.
        SLUG_PATTERN.removesuffix("$") + r"\Z",
        max_length=63,
        trim_whitespace=False,
        error_messages={"invalid": str(valid_slug.message)},
    )
    name = Label(max_length=200, required=False)
    description = serializers.CharField(
        max_length=10_000, allow_blank=True, required=False
    )
    default_role = serializers.ChoiceField(DefaultRole.choices, required=False)
    switched_off = serializers.ListField(
        child=serializers.ChoiceField(Feature.choices),
        max_length=len(Feature),
        required=False,
        help_text="Features whose every address answers 404, whoever asks.",
    )
    protected_aliases = serializers.ListField(
        child=Label(max_length=255),
        max_length=50,
        required=False,
        help_text="Aliases that only move by the right to promote.",
    )
    viewers_download = serializers.BooleanField(
        required=False, help_text="Whether viewers may list and download artifacts."
    )
    duplicate_files = serializers.ChoiceField(
        DuplicateFiles.choices,
        required=False,
        help_text="What becomes of an upload to a path where other bytes stand.",
    )
    storage_limit_bytes = StorageLimit()
    storage_limit_files = StorageLimit()
    metadata = Metadata(required=False)

    class Meta:
        model = Project
        fields = [
            "id",
            "slug",
            "name",
            "description",
            "default_role",
            "switched_off",
            "protected_aliases",
            "viewers_download",
            "duplicate_files",
            "storage_limit_bytes",
            "storage_limit_files",
            "metadata",
            "created_at",
            "updated_at",
            "deleted_at",
            "purge_after",
        ]
        read_only_fields = ["deleted_at"]

    def validate_switched_off(self, features: Iterable[str]) -> list[str]:
        return sorted(set(features))

    def validate_slug(self, slug: str) -> str:
        if self.instance and slug != self.instance.slug:
            raise serializers.ValidationError("The slug is the address; it stays.")
        return slug


class MemberSerializer(RowSerializer):
    user = Label(
        source="user.username",
        max_length=LOGIN_LENGTH,
        help_text="User name; to add somebody, the e-mail address.",
    )
    user_id = serializers.UUIDField(read_only=True)
    name = serializers.CharField(source="user.get_full_name", read_only=True)
    role = serializers.ChoiceField(OrganizationRole.choices)

    class Meta:
        model = Membership
        fields = [
            "id",
            "user",
            "user_id",
            "name",
            "role",
            "created_at",
            "updated_at",
            "deleted_at",
        ]
        read_only_fields = ["deleted_at"]

    def validate_user(self, login: str) -> str:
        if self.instance and login != self.instance.user.username:
            raise serializers.ValidationError("A membership stays its person's.")
        return login


class InvitedSerializer(RowSerializer):
    """Who was sent an invitation instead; its link is in the mail alone."""

    class Meta:
        model = Invitation
        fields = ["id", "email", "role", "sent_at", "expires_at"]
        read_only_fields = fields


class ProjectMemberSerializer(RowSerializer):
    user = Label(max_length=LOGIN_LENGTH, required=False, allow_null=True)
    user_id = serializers.UUIDField(read_only=True, allow_null=True)
    service_account = Label(max_length=100, required=False, allow_null=True)
    service_account_id = serializers.UUIDField(read_only=True, allow_null=True)
    role = serializers.ChoiceField(ProjectRole.choices)

    class Meta:
        model = ProjectMember
        fields = [
            "id",
            "user",
            "user_id",
            "service_account",
            "service_account_id",
            "role",
            "created_at",
            "updated_at",
            "deleted_at",
        ]
        read_only_fields = ["deleted_at"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        named = [name for name in ("user", "service_account") if attrs.get(name)]
        if self.instance and named:
            raise serializers.ValidationError("A role stays its holder's.")
        if not self.instance and len(named) != 1:
            raise serializers.ValidationError("Name either user or service_account.")
        return attrs


class HeldRoleSerializer(StrictSerializer):
    """A role in a project, which is named by its slug."""

    project = serializers.SlugField(source="project.slug", max_length=63)
    role = serializers.ChoiceField(ProjectRole.choices)


class ServiceAccountSerializer(RowSerializer):
    name = Label(max_length=100)
    description = serializers.CharField(
        max_length=10_000, allow_blank=True, required=False
    )
    roles = HeldRoleSerializer(source="live_roles", many=True, required=False)

    class Meta:
        model = ServiceAccount
        fields = [
            "id",
            "name",
            "description",
            "roles",
            "created_by",
            "created_at",
            "updated_at",
            "deleted_at",
        ]
        read_only_fields = ["created_by", "deleted_at"]

    def validate_roles(self, roles: list[Any]) -> list[Any]:
        if self.instance and roles:
            raise serializers.ValidationError(
                "Roles are changed below projects/<slug>/members/."
            )
        return roles


class TokenSerializer(RowSerializer):
    """A token without its secret."""

    prefix = serializers.SerializerMethodField()
    kind = serializers.CharField(source="get_kind_display", read_only=True)
    user = serializers.CharField(
        source="user.username", default=None, read_only=True, allow_null=True
    )
    service_account = serializers.CharField(
        source="service_account.name", default=None, read_only=True, allow_null=True
    )

    class Meta:
        model = ApiToken
        fields = [
            "id",
            "name",
            "kind",
            "prefix",
            "last_four",
            "user",
            "service_account",
            "project_ids",
            "permissions",
            "created_by",
            "created_at",
            "expires_at",
            "last_used_at",
            "last_used_ip_prefix",
            "previous_valid_until",
            "revoked_at",
            "revoked_reason",
        ]
        read_only_fields = fields

    def get_prefix(self, token: ApiToken) -> str:
        return f"mlp_{token.kind}_{token.public_id}"


class NewTokenSerializer(TokenSerializer):
    """The one answer that shows the secret."""

    token = serializers.CharField(read_only=True)

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]
        read_only_fields = fields


class IssueTokenSerializer(StrictSerializer):
    name = Label(max_length=100)
    service_account = Label(
        max_length=100, required=False, help_text="Its name; if left out, yourself."
    )
    projects = serializers.ListField(
        child=serializers.SlugField(max_length=63),
        max_length=100,
        default=list,
        help_text="Slugs; if left out, every project that the holder may see.",
    )
    permissions = serializers.ListField(
        child=serializers.CharField(max_length=40),
        max_length=100,
        allow_empty=False,
        default=lambda: [EVERYTHING],
    )
    days = serializers.IntegerField(
        min_value=1, max_value=MAX_DAYS, default=DEFAULT_DAYS
    )


class RotateTokenSerializer(StrictSerializer):
    overlap_hours = serializers.IntegerField(
        min_value=0,
        max_value=MAX_OVERLAP,
        default=0,
        help_text="How long the old secret works on.",
    )
    days = serializers.IntegerField(
        min_value=1, max_value=MAX_DAYS, default=DEFAULT_DAYS
    )


class TokenLeakSerializer(StrictSerializer):
    token = serializers.CharField(max_length=1000, write_only=True)


class SupportGrantSerializer(RowSerializer):
    """Staff that asked to enter, and what became of it."""

    staff = serializers.CharField(source="staff.username", read_only=True)
    state = serializers.ChoiceField(GrantState.choices, read_only=True)

    class Meta:
        model = SupportGrant
        fields = [
            "id",
            "staff",
            "staff_id",
            "reason",
            "hours",
            "may_write",
            "break_glass",
            "state",
            "created_at",
            "approved_by",
            "approved_at",
            "expires_at",
            "revoked_by",
            "revoked_at",
        ]
        read_only_fields = fields


class ApproveGrantSerializer(StrictSerializer):
    """Less than was asked for may be granted, never more."""

    hours = serializers.IntegerField(
        min_value=1, max_value=MAX_HOURS, required=False, help_text="As asked, if not."
    )
    may_write = serializers.BooleanField(required=False, help_text="As asked, if not.")


class RevokeTokenSerializer(StrictSerializer):
    reason = Label(max_length=200, allow_blank=True, default="")
