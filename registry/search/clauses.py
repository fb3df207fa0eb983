"""From the clauses of an order to its fields, completed so that no two rows tie."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mlops.errors import InvalidInput
from registry.refusals import shown
from registry.search.fields import PRIMARY_KEY, Child, Field, Table
from registry.search.lexer import (
    UNSTORABLE,
    Misread,
    Sort,
    Token,
    Unparsed,
    tokens_of,
)
from registry.search.names import Name, name_of

MAX_CLAUSES = 20
MAX_CLAUSE = 600
DIRECTIONS = {"ASC": False, "DESC": True}


@dataclass(frozen=True, slots=True)
class OrderKey:
    """One field of an order, and which way it goes."""

    name: Name
    descends: bool = False
    # Of a logged model's metric: the name and the digest of the data it is about.
    dataset: tuple[str, str] = ("", "")

    @property
    def field(self) -> Field | Child:
        assert isinstance(self.name.field, Field | Child)
        return self.name.field

    @property
    def identity(self) -> object:
        """Equal for two ways of writing one field."""
        is_attribute = isinstance(self.field, Field)
        key = "" if is_attribute else self.name.key
        return (id(self.field), key, self.dataset)


def parse_order(
    clauses: Sequence[str | OrderKey], table: Table
) -> tuple[OrderKey, ...]:
    """Raises InvalidInput that says what is wrong, and at which character."""
    refuse_many(clauses)
    keys = [
        clause if isinstance(clause, OrderKey) else read_clause(clause, number, table)
        for number, clause in enumerate(clauses, start=1)
    ]
    return complete(keys, table, list(clauses))


def split_clauses(text: str) -> list[str]:
    """Part an order at its commas; one inside quotes belongs to a name."""
    try:
        commas = [token.start for token in tokens_of(text) if token.text == ","]
    except Misread as error:
        raise unparsed(text, 1, error.position) from None
    starts = [0, *(comma + 1 for comma in commas)]
    return [text[a:b] for a, b in zip(starts, [*commas, len(text)], strict=True)]


def refuse_many(clauses: Sequence[object]) -> None:
    if len(clauses) > MAX_CLAUSES:
        raise InvalidInput(
            f"'order_by' has {len(clauses)} clauses; use at most {MAX_CLAUSES}."
        )


def complete(
    keys: Sequence[OrderKey], table: Table, written: object
) -> tuple[OrderKey, ...]:
    """Put the entity's own order behind; what stands behind a unique field goes."""
    found: dict[object, OrderKey] = {}
    for key in keys:
        if key.identity in found and table.refuses_repeated:
            raise InvalidInput(
                f"`order_by` contains duplicate fields: {shown(written)}"
            )
        found.setdefault(key.identity, key)
    for key in own_order(table.ties if keys else table.default_order, table):
        found.setdefault(key.identity, key)
    return tuple(until_unique(found.values()))


def own_order(clauses: Sequence[str], table: Table) -> Iterator[OrderKey]:
    yield from (read_clause(clause, 1, table) for clause in clauses)
    yield OrderKey(Name("attribute", "", PRIMARY_KEY), table.newest_key_first)


def until_unique(keys: Iterable[OrderKey]) -> Iterator[OrderKey]:
    for key in keys:
        yield key
        if isinstance(key.field, Field) and key.field.is_unique:
            return


def order_by_field(
    name: str, *, descends: bool, dataset: tuple[str, str], table: Table
) -> OrderKey:
    """Read one field that is named by itself, whatever characters its key has."""
    prefix, dot, key = name.partition(".")
    noun = table.prefixes.get(prefix, "") if dot else "attribute"
    if not dot and name in table.orders:
        return OrderKey(Name("attribute", name, table.orders[name]), descends)
    if not dot or len(name) > MAX_CLAUSE or not key or UNSTORABLE.search(key):
        raise InvalidInput(f"Invalid order by field name: {shown(name)}")
    if noun not in table.ordered_children:
        raise InvalidInput(
            f"Invalid order by field name: {shown(name)}. Only metrics are supported."
        )
    return OrderKey(Name(noun, key, table.children[noun]), descends, dataset)


def read_clause(clause: str, number: int, table: Table) -> OrderKey:
    """Read a name and, maybe, ASC or DESC."""
    if len(clause) > MAX_CLAUSE:
        raise unparsed(clause, number, MAX_CLAUSE + 1)
    try:
        tokens = list(tokens_of(clause))
        length = _length_of_name(tokens)
        name = name_of(tokens[:length], table, table.orders) if length else None
    except Unparsed as error:
        raise unparsed(clause, number, error.position) from None
    except Misread as error:
        raise InvalidInput(f"{error.reason}{of(number, error.position)}") from None
    if name is None:
        raise unparsed(clause, number, 1)
    descends = _direction(tokens[length:], clause, number)
    if name.noun != "attribute" and name.noun not in table.ordered_children:
        raise InvalidInput(f"Invalid order_by entity: {name.noun}{of(number, 1)}")
    return OrderKey(name, descends)


def _length_of_name(tokens: Sequence[Token]) -> int:
    """Count the tokens that touch, from the first on."""
    for at in range(1, len(tokens)):
        if tokens[at].start != tokens[at - 1].end:
            return at
    return len(tokens)


def _direction(rest: Sequence[Token], clause: str, number: int) -> bool:
    if not rest:
        return False
    word = rest[0]
    if len(rest) > 1 or word.sort is not Sort.WORD:
        stray = rest[1] if word.word in DIRECTIONS else word
        raise unparsed(clause, number, stray.position)
    if word.word not in DIRECTIONS:
        raise InvalidInput(
            f"Invalid ordering key in order_by clause '{shown(clause)}'."
            f"{of(number, word.position)}"
        )
    return DIRECTIONS[word.word]


def unparsed(clause: str, number: int, position: int) -> InvalidInput:
    return InvalidInput(
        f"Invalid order_by clause '{shown(clause)}'. Could not be parsed."
        f"{of(number, position)}"
    )


def of(number: int, position: int) -> str:
    return f" (at position {position} of order_by clause {number})"
