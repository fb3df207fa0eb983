"""What a request says of how it came here, believed from TRUSTED_PROXIES alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost, ImproperlyConfigured
from django.http import HttpRequest, HttpResponseBase

Network = IPv4Network | IPv6Network
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
HOST = "HTTP_X_FORWARDED_HOST"
SCHEME = "HTTP_X_FORWARDED_PROTO"


def never_nameless(application: Application) -> Application:
    """Have a request without a host refused.

    Django takes the server's own name then, which may be allowed; an empty one is not.
    """

    def named(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ.setdefault("HTTP_HOST", "")
        return application(environ, start_response)

    return named


class HostCheck:
    """Refuse a host that is not ours, and whoever only pretends to be our proxy."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        networks_of(tuple(settings.TRUSTED_PROXIES))

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        meta = request.META
        if (SCHEME in meta or HOST in meta) and not comes_by_proxy(request):
            if HOST in meta:
                raise DisallowedHost(
                    f"X-Forwarded-Host from {meta.get('REMOTE_ADDR')!r}, which is not"
                    " in TRUSTED_PROXIES."
                )
            del meta[SCHEME]
        request.get_host()
        return self.get_response(request)


def comes_by_proxy(request: HttpRequest) -> bool:
    peer = request.META.get("REMOTE_ADDR", "")
    return is_proxy(peer, tuple(settings.TRUSTED_PROXIES))


@lru_cache(maxsize=1024)
def is_proxy(peer: str, proxies: tuple[str, ...]) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    # How a socket that speaks both versions names an IPv4 peer: ::ffff:10.0.0.1.
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in networks_of(proxies))


@lru_cache(maxsize=8)
def networks_of(proxies: tuple[str, ...]) -> tuple[Network, ...]:
    """Raises ImproperlyConfigured for what is neither an address nor a network."""
    try:
        return tuple(ip_network(proxy) for proxy in proxies)
    except ValueError as error:
        raise ImproperlyConfigured(
            f"TRUSTED_PROXIES: {error}; write addresses or networks such as"
            " 10.0.0.0/24, separated by commas."
        ) from None
