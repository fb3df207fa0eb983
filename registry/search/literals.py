"""Values as they are written: numbers, texts in quotes, texts of a list."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from registry.refusals import shown
from registry.search.fields import Field, Kind
from registry.search.lexer import (
    NAMES,
    QUOTED_TEXTS,
    UNSTORABLE,
    Misread,
    Sort,
    Token,
)
from registry.search.names import Name, no_text

# Longer ones are no int64, and Python refuses to read those of thousands of digits.
LONGEST_WHOLE = 30
MAX_WILDCARDS = 50
LIST = "While parsing a list in the query, expected"


def number_of(token: Token, name: Name) -> int | float:
    """Read a number; one that is too large for any column comes as infinity."""
    field = name.field
    quoted = isinstance(field, Field) and field.takes_quoted
    if token.sort is not Sort.NUMBER and not (quoted and token.sort in QUOTED_TEXTS):
        if name.kind is Kind.NUMBER:
            raise no_text(name, token)
        raise Misread(
            f"Expected numeric value type for numeric attribute: {name.key}. "
            f"Found {shown(token.text) or 'nothing'}",
            token.position,
        )
    digits = token.content.removeprefix("-")
    if name.kind is Kind.NUMBER:
        return float(token.content)
    if digits.isdecimal() and digits.isascii() and len(digits) <= LONGEST_WHOLE:
        return int(token.content)
    is_whole = isinstance(field, Field) and field.is_whole
    if token.sort is not Sort.NUMBER or (is_whole and not digits.isdecimal()):
        raise Misread(
            f"Invalid value for numeric attribute '{shown(name.key)}': "
            f"'{shown(token.content)}'",
            token.position,
        )
    return float(token.content)


def text_of_value(token: Token, name: Name, *, takes_bare: bool) -> str:
    if token.sort in QUOTED_TEXTS:
        return token.content
    if takes_bare and token.sort in (Sort.WORD, Sort.NUMBER):
        return token.text
    if token.sort in NAMES:
        raise Misread(
            "Parameter value is either not quoted or unidentified quote types used for "
            f"string value {shown(token.text)}. Use either single or double quotes.",
            token.position,
        )
    raise no_text(name, token)


def text_of_item(token: Token) -> str:
    """Read a text of a list, which clients write the way Python writes it."""
    if token.sort not in QUOTED_TEXTS:
        raise Misread(
            f"{LIST} string value, punctuation, or whitespace, but got different type "
            f"in list: {shown(token.text) or 'nothing'}",
            token.position,
        )
    is_special = "\\" in token.text or token.text[0] in token.content
    return unescaped(token) if is_special else token.content


def unescaped(token: Token) -> str:
    try:
        text = str(ast.literal_eval(token.text))
    except (SyntaxError, ValueError):
        text = "\x00"
    if UNSTORABLE.search(text):
        raise Misread(
            f"{LIST} a non-empty list of string values, but got ill-formed list.",
            token.position,
        )
    return text


def demand_labels(texts: Sequence[str], position: int) -> None:
    for text in texts:
        digits = text.removeprefix("-")
        if not (digits.isdecimal() and digits.isascii()):
            raise Misread(
                f"Invalid experiment ID '{shown(text)}'. "
                "Experiment ID must be a valid integer.",
                position,
            )


def demand_choices(texts: Sequence[str], name: Name, position: int) -> None:
    for text in texts if name.choices else ():
        if text not in name.choices:
            raise Misread(
                f"Unknown model {name.key} in filter: '{shown(text)}'. "
                f"There are {list(name.choices)}",
                position,
            )


def demand_pattern(pattern: str, token: Token) -> None:
    """A backslash takes the next character as it is; at the end there is none.

    Each % may begin anywhere in a text, so hundreds of them take long to fit.
    """
    if pattern.count("%") > MAX_WILDCARDS:
        reason = f"The pattern has more than {MAX_WILDCARDS} %; use fewer"
        raise Misread(reason, token.position)
    if (len(pattern) - len(pattern.rstrip("\\"))) % 2:
        raise Misread(
            f"The pattern '{shown(pattern)}' ends with a backslash; double it, if it "
            "stands for itself",
            token.position,
        )
