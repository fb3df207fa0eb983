"""Names of registered models and aliases: one canonical form, nothing ambiguous."""

from __future__ import annotations

import re
import unicodedata

from mlops.errors import InvalidInput

MODEL_NAME_LENGTH = 256
ALIAS_LENGTH = 255
ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
# Control and format characters, blanks other than " ", line ends, unassigned ones.
UNSEEN = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp", "Cn", "Co"})
# Cyrillic, then Greek.
LOOK_ALIKES = frozenset("аеорсухіјѕԁһԛԝАВЕЗКМНОРСТУХІЈЅ" + "ονρΑΒΕΖΗΙΚΜΝΟΡΤΥΧ")
ALIAS = re.compile(r"[\w\-]+")
RESERVED_ALIAS = re.compile(r"latest|v[0-9]+", re.IGNORECASE)


def model_name(name: str) -> str:
    """Return the name, or raise InvalidInput for one that could pass for another."""
    if not name.strip() or name != name.strip():
        raise _invalid(name, "It must not be empty, or begin or end with a blank.")
    if len(name) > MODEL_NAME_LENGTH:
        raise _invalid(name[:50] + "…", f"Use at most {MODEL_NAME_LENGTH} characters.")
    if "/" in name or ":" in name:
        raise _invalid(name, "Names cannot contain '/' or ':'.")
    if ENCODED.search(name):
        raise _invalid(name, "Write characters as themselves, not as %2F.")
    if any(unicodedata.category(each) in UNSEEN for each in name.replace(" ", "")):
        raise _invalid(name, "It holds characters that cannot be seen.")
    if unicodedata.normalize("NFC", name) != name:
        raise _invalid(name, "Send it in Unicode's composed form (NFC).")
    if unicodedata.normalize("NFKC", name) != name:
        raise _invalid(name, "It holds other forms of plain characters, such as ａ.")
    if could_be_latin(name):
        raise _invalid(name, "It holds Cyrillic or Greek letters that look like Latin.")
    return name


def _invalid(name: str, advice: str) -> InvalidInput:
    return InvalidInput(f"Invalid model name {name!r}. {advice}")


def could_be_latin(name: str) -> bool:
    """Tell "сhurn" with a Cyrillic "с", which would sit beside "churn" unseen.

    So would a name of look-alikes alone. Greek letters that look like nothing else may
    stand among Latin ones, as in "β-vae"; Cyrillic ones never do.
    """
    letters = {each for each in name if each.isalpha()}
    alike = letters & LOOK_ALIKES
    scripts = {unicodedata.name(each, "").partition(" ")[0] for each in letters}
    if "LATIN" in scripts:
        return bool(alike) or "CYRILLIC" in scripts
    return bool(letters) and alike == letters


def alias_name(name: str) -> str:
    """Return the alias, or raise InvalidInput; MLflow reserves "latest" and "v1"."""
    if not ALIAS.fullmatch(name) or len(name) > ALIAS_LENGTH:
        raise InvalidInput(
            f"Invalid alias {name[:50]!r}. Use 1 to {ALIAS_LENGTH} letters, digits,"
            " hyphens and underscores."
        )
    if RESERVED_ALIAS.fullmatch(name):
        raise InvalidInput(
            f"Alias {name!r} is reserved: 'latest' and 'v<number>' name versions."
        )
    return name
