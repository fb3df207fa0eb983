"""Filters and orders of any entity, made from its own table of fields."""

from __future__ import annotations

from random import Random
from typing import Any

from registry.search.fields import Child, Field, InputField, Kind, Searched, Table

KEYS = ("m", "k", "a b", "mlflow.runName", "absent")
TEXTS = ("fuzzed", "n%", "%", "v", "FINISHED", "it is", "日本", "training")
NUMBERS = ("0", "1", "5", "-7", "1790000000000")
NUMERIC = {Kind.NUMBER, Kind.INTEGER, Kind.MOMENT}


def written_filter(table: Table, chance: Random) -> str:
    count = chance.choice((0, 1, 1, 2, 3))
    return " AND ".join(written_clause(table, chance) for _ in range(count))


def written_order(table: Table, chance: Random) -> list[str]:
    """Name no field twice, under whatever names: some entities refuse that."""
    by_field = {id(field): quoted(name) for name, field in table.orders.items()}
    names = [*by_field.values()]
    for noun in table.ordered_children:
        names += [f"{prefix_of(table, noun)}.`{key}`" for key in KEYS]
    chosen = chance.sample(names, chance.choice((0, 1, 1, 2)))
    return [name + chance.choice(("", " ASC", " DESC")) for name in chosen]


def order_as_objects(table: Table, chance: Random) -> list[dict[str, Any]]:
    """Write an order as the search of logged models takes it."""
    chosen = (text.split(" ")[0] for text in written_order(table, chance))
    return [
        {"field_name": name, "ascending": chance.random() < 0.5}
        for name in chosen
        if "`" not in name
    ]


def written_clause(table: Table, chance: Random) -> str:
    name, field = chance.choice(list(named_fields(table, chance)))
    operator = chance.choice(field.operators)
    if operator.endswith("NULL"):
        return f"{name} {operator}"
    value = written_value(field, chance)
    return f"{name} {operator} {f'({value})' if 'IN' in operator.split() else value}"


def named_fields(table: Table, chance: Random) -> list[tuple[str, Searched]]:
    found: list[tuple[str, Searched]] = [
        (quoted(name), field) for name, field in table.attributes.items()
    ]
    for noun, child in table.children.items():
        key = chance.choice(KEYS)
        found.append((f"{prefix_of(table, noun)}.`{key}`", child))
    found += [(f"dataset.{name}", field) for name, field in table.inputs.items()]
    return found


def prefix_of(table: Table, noun: str) -> str:
    return next(prefix for prefix, each in table.prefixes.items() if each == noun)


def quoted(name: str) -> str:
    return f"`{name}`" if " " in name else name


def written_value(field: Searched, chance: Random) -> str:
    kind = Kind.TEXT if isinstance(field, InputField) else kind_of(field)
    if kind in NUMERIC:
        return chance.choice(NUMBERS)
    if kind is Kind.LABEL:
        return f"'{chance.choice(NUMBERS[:3])}'"
    if isinstance(field, Field) and field.choices:
        return f"'{chance.choice(field.choices)}'"
    return f"'{chance.choice(TEXTS)}'"


def kind_of(field: Field | Child) -> Kind:
    # A name kept as a child is compared as the attribute that it is.
    return Kind.TEXT if getattr(field, "fixed_key", "") else field.kind
