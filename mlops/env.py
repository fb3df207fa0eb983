"""Typed readers of environment variables that refuse nonsense instead of guessing."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import NamedTuple

from django.core.exceptions import ImproperlyConfigured

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off", ""})


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, default)


def given(name: str) -> str | None:
    """Tell a value that is empty from none at all."""
    return os.environ.get(name)


def flag(name: str, default: bool = False) -> bool:
    """Raises ImproperlyConfigured for anything but 1/0, true/false, yes/no, on/off."""
    raw = os.environ.get(name)
    if raw is None:
        return default
    if raw.lower() in TRUE:
        return True
    if raw.lower() in FALSE:
        return False
    raise ImproperlyConfigured(f"{name}={raw!r} is neither true nor false; use 1 or 0.")


def number(name: str, default: int) -> int:
    raw = os.environ.get(name, "")
    try:
        return int(raw) if raw else default
    except ValueError:
        raise ImproperlyConfigured(f"{name}={raw!r} is not a whole number.") from None


class Rate(NamedTuple):
    """A bucket of `burst` requests that fills up by `per_second`."""

    per_second: float
    burst: int


RATE = re.compile(r"(\d+)/(\d*)(s|min|h)(?::(\d+))?")
UNIT_SECONDS = {"s": 1, "min": 60, "h": 3600}


def rate(name: str, default: str) -> Rate:
    """Read "5/15min", or "50/s:200" where more than 50 may come at once."""
    raw = text(name) or default
    found = RATE.fullmatch(raw)
    count, span, unit, burst = found.groups() if found else ("0", "", "s", None)
    if int(count) < 1 or span == "0" or burst == "0":
        raise ImproperlyConfigured(
            f"{name}={raw!r} is no rate; write 5/15min, 20/min or 50/s:200."
        )
    seconds = int(span or 1) * UNIT_SECONDS[unit]
    return Rate(int(count) / seconds, int(burst or count))


def words(name: str, default: str = "") -> list[str]:
    """Read a comma-separated list; blanks around and between commas do not count."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def networks(name: str, default: str = "") -> tuple[IPv4Network | IPv6Network, ...]:
    """Read a comma-separated list of networks, such as 10.0.0.0/8, or addresses."""
    try:
        return tuple(ip_network(word) for word in words(name, default))
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}; write 10.0.0.0/8.") from None


def random_text() -> str:
    return secrets.token_urlsafe(48)


def secret(
    name: str, *, kept_in: Path | None = None, make: Callable[[], str] = random_text
) -> str:
    """Read a secret from NAME, from the file that NAME_FILE names, or from `kept_in`.

    `kept_in` is made by `make` on the first call: 0600 in a folder of 0700. Two
    processes racing end with the same value, since the file is linked into place.
    Raises ImproperlyConfigured when nothing holds the secret.
    """
    if value := given_secret(name):
        return value
    if kept_in is None:
        raise ImproperlyConfigured(f"Set {name} or {name}_FILE.")
    if not kept_in.exists():
        _keep(kept_in, make())
    return kept_in.read_text().strip()


def given_secret(name: str) -> str:
    """Read a secret from NAME or from the file that NAME_FILE names; "" if neither."""
    if value := os.environ.get(name):
        return value
    file = os.environ.get(f"{name}_FILE")
    return Path(file).read_text().strip() if file else ""


def replace_secret(path: Path, value: str) -> None:
    """Put another value into a file of `secret`, so that a reader sees either whole."""
    _draft(path, value).replace(path)


def _keep(path: Path, value: str) -> None:
    """Write a secret so that a reader sees all of it or none; the first writer wins."""
    draft = _draft(path, value)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _draft(path: Path, value: str) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(value + "\n")
        file.flush()
        os.fsync(file.fileno())
    return draft
