"""The words of a filter, each with the place where it stands.

Written by hand: one look at each character, whatever is sent. What quotes mean is what
MLflow's own parser makes of them: a doubled quote and one behind a backslash do not end
a text, and both stay in it as they were written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from mlops.errors import InvalidInput
from registry.refusals import shown

# Five lists as long as any may be.
MAX_TOKENS = 10_000
WORD = re.compile(r"\w+")
SPACE = re.compile(r"\s+")
NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?!\w)")
OPERATOR = re.compile(r"[<>=!~]+")
# All that neither ends a text nor could hide its end.
INSIDE = {
    "'": re.compile(r"[^'\\]*"),
    '"': re.compile(r'[^"\\]*'),
    "`": re.compile(r"[^`]*"),
}
# What no text of a database can hold.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Sort(Enum):
    WORD = "word"
    NUMBER = "number"
    SINGLE = "text in single quotes"
    DOUBLE = "text in double quotes"
    BACKTICK = "text in backticks"
    OPERATOR = "operator"
    MARK = "mark"


QUOTES = {"'": Sort.SINGLE, '"': Sort.DOUBLE, "`": Sort.BACKTICK}
NAMES = frozenset({Sort.WORD, Sort.DOUBLE, Sort.BACKTICK})
QUOTED_TEXTS = frozenset({Sort.SINGLE, Sort.DOUBLE})


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text as it was written, quotes included."""

    sort: Sort
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def position(self) -> int:
        """Where it stands, as people count: from one."""
        return self.start + 1

    @property
    def content(self) -> str:
        """The text without its quotes."""
        return self.text[1:-1] if self.sort in QUOTES.values() else self.text

    @property
    def word(self) -> str:
        """A word in capitals, which is how the language's own words are compared."""
        return self.text.upper() if self.sort is Sort.WORD else ""


class Misread(InvalidInput):
    """Something in the text is wrong, and where it stands."""

    def __init__(self, reason: str, position: int) -> None:
        self.reason = reason
        self.position = position
        super().__init__(f"{reason} (at position {position})")


class Unparsed(Misread):
    """Something in the text is no part of the language."""

    def __init__(self, text: str, position: int, reason: str = "") -> None:
        quoted = shown(text) or "end of text"
        more = f". {reason}" if reason else ""
        super().__init__(
            f"Invalid clause(s) in filter string: '{quoted}'{more}", position
        )


def tokens_of(text: str) -> Iterator[Token]:
    """Read one after the other, so that a mistake at the beginning costs no more.

    Raises InvalidInput for a quote that is never closed, and for NUL.
    """
    if found := UNSTORABLE.search(text):
        name = f"U+{ord(found[0]):04X}"
        raise Unparsed(name, found.start() + 1, "No text holds this character")
    for number, token in enumerate(_tokens(text)):
        if number == MAX_TOKENS:
            reason = f"The text has more than {MAX_TOKENS} words and marks; write less"
            raise Misread(reason, token.position)
        yield token


def _tokens(text: str) -> Iterator[Token]:
    start, last = 0, None
    while start < len(text):
        if space := SPACE.match(text, start):
            start, last = space.end(), None
            continue
        last = _token(text, start, last)
        yield last
        start = last.end


def _token(text: str, start: int, before: Token | None) -> Token:
    """Read one; `before` is the one that it touches."""
    first = text[start]
    if first in QUOTES:
        end = _end_of_quoted(text, start)
        return Token(QUOTES[first], text[start:end], start)
    # `metrics.1` is a name, and so is the dot in it.
    in_name = before is not None and (before.text == "." or before.sort in NAMES)
    if not in_name and (number := NUMBER.match(text, start)):
        return Token(Sort.NUMBER, number[0], start)
    if word := WORD.match(text, start):
        return Token(Sort.WORD, word[0], start)
    if operator := OPERATOR.match(text, start):
        return Token(Sort.OPERATOR, operator[0], start)
    return Token(Sort.MARK, first, start)


def _end_of_quoted(text: str, start: int) -> int:
    """Return where the text ends that begins with a quote.

    Where no quote ends it for certain, the last one does that could: of `'C:\\'` the
    backslash belongs to the text.
    """
    quote, inside = text[start], INSIDE[text[start]]
    at, possible = start + 1, 0
    while (at := inside.match(text, at).end()) < len(text):  # type: ignore[union-attr]
        if text[at] == "\\":
            if text.startswith(quote, at + 1):
                possible = at + 2
                at += 1
        elif text.startswith(quote, at + 1):
            possible = at + 1
            at += 1
        else:
            return at + 1
        at += 1
    if possible:
        return possible
    reason = f"The quote {quote} is never closed"
    raise Unparsed(text[start:], start + 1, reason)
