from __future__ import annotations

from rest_framework import serializers

from audit.models import AuditLog


class AuditLogSerializer(serializers.ModelSerializer):
    before = serializers.DictField(
        read_only=True,
        allow_null=True,
        help_text="What was: of an update the columns that changed, of a deletion all.",
    )
    after = serializers.DictField(
        read_only=True,
        allow_null=True,
        help_text="What is; of an occurrence that changed no row, what it tells.",
    )

    class Meta:
        model = AuditLog
        fields = [
            "id",
            "created_at",
            "transaction_id",
            "project_id",
            "actor_kind",
            "actor_id",
            "actor_label",
            "token_public_id",
            "request_id",
            "address",
            "route",
            "action",
            "outcome",
            "object_type",
            "object_id",
            "object_label",
            "before",
            "after",
            "reason",
        ]
        read_only_fields = fields


class ProofSerializer(serializers.Serializer):
    """Hashes in hex; names and texts in the order in which they are hashed."""

    form = serializers.CharField()
    entry = serializers.ListField(
        child=serializers.ListField(child=serializers.CharField(allow_null=True))
    )
    leaf = serializers.CharField()
    path = serializers.ListField(
        child=serializers.ListField(child=serializers.CharField()),
        help_text="Side (left or right) and hash of each sibling, from the leaf up.",
    )
    seal = serializers.ListField(
        child=serializers.ListField(child=serializers.CharField(allow_null=True))
    )
    hash = serializers.CharField()
    signature = serializers.CharField()
    key_id = serializers.CharField()
    public_key = serializers.CharField(allow_null=True)
