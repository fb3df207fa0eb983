from __future__ import annotations

import pytest

from mlops.addresses import client_address, origin_of, prefix_of


def request_from(rf, peer: str, forwarded: str | None = None):
    headers = {"x-forwarded-for": forwarded} if forwarded is not None else {}
    return rf.get("/", headers=headers, REMOTE_ADDR=peer)


@pytest.mark.parametrize(
    "_case,peer,forwarded,expected",
    [
        ("no proxy", "203.0.113.7", None, "203.0.113.7"),
        ("a stranger says he is a proxy", "203.0.113.7", "8.8.8.8", "203.0.113.7"),
        ("behind the proxy", "10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("what the caller made up", "10.0.0.1", "8.8.8.8, 203.0.113.7", "203.0.113.7"),
        ("two proxies of ours", "10.0.0.1", "203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("nonsense before a proxy", "10.0.0.1", "<x>, 10.0.0.2", "10.0.0.2"),
        ("the proxy says nothing", "10.0.0.1", None, "10.0.0.1"),
        ("the proxy says nonsense", "10.0.0.1", "unknown", "10.0.0.1"),
        ("only proxies", "10.0.0.1", "10.0.0.2", "10.0.0.2"),
        (
            "an IPv4 peer on a socket of both",
            "::ffff:10.0.0.1",
            "2001:db8::1",
            "2001:db8::1",
        ),
        ("no peer", "", None, ""),
        ("a socket file", "unix:", "203.0.113.7", ""),
    ],
)
def test_the_address_is_the_last_hop_that_a_proxy_of_ours_saw(
    rf, settings, _case, peer, forwarded, expected
):
    settings.TRUSTED_PROXIES = ["10.0.0.0/24"]
    assert client_address(request_from(rf, peer, forwarded)) == expected


def test_nobody_is_believed_without_proxies(rf, settings):
    settings.TRUSTED_PROXIES = []
    assert client_address(request_from(rf, "10.0.0.1", "8.8.8.8")) == "10.0.0.1"


@pytest.mark.parametrize(
    "peer,expected",
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("", ""),
    ],
)
def test_an_ipv6_caller_counts_as_its_whole_network(rf, peer, expected):
    assert origin_of(request_from(rf, peer)) == expected


@pytest.mark.parametrize(
    "address,expected",
    [
        ("203.0.113.7", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("nonsense", ""),
    ],
)
def test_a_prefix_tells_the_network_and_not_the_person(address, expected):
    assert prefix_of(address) == expected
