"""Where a request comes from, as far as what we were told can be believed."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

from mlops.proxies import is_proxy


def client_address(request: HttpRequest) -> str:
    """Return the peer, or the hop of X-Forwarded-For that the last proxy of ours saw.

    Read from the right: each of our proxies adds whom it spoke to, and everything left
    of the first hop that is no proxy of ours is the caller's own invention. Empty when
    the server does not say who its peer is.
    """
    proxies = tuple(settings.TRUSTED_PROXIES)
    address = request.META.get("REMOTE_ADDR", "")
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if proxies else []
    while hops and is_proxy(address, proxies):
        hop = hops.pop().strip()
        if parsed(hop) is None:
            break
        address = hop
    known = parsed(address)
    return str(known) if known else ""


def origin_of(request: HttpRequest) -> str:
    """Return whom a throttle counts: the address; of IPv6 the /64, all one caller's."""
    return network_of(client_address(request))


def network_of(address: str) -> str:
    return _network(address, 32, 64)


@lru_cache(maxsize=4096)
def prefix_of(address: str) -> str:
    """Return the /24 or /48: it shows that a token moved, not where a person is."""
    return _network(address, 24, 48)


@lru_cache(maxsize=4096)
def parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # How a socket that speaks both versions names an IPv4 peer: ::ffff:10.0.0.1.
    return getattr(address, "ipv4_mapped", None) or address


def _network(text: str, bits_of_4: int, bits_of_6: int) -> str:
    address = parsed(text)
    if address is None:
        return ""
    bits = bits_of_4 if address.version == 4 else bits_of_6
    network = ip_network(f"{address}/{bits}", strict=False)
    return str(network) if network.num_addresses > 1 else str(network.network_address)
