"""Which addresses a request may go to, whoever names them: public ones, by default.

A look at the text of a URL is never enough: a name may lead anywhere, and elsewhere the
next time. So `checked_host` refuses what can be told by the text, and `Reach.allows` is
asked again of each address that a name leads to and of the peer that was reached.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from mlops.errors import InvalidInput

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# https://www.iana.org/assignments/iana-ipv4-special-registry and its IPv6 sibling.
NOT_PUBLIC: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's own services, at a public address
        "169.254.0.0/16",  # link-local: metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # test net 1
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # test net 2
        "203.0.113.0/24",  # test net 3
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "2001::/23",  # protocol assignments, with Teredo and ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: holds an IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
# All other IPv6 is not public: loopback, IPv4-mapped and -compatible, NAT64, discard,
# segment routing, unique local, link- and site-local, multicast.
GLOBAL_UNICAST = ip_network("2000::/3")

LOOPBACK = ip_address("127.0.0.1")
# Clouds answer with credentials under these names.
METADATA_NAMES = frozenset({"metadata", "instance-data"})
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)
# What a C library takes for an IPv4 address: 127.1, 0177.0.0.1, 2130706433, 0x7f.1.
NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)
MAX_NAME = 253
WEB_PORTS = frozenset({80, 443, 8443})


@dataclass(frozen=True, slots=True)
class Reach:
    """Public addresses, and `opened` networks; on `ports`, or any when None."""

    opened: tuple[Network, ...] = ()
    ports: frozenset[int] | None = WEB_PORTS

    def allows(self, address: Address) -> bool:
        if any(address in network for network in self.opened):
            return True
        if address.version == 6 and address not in GLOBAL_UNICAST:
            return False
        return not any(address in network for network in NOT_PUBLIC)

    def allows_port(self, port: int) -> bool:
        return port > 0 and (self.ports is None or port in self.ports)


PUBLIC = Reach()


def checked_host(host: str, reach: Reach) -> Address | None:
    """Return the address that the host is written as, or None for a name.

    Raises InvalidInput for what is neither, and for what leads nowhere allowed.
    """
    address = _address_of(host)
    if address is None and not _is_name(host):
        raise InvalidInput(f"host={host[:100]!r} is neither a name nor an address.")
    if (address and not reach.allows(address)) or _is_metadata(host):
        raise InvalidInput(f"host={host[:100]!r}: nothing is sent there.")
    return address


def _address_of(host: str) -> Address | None:
    """Read the one canonical spelling; a scope names an interface of this machine."""
    name = host.lower()
    if name == "localhost" or name.endswith(".localhost"):
        return LOOPBACK
    try:
        return None if "%" in host else ip_address(host)
    except ValueError:
        return None


def _is_name(host: str) -> bool:
    labels = host.split(".")
    return (
        len(host) <= MAX_NAME
        and all(LABEL.fullmatch(label) for label in labels)
        and not NUMERIC.fullmatch(labels[-1])
    )


def _is_metadata(host: str) -> bool:
    return host.lower().split(".")[0] in METADATA_NAMES
