"""Filters with mistakes in them: what a hand that slips makes of a valid one."""

from __future__ import annotations

from random import Random

PIECES = (
    *"'\"`().,;=<>!~%_-+#/*\\&|[]{}:@?^ \n\t0.5e",
    *("''", '""', "``", "\\'", "--", "/*", "1e400", "NaN", "0x1", "'a'", "(", ")"),
    *(" AND ", " OR ", " NOT ", " IN ", " LIKE ", " IS NULL", " IS NOT NULL"),
    *("metrics.", "params.x", "tags", "run_id IN (", "ä", "日", "\u00a0", "\u200b"),
    *("9" * 400, "(" * 200, "." * 50),
)


def mangled(text: str, chance: Random) -> str:
    """Make one to four mistakes."""
    for _ in range(chance.randint(1, 4)):
        text = slip(text, chance)
    return text


def slip(text: str, chance: Random) -> str:
    begin = chance.randint(0, len(text))
    end = min(len(text), begin + chance.randint(1, 6))
    match chance.choice(("insert", "delete", "replace", "double", "cut", "swap")):
        case "insert":
            return text[:begin] + chance.choice(PIECES) + text[begin:]
        case "delete":
            return text[:begin] + text[end:]
        case "replace":
            return text[:begin] + chance.choice(PIECES) + text[end:]
        case "double":
            return text[:end] + text[begin:]
        case "cut":
            return text[:begin]
    return text[:begin] + text[begin:end][::-1] + text[end:]
