"""Cases E1 and E2 of the list of attacks: a request that came under another name."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path

from mlops.proxies import HostCheck, is_proxy, never_nameless
from mlops.urls import urlpatterns as ours

PROXY, OTHER = "10.0.0.7", "192.0.2.1"


def scheme(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.scheme} {request.get_host()}")


scheme.public = True  # type: ignore[attr-defined]
urlpatterns = [path("scheme/", scheme), *ours]
TOKEN = {"authorization": "Bearer mlp_u_x"}


def told(peer: str, **headers: str) -> str:
    client = Client(REMOTE_ADDR=peer, headers={"host": "testserver", **headers})
    return client.get("/scheme/").content.decode()


# Hosts

HOSTS = [
    "evil.example",
    "testserver.evil.example",
    "testserver@evil.example",
    "testserver, evil.example",  # two Host headers, as a server joins them
    "testserver:80:80",
    "testserver/",
    "",
    " ",
    "[::1",
    "<script>",
    "xn--80ak6aa92e.com",
]
ADDRESSES = [
    "/health/live",
    "/static/admin/platform/icon.svg",
    "/admin/login/",
    "/api/v1/organizations/",
    "/api/2.0/mlflow/runs/get",
    "/mlflow/acme/fraud/api/2.0/mlflow/runs/search",
    "/get-artifact",
]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("headers", [{}, TOKEN], ids=["bare", "token"])
def test_a_host_that_is_not_ours_is_refused(host, headers):
    answer = Client(headers={"host": host, **headers}).get("/health/live")
    assert answer.status_code == 400
    assert b"evil" not in answer.content
    assert b"<script>" not in answer.content


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_surface_looks_at_the_host(address):
    for headers in ({}, TOKEN):
        client = Client(headers={"host": "evil.example", **headers})
        assert client.get(address).status_code == 400
        assert client.post(address, {}, "application/json").status_code == 400


@override_settings(ALLOWED_HOSTS=["10.*", "[::1]"])
@pytest.mark.parametrize("host", ["10.evil.com", "10.0.0.1.evil.com", "10.0.0.1"])
def test_a_pattern_of_addresses_admits_no_name(host):
    """Django reads a star as itself, and nothing but a leading dot as a pattern."""
    assert Client(headers={"host": host}).get("/health/live").status_code == 400


@override_settings(ALLOWED_HOSTS=[".example.org"])
def test_a_leading_dot_admits_what_lies_below_and_nothing_that_ends_alike():
    def status(host: str) -> int:
        return Client(headers={"host": host}).get("/health/live").status_code

    assert [status("a.example.org"), status("example.org")] == [200, 200]
    assert [status("notexample.org"), status("example.org.evil.com")] == [400, 400]


def test_a_request_without_a_host_is_refused():
    """Django's test client always names a server, so this goes by the server's door."""
    assert asked() == "400 Bad Request"
    assert asked(HTTP_HOST="testserver") == "200 OK"


def asked(**headers: str) -> str:
    said: list[str] = []
    environ = Client()._base_environ(PATH_INFO="/health/live", **headers)  # type: ignore[attr-defined]
    serve = never_nameless(WSGIHandler())
    serve(environ, lambda status, headers: said.append(status))
    return said[0]


# What a proxy says


@pytest.mark.urls(__name__)
@override_settings(
    TRUSTED_PROXIES=["10.0.0.0/24"],
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
)
def test_tls_is_believed_from_our_proxy_alone():
    assert told(PROXY, **{"x-forwarded-proto": "https"}) == "https testserver"
    assert told(f"::ffff:{PROXY}", **{"x-forwarded-proto": "https"})[:5] == "https"
    assert told(OTHER, **{"x-forwarded-proto": "https"}) == "http testserver"
    assert told("", **{"x-forwarded-proto": "https"}) == "http testserver"
    assert told(PROXY) == "http testserver"


@pytest.mark.urls(__name__)
@override_settings(TRUSTED_PROXIES=[PROXY])
def test_a_forwarded_host_is_refused_from_strangers_and_never_used():
    forwarded = {"x-forwarded-host": "evil.example"}
    assert told(PROXY, **forwarded) == "http testserver"
    for peer in (OTHER, "", "unix:"):
        client = Client(REMOTE_ADDR=peer, headers=forwarded)
        assert client.get("/scheme/").status_code == 400


@override_settings(TRUSTED_PROXIES=[])
def test_a_forwarded_host_is_refused_where_no_proxy_is_named():
    client = Client(headers={"x-forwarded-host": "testserver", **TOKEN})
    assert client.get("/health/live").status_code == 400


@pytest.mark.parametrize(
    "peer,expected",
    [
        ("10.0.0.7", True),
        ("10.0.1.7", False),
        ("::ffff:10.0.0.7", True),
        ("2001:db8::5", True),
        ("2001:db9::5", False),
        ("", False),
        ("10.0.0", False),
        ("localhost", False),
    ],
)
def test_a_proxy_is_known_by_its_network(peer, expected):
    assert is_proxy(peer, ("10.0.0.0/24", "2001:db8::/64")) is expected


@pytest.mark.parametrize("proxy", ["proxy.example", "10.0.0.1/24", "10.*", "*"])
def test_what_is_no_network_stops_the_start(proxy):
    with (
        override_settings(TRUSTED_PROXIES=[proxy]),
        pytest.raises(ImproperlyConfigured, match="TRUSTED_PROXIES"),
    ):
        HostCheck(lambda request: HttpResponse())
