"""What the language compares and Django has no word for."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db.models import BooleanField, F, Func, TextField, UUIDField, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Coalesce, Concat, Replace

UUIDS = ArrayField(UUIDField())


class Like(Func):
    """`text LIKE pattern`, the pattern as PostgreSQL reads it: %, _ and a backslash."""

    output_field = BooleanField()
    conditional = True
    arg_joiner = " LIKE "
    template = "%(expressions)s"


class ILike(Like):
    arg_joiner = " ILIKE "


class AnyOf(Func):
    """`key = ANY (keys)`: one parameter, however many keys there are."""

    output_field = BooleanField()
    conditional = True
    arg_joiner = " = ANY ("
    template = "%(expressions)s)"

    @classmethod
    def keys(cls, path: str, keys: Sequence[UUID]) -> AnyOf:
        return cls(F(path), Value(list(keys), output_field=UUIDS))


class WithoutEnd(Func):
    """The text without the characters at its end."""

    function = "RTRIM"
    output_field = TextField()


def text(value: str) -> Value:
    """Django takes texts for varying characters, which it joins to no other texts."""
    return Value(value, output_field=TextField())


def hex_text(path: str, prefix: str = "") -> Combinable:
    """Write a key as clients know it; a missing one is empty."""
    digits = Replace(Cast(F(path), TextField()), text("-"), text(""))
    written = Concat(text(prefix), digits) if prefix else digits
    return Coalesce(written, text(""))


def artifact_uri(of: str, folder: str = "", prefix: str = "") -> Combinable:
    """Where the files of a run or a logged model lie, as clients are told."""
    return Concat(
        WithoutEnd(F(f"{of}artifact_location"), text("/")),
        text(f"/{folder}"),
        hex_text("pk", prefix),
        text("/artifacts"),
        output_field=TextField(),
    )
