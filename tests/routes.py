"""Every route of the platform, read from the URL configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import LocalePrefixPattern, RegexPattern
from django.utils import regex_helper

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PARAMETER = re.compile(r"<(?:[^>:]+:)?([^>]+)>")
SAMPLE = "1"


@dataclass(frozen=True)
class Route:
    """One pattern with all that stands before it, and the view behind it."""

    patterns: tuple[Any, ...]
    view: Any
    namespaces: tuple[str, ...] = ()

    @property
    def template(self) -> str:
        """The address with its parameters in angle brackets."""
        return self.address({name: f"<{name}>" for name in self.parameters})

    @property
    def parameters(self) -> list[str]:
        return [name for pattern in self.patterns for name in parameters_of(pattern)]

    def address(self, values: Mapping[str, Any]) -> str:
        parts = (address_of(pattern, values) for pattern in self.patterns)
        return "/" + "".join(parts)

    @property
    def actions(self) -> dict[str, str]:
        return getattr(self.view, "actions", None) or {}

    @property
    def view_set(self) -> Any:
        return getattr(self.view, "cls", None)

    @property
    def needs(self) -> Any:
        declaring = (self.view, self.view_set, getattr(self.view, "view_class", None))
        return next(filter(None, (getattr(d, "needs", None) for d in declaring)), None)

    def has(self, method: str) -> bool:
        """Tell whether a method leads anywhere, as far as the route declares it."""
        if self.actions or not isinstance(self.needs, dict):
            return True
        return method in self.needs or (method == "HEAD" and "GET" in self.needs)

    @property
    def is_public(self) -> bool:
        return bool(getattr(self.view, "public", False))

    @property
    def is_admin(self) -> bool:
        return "admin" in self.namespaces

    @property
    def is_account_page(self) -> bool:
        return bool(getattr(self.view, "account_page", False))

    def __str__(self) -> str:
        return self.template


def routes() -> list[Route]:
    return list(walk(get_resolver().url_patterns, (), ()))


def walk(
    entries: Any, before: tuple[Any, ...], namespaces: tuple[str, ...]
) -> Iterator[Route]:
    for entry in entries:
        patterns = (*before, entry.pattern)
        if isinstance(entry, URLPattern):
            yield Route(patterns, entry.callback, namespaces)
        elif isinstance(entry, URLResolver):
            inner = (*namespaces, *filter(None, [entry.namespace]))
            yield from walk(entry.url_patterns, patterns, inner)


def parameters_of(pattern: Any) -> list[str]:
    if isinstance(pattern, RegexPattern):
        return list(possibility_of(pattern)[1])
    return list(pattern.converters)


def address_of(pattern: Any, values: Mapping[str, Any]) -> str:
    assert not isinstance(pattern, LocalePrefixPattern), "addresses have no language"
    if isinstance(pattern, RegexPattern):
        template, names = possibility_of(pattern)
        return template % {name: values.get(name, SAMPLE) for name in names}
    return PARAMETER.sub(
        lambda found: str(values.get(found.group(1), SAMPLE)), str(pattern)
    )


def possibility_of(pattern: RegexPattern) -> tuple[str, list[str]]:
    template, names = regex_helper.normalize(pattern.regex.pattern)[0]
    return template, names
