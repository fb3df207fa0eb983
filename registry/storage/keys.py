"""The paths that clients may name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from mlops.errors import InvalidInput

MAX_KEY_BYTES = 1024
MAX_SEGMENTS = 100

# Control characters, lone surrogates, line and paragraph separators.
UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
# What a decoder writes for bytes that are no UTF-8, such as an overlong "/".
UNDECODABLE = "\ufffd"
DRIVE_OR_FILE_URI = re.compile(r"(?:[a-z]|file):", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ArtifactKey:
    """The path of a file in its package; only text that passed the checks is one.

    The text must have been decoded once, by the framework, and is kept as it is. It
    is refused, too, when decoding it again or composing its characters would make it
    climb, so that no reader further on can be led astray. Raises InvalidInput.
    """

    path: str

    def __post_init__(self) -> None:
        if not is_safe(self.path):
            # The text is not repeated: it may hold anything. MLflow says the same.
            raise InvalidInput("Invalid path")

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def folders(self) -> list[str]:
        """The folders above: "a" and "a/b" of "a/b/c"."""
        parts = self.path.split("/")
        return ["/".join(parts[:depth]) for depth in range(1, len(parts))]

    def __str__(self) -> str:
        return self.path


def is_safe(text: str) -> bool:
    if len(text.encode(errors="surrogatepass")) > MAX_KEY_BYTES:
        return False
    return all(is_plain(form) for form in readings_of(text))


def readings_of(text: str) -> Iterator[str]:
    """Yield the text as it is, decoded again and again, and each of them composed."""
    while True:
        yield text
        yield unicodedata.normalize("NFKC", text)
        decoded = unquote(text)
        if decoded == text:
            return
        text = decoded


def is_plain(text: str) -> bool:
    """Tell whether the text is a relative path that names a file and never climbs."""
    if "\\" in text or UNDECODABLE in text or DRIVE_OR_FILE_URI.match(text):
        return False
    if any(unicodedata.category(each) in UNPRINTABLE for each in text):
        return False
    segments = text.split("/")
    # Dots and blanks alone: "", ".", "..", and what some systems take for them.
    return len(segments) <= MAX_SEGMENTS and all(each.strip(". ") for each in segments)
