"""Filters and orders by the thousand, each as clauses and as one of their spellings.

They are made from a seed, which is all that hypothesis draws: a strategy per word took
longer than the searches themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from registry.tests.search.evaluator import By, Clause
from registry.tests.search.population import (
    CONTEXTS,
    DATASETS,
    DIGESTS,
    LARGEST,
    METRICS,
    NUMBERS,
    PARAMS,
    STARTS,
    TAGS,
    TEXTS,
    USERS,
)

PREFIXES = {
    "metric": ("metric", "metrics"),
    "parameter": ("param", "params", "parameter", "parameters"),
    "tag": ("tag", "tags"),
    "attribute": ("attribute", "attributes", "attr", "run"),
    "dataset": ("dataset", "datasets"),
}
ALIASES = {
    "start_time": ("start_time", "created", "Created"),
    "run_name": ("run_name", "`run name`", "`Run name`", "`Run Name`"),
}
NUMERIC = ("=", "!=", ">", ">=", "<", "<=")
TEXTUAL = ("=", "!=", "LIKE", "ILIKE")
LISTED = (*TEXTUAL, "IN", "NOT IN")
NULLS = ("IS NULL", "IS NOT NULL")
STATUSES = ("RUNNING", "FINISHED", "finished", "nonsense")
ATTRIBUTES = (
    *("run_id", "run_name", "status", "user_id"),
    *("start_time", "end_time", "artifact_uri"),
)
LITERALS = tuple(number for number in NUMBERS if abs(number) <= LARGEST)
WILD = ("", "%", "_", "\\%", "\\_", "\\\\", "%%")


@dataclass(frozen=True, slots=True)
class Known:
    """What of the stored runs nobody can guess."""

    run_ids: tuple[str, ...]
    addresses: tuple[str, ...]


class Maker:
    """Makes searches; two of one seed make the same ones."""

    def __init__(self, seed: int, known: Known) -> None:
        self.chance = Random(seed)
        self.known = known

    # What is meant

    def clauses(self) -> list[Clause]:
        return [self.clause() for _ in range(self.chance.choice((0, 1, 1, 2, 3)))]

    def clause(self) -> Clause:
        pick = self.chance.choice
        noun = pick(tuple(PREFIXES))
        match noun:
            case "metric":
                literals = (*LITERALS, float("inf"), float("-inf"))
                near = self.chance.uniform(-3, 3)
                key = pick((*METRICS, "absent"))
                return Clause(noun, key, pick(NUMERIC), pick((pick(literals), near)))
            case "parameter" | "tag":
                keys = PARAMS if noun == "parameter" else (*TAGS, "mlflow.runName")
                comparator = pick((*TEXTUAL, *NULLS))
                value = self.text_for(comparator, TEXTS)
                return Clause(noun, pick((*keys, "absent")), comparator, value)
            case "dataset":
                key = pick(("name", "digest", "context"))
                known = {"name": DATASETS, "digest": DIGESTS, "context": CONTEXTS[1:]}
                comparator = pick(LISTED)
                value = self.text_for(comparator, known[key])
                return Clause(noun, key, comparator, value)
        return self.attribute_clause()

    def attribute_clause(self) -> Clause:
        pick = self.chance.choice
        texts: dict[str, Sequence[str]] = {
            "run_id": (*self.known.run_ids, "nonsense", ""),
            "run_name": TEXTS,
            "status": STATUSES,
            "user_id": USERS,
            "artifact_uri": self.known.addresses,
        }
        key = pick((*texts, "start_time", "end_time"))
        if key not in texts:
            value = pick((*STARTS, 0.5, 2**70, -(2**70), 1e300))
            return Clause("attribute", key, pick(NUMERIC), value)
        comparator = pick(LISTED if key == "run_id" else TEXTUAL)
        return Clause(
            "attribute", key, comparator, self.text_for(comparator, texts[key])
        )

    def text_for(self, comparator: str, known: Sequence[str]) -> Any:
        match comparator:
            case "IS NULL" | "IS NOT NULL":
                return None
            case "LIKE" | "ILIKE":
                return self.pattern(known)
            case "IN" | "NOT IN":
                return tuple(self.chance.choices(known, k=self.chance.randint(1, 4)))
        return self.chance.choice(known)

    def pattern(self, known: Sequence[str]) -> str:
        """A piece of a known text between wildcards.

        It ends with no backslash, which would take the quote behind it for text.
        """
        text = self.chance.choice(known).replace("\\", "\\\\")
        if self.chance.random() < 0.5:
            begin = self.chance.randint(0, 2)
            text = text[begin : self.chance.randint(begin, max(begin, len(text)))]
        pattern = self.chance.choice(WILD) + text + self.chance.choice(WILD)
        escapes = len(pattern) - len(pattern.rstrip("\\"))
        return pattern + ("\\%" if escapes % 2 else "%") if escapes else pattern

    def order(self) -> list[By]:
        fields = [
            *(("attribute", key) for key in ATTRIBUTES),
            *(("metric", key) for key in (*METRICS, "absent") * 2),
            *(("parameter", key) for key in PARAMS),
            *(("tag", key) for key in TAGS),
        ]
        chosen = dict.fromkeys(self.chance.choices(fields, k=self.chance.randint(0, 3)))
        return [By(noun, key, self.chance.random() < 0.5) for noun, key in chosen]

    # How it is written

    def written_filter(self, meant: Sequence[Clause]) -> str:
        joint = self.chance.choice((" AND ", " and ", "\n and\t"))
        return joint.join(map(self.written_clause, meant))

    def written_clause(self, clause: Clause) -> str:
        name = self.written_name(clause.noun, clause.key)
        words = clause.operator.split()
        comparator = " ".join(map(self.cased, words))
        if clause.operator in NULLS:
            return f"{name} {comparator}"
        gap = " " if words[0].isalpha() else self.chance.choice((" ", "", "  "))
        return f"{name}{gap}{comparator}{gap}{self.written_value(clause.value)}"

    def cased(self, word: str) -> str:
        return self.chance.choice((word, word.lower(), word.title()))

    def written_name(self, noun: str, key: str) -> str:
        if noun == "attribute":
            key = self.chance.choice(ALIASES.get(key, (key, f"`{key}`")))
            prefix = self.chance.choice(("", *PREFIXES[noun]))
            return f"{prefix}.{key}" if prefix else key
        is_plain = all(part.isidentifier() for part in key.split("."))
        quote = self.chance.choice(("`", '"', "") if is_plain else ("`", '"'))
        return f"{self.chance.choice(PREFIXES[noun])}.{quote}{key}{quote}"

    def written_value(self, value: Any) -> str:
        match value:
            case float() if value in (float("inf"), float("-inf")):
                return "1e400" if value > 0 else "-1e400"
            case float() | int():
                return repr(value)
            case tuple():
                comma = self.chance.choice(("", ","))
                return f"({', '.join(map(repr, value))}{comma})"
        quote = self.chance.choice("'\"")
        return in_quotes(value, quote)

    def written_order(self, order: Sequence[By]) -> list[str]:
        return [self.written_clause_of_order(by) for by in order]

    def written_clause_of_order(self, by: By) -> str:
        name = self.written_name(by.noun, by.key)
        if by.key == "run_name":
            # Its other spellings are of filters only.
            name = "run_name"
        words = (" DESC", " desc") if by.descends else ("", " ASC", " asc")
        return name + self.chance.choice(words)


def in_quotes(text: str, quote: str) -> str:
    """Quote a text; where it holds that kind of quotes, use the other."""
    if quote in text:
        quote = "'" if quote == '"' else '"'
    return f"{quote}{text}{quote}"
