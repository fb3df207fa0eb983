"""From text to comparisons, each checked against the table of its entity.

What MLflow's parser takes is taken; its words of refusal are kept, and say where. Like
there, AND may be missing, doubled or left over, and a name in quotes is one name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from registry.search.fields import NULLS, Kind, Table
from registry.search.lexer import NAMES, Misread, Sort, Token, tokens_of
from registry.search.literals import (
    LIST,
    demand_choices,
    demand_labels,
    demand_pattern,
    number_of,
    text_of_item,
    text_of_value,
)
from registry.search.names import Name, name_of, no_list, no_operator, unfit

MAX_FILTER = 100_000
MAX_COMPARISONS = 64
MAX_LIST = 1000
NUMBERS = frozenset({Kind.NUMBER, Kind.INTEGER, Kind.MOMENT})
# The longest first: each is tried before its own beginning.
WORD_OPERATORS = (
    ("IS", "NOT", "NULL"),
    ("IS", "NULL"),
    ("NOT", "IN"),
    ("NOT", "LIKE"),
    ("NOT", "ILIKE"),
    ("LIKE",),
    ("ILIKE",),
    ("RLIKE",),
    ("IN",),
)
RESERVED = frozenset({"AND", "OR", "NOT", "IS", "IN", "LIKE", "ILIKE", "RLIKE"})

Literal: TypeAlias = str | int | float | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One condition: a name, an operator that it has, and a value that suits both."""

    name: Name
    operator: str
    value: Literal


def parse_filter(text: str, table: Table) -> tuple[Comparison, ...]:
    """Raises InvalidInput that says what is wrong, and at which character."""
    if len(text) > MAX_FILTER:
        raise Misread(
            f"The filter has {len(text)} characters; use at most {MAX_FILTER}",
            MAX_FILTER + 1,
        )
    reader = Reader(tokens_of(text), len(text), table)
    found: list[Comparison] = []
    while not reader.is_at_end:
        if reader.takes("AND"):
            continue
        if len(found) == MAX_COMPARISONS:
            raise Misread(
                f"The filter has more than {MAX_COMPARISONS} comparisons; "
                "leave some out",
                reader.peek().position,
            )
        found.append(reader.comparison())
    return tuple(found)


class Reader:
    """The tokens of a filter, read from left to right."""

    def __init__(self, tokens: Iterator[Token], length: int, table: Table) -> None:
        self.coming = tokens
        self.tokens: list[Token] = []
        self.end = Token(Sort.MARK, "", length)
        self.table = table
        self.at = 0

    @property
    def is_at_end(self) -> bool:
        return self.peek() is self.end

    def peek(self, ahead: int = 0) -> Token:
        """Return a token; behind the last one stands an empty mark."""
        index = self.at + ahead
        self.tokens += islice(self.coming, max(0, index + 1 - len(self.tokens)))
        return self.tokens[index] if index < len(self.tokens) else self.end

    def take(self) -> Token:
        token = self.peek()
        self.at += 1
        return token

    def takes(self, text: str) -> bool:
        """Take the word or the mark, if it is the next."""
        token = self.peek()
        is_next = text in (token.word, token.text if token.sort is Sort.MARK else "")
        self.at += is_next
        return is_next

    def comparison(self) -> Comparison:
        written = self._written_name()
        operator, position = self._operator()
        name = name_of(written, self.table, self.table.attributes)
        value = None if operator in NULLS else self._value(name, operator)
        if operator not in name.field.operators:
            raise no_operator(name, operator, position, self.table)
        if operator in ("LIKE", "ILIKE"):
            demand_pattern(str(value), self.tokens[self.at - 1])
        return Comparison(name, operator, value)

    def _written_name(self) -> list[Token]:
        if self.peek().sort not in NAMES or self.peek().word in RESERVED:
            raise unfit(self.peek())
        return self.joined()

    def joined(self) -> list[Token]:
        """Take a token and, as long as dots join them, those that touch it."""
        taken = [self.take()]
        while self.peek().start == taken[-1].end and not self.is_at_end:
            if self.peek().text != "." and taken[-1].text != ".":
                break
            taken.append(self.take())
        return taken

    def _operator(self) -> tuple[str, int]:
        token = self.peek()
        if token.sort is Sort.OPERATOR:
            return self.take().text, token.position
        for words in WORD_OPERATORS:
            if all(self.peek(n).word == word for n, word in enumerate(words)):
                self.at += len(words)
                return " ".join(words), token.position
        raise unfit(token, "Expected a comparison, such as = or LIKE")

    def _value(self, name: Name, operator: str) -> Literal:
        if operator in ("IN", "NOT IN") or self.peek().text == "(":
            return self._list(name)
        token = self.take()
        if name.kind in NUMBERS:
            return number_of(token, name)
        text = text_of_value(token, name, takes_bare=self.table.takes_bare_texts)
        if name.kind is Kind.LABEL:
            demand_labels((text,), token.position)
        demand_choices((text,), name, token.position)
        return text

    def _list(self, name: Name) -> tuple[str, ...]:
        """Read texts in parentheses; a comma may follow the last one."""
        opening = self.peek()
        if not self.takes("("):
            raise unfit(opening, "Expected a list in parentheses")
        if "IN" not in name.field.operators:
            raise no_list(name, opening, self.table)
        found: list[str] = []
        while not self.takes(")"):
            if found and not self.takes(","):
                raise Misread(
                    f"{LIST} a non-empty list of string values, but got ill-formed "
                    "list.",
                    self.peek().position,
                )
            if found and self.takes(")"):
                break
            found.append(text_of_item(self.take()))
            if len(found) > MAX_LIST:
                raise Misread(
                    f"The list has more than {MAX_LIST} values; ask for fewer at once",
                    opening.position,
                )
        if not found:
            raise Misread(
                f"{LIST} a non-empty list of string values, but got empty list",
                opening.position,
            )
        if name.kind is Kind.LABEL:
            demand_labels(found, opening.position)
        demand_choices(found, name, opening.position)
        return tuple(found)
