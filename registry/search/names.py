"""What a name means that stands in a filter or an order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from registry.refusals import shown
from registry.search.fields import (
    NULLS,
    Child,
    Field,
    InputField,
    Kind,
    Searched,
    Table,
)
from registry.search.lexer import NAMES, QUOTES, Misread, Sort, Token, Unparsed


@dataclass(frozen=True, slots=True)
class Name:
    """An attribute, or a key of one of the children; `field` says what it means."""

    noun: str
    key: str
    field: Searched
    position: int = 1

    @property
    def kind(self) -> Kind:
        return Kind.TEXT if isinstance(self.field, InputField) else self.field.kind

    @property
    def choices(self) -> tuple[str, ...]:
        return self.field.choices if isinstance(self.field, Field) else ()


def name_of(
    written: Sequence[Token], table: Table, attributes: Mapping[str, Field | Child]
) -> Name:
    """Look up what was written, token by token. Raises InvalidInput for no name."""
    first, rest = written[0], written[1:]
    if first.sort not in NAMES:
        raise unfit(first)
    if not rest:
        return _attribute(first.content, attributes, first.position)
    prefix = first.text if first.sort is Sort.DOUBLE else first.content
    noun = table.prefixes.get(prefix)
    if noun is None:
        raise unknown_prefix(prefix, table, first.position)
    key = _key(rest[1:], rest[0])
    if noun == "attribute":
        return _attribute(key, attributes, first.position)
    if noun == "dataset":
        return _input(key, table, first.position)
    return Name(noun, key, table.children[noun], first.position)


def _key(tokens: Sequence[Token], dot: Token) -> str:
    """Read what stands behind the dot: a name in quotes, or words joined by dots."""
    if len(tokens) == 1 and tokens[0].sort in QUOTES.values() and tokens[0].content:
        return tokens[0].content
    for at, token in enumerate(tokens):
        if token.sort is not Sort.WORD if at % 2 == 0 else token.text != ".":
            raise unfit(token, "Put a name with other characters in backticks")
    if len(tokens) % 2 == 0:
        raise unfit(dot, "Expected a name behind the dot")
    return "".join(token.text for token in tokens)


def _attribute(
    key: str, attributes: Mapping[str, Field | Child], position: int
) -> Name:
    if key not in attributes:
        raise Misread(
            f"Invalid attribute key '{shown(key)}' specified. "
            f"Valid keys are '{sorted(attributes)}'",
            position,
        )
    return Name("attribute", key, attributes[key], position)


def _input(key: str, table: Table, position: int) -> Name:
    if key not in table.inputs:
        raise Misread(
            f"Invalid dataset key '{shown(key)}' specified. "
            f"Valid keys are '{sorted(table.inputs)}'",
            position,
        )
    return Name("dataset", key, table.inputs[key], position)


# What is wrong


def unfit(token: Token, reason: str = "") -> Misread:
    return Unparsed(token.text, token.position, reason)


def unknown_prefix(prefix: str, table: Table, position: int) -> Misread:
    nouns = list(dict.fromkeys(table.prefixes.values()))
    text = table.unknown_prefix.format(
        prefix=shown(prefix), prefixes=tuple(table.prefixes), nouns=nouns
    )
    return Misread(text, position)


def no_operator(name: Name, operator: str, position: int, table: Table) -> Misread:
    with_nulls = [c for c in table.children.values() if operator in c.operators]
    if operator in NULLS and with_nulls:
        has_params = "parameter" in table.children
        return Misread(
            "IS NULL / IS NOT NULL is only supported for "
            f"{'tags and params' if has_params else 'tags'}, not for '{name.noun}' "
            f"'{shown(name.key)}'",
            position,
        )
    return Misread(
        f"Invalid comparator '{shown(operator)}' not one of "
        f"'{list(name.field.operators)}' for {name.noun} '{shown(name.key)}'",
        position,
    )


def no_list(name: Name, opening: Token, table: Table) -> Misread:
    if name.noun in table.children:
        return no_text(name, opening)
    listed = {key for key, field in table.attributes.items() if "IN" in field.operators}
    return Misread(
        f"Only {sorted(listed)} attributes support comparison with a list of quoted "
        "string values.",
        opening.position,
    )


def no_text(name: Name, token: Token) -> Misread:
    """Say what should stand there, in the words that MLflow has for each noun."""
    found = shown(token.text) or "nothing"
    if name.kind is Kind.NUMBER:
        reason = f"Expected numeric value type for {name.noun}. Found {found}"
    elif name.noun in ("attribute", "dataset"):
        of = "attributes" if name.noun == "attribute" else "dataset attributes"
        reason = f"Expected a quoted string value for {of}. Got value {found}"
    else:
        reason = (
            f"Expected a quoted string value for {name.noun} (e.g. 'my-value'). "
            f"Got value {found}"
        )
    return Misread(reason, token.position)
