"""Whether two errors say the same but for the one thing that may differ."""

from __future__ import annotations

import re

PLACE = re.compile(r" \(at position \d+( of order_by clause \d+)?\)")
# The operators that a field takes are told with the field.
OF_FIELD = re.compile(r"(?<=\]') for \w+ '[^']*'$")
WORDS = re.compile(r"[\[{(]('[^']*'(?:, '[^']*')*)[\]})]")
RUN_FOLDER = re.compile(r"'\d+/<\w+>/artifacts/")


def is_beginning(reference: str, ours: str) -> bool:
    return reference.startswith(ours)


def is_same_but_for_order(reference: str, ours: str) -> bool:
    return sort_words(reference) == sort_words(ours)


def is_same_but_for_position(reference: str, ours: str) -> bool:
    bare, found = PLACE.subn("", ours)
    bare = OF_FIELD.sub("", bare)
    return found == 1 and is_same_but_for_order(reference, bare)


def is_same_but_cut(reference: str, ours: str) -> bool:
    parts = [re.escape(part) for part in ours.split("…")]
    return len(parts) > 1 and bool(re.fullmatch(".+".join(parts), reference, re.DOTALL))


def is_same_below_the_run(reference: str, ours: str) -> bool:
    bare, found = RUN_FOLDER.subn("'", reference)
    return found == 1 and bare == ours


def sort_words(text: str) -> str:
    """Put lists of words, which Python writes as sets, into one order and one form."""
    return WORDS.sub(lambda found: str(sorted(found[1].split(", "))), text)
