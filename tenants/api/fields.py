"""Fields and the base of serializers that take nothing they do not know."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

MAX_METADATA_BYTES = 64 * 1024
TAG_KEY_LENGTH, TAG_VALUE_LENGTH = 250, 100_000
MAX_TAGS = 100


class StrictSerializer(serializers.Serializer):
    """Refuses fields it does not have: a misspelt one must not pass for success."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = sorted(str(name) for name in set(data) - set(self.fields))
            if unknown:
                known = ", ".join(n for n, f in self.fields.items() if not f.read_only)
                problem = [f"Unknown field; there are: {known}."]
                raise serializers.ValidationError(
                    {name[:50]: problem for name in unknown}
                )
        return super().to_internal_value(data)


class RowSerializer(StrictSerializer, serializers.ModelSerializer):
    """Base of the serializers of rows. Fields that are read-only are passed over."""


class Label(serializers.CharField):
    """A line of text for people, without characters that cannot be seen."""

    def to_internal_value(self, data: Any) -> str:
        text: str = super().to_internal_value(data)
        if any(unicodedata.category(character) == "Cc" for character in text):
            raise serializers.ValidationError("It holds control characters.")
        return text


@extend_schema_field({"type": "object", "additionalProperties": {}})
class Metadata(serializers.JSONField):
    """A JSON object of the caller's own, small enough to be read with its row."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        value = super().to_internal_value(data)
        if not isinstance(value, dict):
            raise serializers.ValidationError("Send a JSON object.")
        if len(json.dumps(value)) > MAX_METADATA_BYTES:
            raise serializers.ValidationError(
                f"Send at most {MAX_METADATA_BYTES} bytes of JSON."
            )
        return value


@extend_schema_field({"type": "number"})
class Number(serializers.FloatField):
    """A finite number to take; NaN and the infinities leave as text: JSON has none."""

    def to_internal_value(self, data: Any) -> float:
        value: float = super().to_internal_value(data)
        if isinstance(data, bool) or not math.isfinite(value):
            raise serializers.ValidationError("Send a finite number.")
        return value

    def to_representation(self, value: Any) -> Any:
        number = float(value)
        return number if math.isfinite(number) else text_of(number)


def text_of(number: float) -> str:
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


@extend_schema_field(
    {"type": "object", "additionalProperties": {"type": "string"}},
)
class Tags(serializers.DictField):
    """Labels as {key: value}; read from rows with `key` and `value`."""

    def __init__(self, *, value_length: int = TAG_VALUE_LENGTH, **kwargs: Any) -> None:
        child = serializers.CharField(
            allow_blank=True, max_length=value_length, trim_whitespace=False
        )
        super().__init__(child=child, **kwargs)

    def to_internal_value(self, data: Any) -> dict[str, str]:
        tags: dict[str, str] = super().to_internal_value(data)
        if len(tags) > MAX_TAGS:
            raise serializers.ValidationError(f"Send at most {MAX_TAGS} tags at once.")
        for key in tags:
            if not 1 <= len(key) <= TAG_KEY_LENGTH:
                raise serializers.ValidationError(
                    f"Key {key[:50]!r} must have 1 to {TAG_KEY_LENGTH} characters."
                )
        return tags

    def to_representation(self, value: Any) -> dict[str, str]:
        if isinstance(value, Mapping):
            return dict(value)
        return {row.key: row.value for row in value.all()}
