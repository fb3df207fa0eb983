from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import ip_address, ip_network

import pytest

from mlops import egress
from mlops.errors import InvalidInput, Unavailable
from mlops.reach import PUBLIC, Reach

LOCAL = Reach(opened=(ip_network("127.0.0.0/8"), ip_network("::1/128")), ports=None)
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
Play = Callable[[socket.socket], None]
send = partial(egress.send, reach=LOCAL)


@pytest.fixture
def serve() -> Iterator[Callable[[Play], str]]:
    """Return a function that plays a server for one connection, and its address."""
    listening, threads = [], []

    def start(play: Play, heard: list[bytes] | None = None) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listening.append(listener)

        def run() -> None:
            peer, _ = listener.accept()
            with peer:
                first = peer.recv(65_536)
                if heard is not None:
                    heard.append(first)
                try:
                    play(peer)
                except OSError:
                    pass  # the caller has had enough

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listening:
        listener.close()
    for thread in threads:
        thread.join(5)


def saying(*parts: bytes) -> Play:
    return lambda peer: peer.sendall(b"".join(parts))


def test_send_reads_a_json_object(serve):
    address = serve(saying(HEAD, b'\r\n{"a": 1}'))
    assert send("GET", f"{address}/x?y=1").json() == {"a": 1}


def test_redirects_are_answers_and_not_followed(serve):
    elsewhere = serve(saying(HEAD, b"\r\n{}"))
    moved = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\n\r\n".encode()
    answer = send("GET", serve(saying(moved)))
    assert answer.status == 302
    with pytest.raises(Unavailable, match="302"):
        answer.json()


def test_proxies_of_the_environment_are_ignored(serve, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert send("GET", serve(saying(HEAD, b"\r\n{}"))).status == 200


def test_an_answer_larger_than_the_cap_is_refused(serve):
    address = serve(saying(HEAD, b"\r\n", b"x" * (egress.MOST_BYTES + 1)))
    with pytest.raises(Unavailable, match="65536 bytes"):
        send("GET", address)


def drip(peer: socket.socket) -> None:
    for _ in range(200):
        peer.sendall(b"x")
        time.sleep(0.05)


def drip_body(peer):
    peer.sendall(HEAD + b"\r\n")
    drip(peer)


DRIPPING = [
    ("head", drip),
    ("body", drip_body),
    ("silence", lambda peer: time.sleep(3)),
]


@pytest.mark.parametrize("_case,play", DRIPPING, ids=[case for case, _ in DRIPPING])
def test_who_drips_is_cut_off_in_time(serve, _case, play):
    began = time.monotonic()
    with pytest.raises(Unavailable):
        send("GET", serve(play), seconds=0.5)
    assert time.monotonic() - began < 2


def test_a_compressed_answer_is_not_unpacked(serve):
    packed = b"\x1f\x8b\x08\x00" + b"\x00" * 20
    head = HEAD + b"Content-Encoding: gzip\r\n\r\n"
    assert send("GET", serve(saying(head, packed))).body == packed


def test_nobody_there_is_said(serve):
    with pytest.raises(Unavailable, match="cannot be reached"):
        send("GET", "http://127.0.0.1:1/")


# What is never sent to


TEXTS = [
    # F1: this machine, in each spelling
    "https://127.0.0.1/",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://a.localhost/",
    "https://localhost./",
    "https://0.0.0.0/",
    "https://[::]/",
    "https://[::1]/",
    "https://127.1/",
    "https://0177.0.0.1/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://0x7f000001/",
    "https://127.0.0.1./",
    "https://127.0.0.1.example.0x1/",
    # F2, F3: networks of somebody's own, and addresses that hold such an address
    "https://10.0.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://[64:ff9b::169.254.169.254]/",
    "https://[64:ff9b:1::a9fe:a9fe]/",
    "https://[::ffff:100.64.0.1]/",
    "https://[::ffff:8.8.8.8]/",
    "https://[::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:a9fe:a9fe::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://metadata/",
    "https://metadata.google.internal/",
    "https://METADATA.example.org/",
    "https://instance-data/latest/",
    # F6, and what is no URL
    "http://example.org/",
    "http://10.0.0.1/",
    "https://user:secret@example.org/",
    "https://user@example.org/",
    "https://@example.org/",
    "https://example.org:22/",
    "https://example.org:0/",
    "https://example.org:65536/",
    "https://example.org:x/",
    "https://example.org/#x",
    "https://example.org/#",
    "https:///x",
    "https://",
    "https:example.org",
    "ftp://example.org/",
    "file:///etc/passwd",
    "gopher://example.org/",
    "//example.org/",
    "https://exa mple.org/",
    "https://example.org\\@10.0.0.1/",
    "https://example.org/\r\nX: y",
    "https://exam\tple.org/",
    "https://ex\u00e4mple.org/",
    "https://\uff11\uff10.0.0.1/",
    "https://[::1/",
    "https://-example.org/",
    "https://a..b/",
    "https://%31%30.0.0.1/",
    "https://" + "a" * 64 + ".org/",
    "https://" + "a." * 127 + "org/",
    "",
]


@pytest.mark.parametrize("url", TEXTS)
def test_addresses_that_nothing_is_sent_to(url):
    with pytest.raises(InvalidInput, match="url="):
        egress.checked_url(url)
    with pytest.raises(InvalidInput, match="url="):
        egress.send("GET", url, resolve=no_look_up)


def no_look_up(host: str) -> list[str]:
    raise AssertionError(f"{host} was looked up")


FINE = [
    "https://example.org/a?b=c",
    "https://example.org:8443/",
    "https://xn--bcher-kva.example/",
    "https://a_b.example.org/",
    "https://8.8.8.8/",
    "https://[2606:4700::1111]/",
    "https://metadata-service.example.org/",
]


@pytest.mark.parametrize("url", FINE)
def test_public_addresses_are_fine(url):
    assert egress.checked_url(url).origin == url.partition("/a?")[0].rstrip("/")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://localhost:1/", "http://[::1]/"]
)
def test_plain_http_goes_to_this_machine_alone_and_not_in_production(settings, url):
    assert egress.checked_url(url, LOCAL).parts.scheme == "http"
    with pytest.raises(InvalidInput):
        egress.checked_url("http://example.org/", LOCAL)
    settings.PRODUCTION = True
    with pytest.raises(InvalidInput):
        egress.checked_url(url, LOCAL)


# First, last and some address of each network, and the neighbours that are public.
INSIDE = """
0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.100.100.200
100.127.255.255 127.0.0.0 127.255.255.255 168.63.129.16 169.254.0.0 169.254.169.254
169.254.255.255 172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.192 192.0.0.255 192.0.2.0
192.0.2.255 192.31.196.1 192.52.193.1 192.88.99.1 192.168.0.0 192.168.255.255
192.175.48.1 198.18.0.0 198.19.255.255 198.51.100.0 198.51.100.255 203.0.113.0
203.0.113.255 224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.255
:: ::1 ::8.8.8.8 ::ffff:0.0.0.0 ::ffff:8.8.8.8 ::ffff:127.0.0.1 ::ffff:0:127.0.0.1
64:ff9b:: 64:ff9b::8.8.8.8 64:ff9b::ffff:ffff 64:ff9b:1::1 100::1 100:0:0:1::1
2001:: 2001::1 2001:2::1 2001:10::1 2001:20::1 2001:1ff:ffff::1 2001:db8::1
2002:: 2002:808:808::1 2002:a9fe:a9fe::1 2620:4f:8000::1 3fff::1 3fff:fff:ffff::1
5f00::1 fc00::1 fd00:ec2::254 fdff::1 fe80::1 fe80::1%eth0 febf::1 fec0::1 ff00::1
ff02::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 4000::1 1fff::1
""".split()
OUTSIDE = """
1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0
192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0
198.51.99.255 203.0.112.255 203.0.114.0 223.255.255.255
2001:200::1 2001:db7:ffff::1 2001:db9::1 2003::1 2606:4700::1111 3ffe::1
""".split()


@pytest.mark.parametrize("text", INSIDE)
def test_special_addresses_are_out_of_reach_until_an_operator_opens_them(text):
    address = ip_address(text)
    assert not PUBLIC.allows(address)
    assert Reach(opened=(ip_network(text.partition("%")[0]),)).allows(
        ip_address(text.partition("%")[0])
    )


@pytest.mark.parametrize("text", OUTSIDE)
def test_neighbours_of_special_networks_are_public(text):
    assert PUBLIC.allows(ip_address(text))


def test_an_opened_network_opens_no_other():
    reach = Reach(opened=(ip_network("10.1.0.0/16"),))
    assert reach.allows(ip_address("10.1.2.3"))
    assert not reach.allows(ip_address("10.2.0.1"))
    assert not reach.allows(ip_address("::ffff:10.1.2.3"))
    assert reach.allows(ip_address("8.8.8.8"))


# What a name leads to (F2, F4): the resolver is the test's own, the sockets are real.


class Counting:
    """A server that reads until the line is closed and keeps what it was sent."""

    def __init__(self, address: str, port: int = 0) -> None:
        self.listener = socket.create_server((address, port))
        self.port = self.listener.getsockname()[1]
        self.listener.settimeout(0.05)
        self.connections = 0
        self.received = b""
        self.closing = False
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except TimeoutError:
                if self.closing:  # after the last that waited has been counted
                    return
                continue
            self.connections += 1
            with peer:
                peer.settimeout(5)
                while chunk := peer.recv(65_536):
                    self.received += chunk

    def close(self) -> None:
        self.closing = True
        self.thread.join(10)
        assert not self.thread.is_alive()
        self.listener.close()


@pytest.fixture
def counting() -> Iterator[Callable[..., Counting]]:
    started: list[Counting] = []

    def start(address: str, port: int = 0) -> Counting:
        started.append(Counting(address, port))
        return started[-1]

    yield start
    for server in started:
        server.close()


def opening(*networks: str) -> Reach:
    return Reach(opened=tuple(map(ip_network, networks)), ports=None)


def test_a_name_that_leads_to_a_private_address_is_refused(counting):
    server = counting("127.0.0.1")
    url = f"https://example.org:{server.port}/"
    for answer in (["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"]):
        with pytest.raises(InvalidInput, match="example") as refused:
            egress.send("GET", url, reach=opening(), resolve=lambda _, a=answer: a)
        assert "127.0.0.1" not in refused.value.message
    server.close()
    assert server.connections == 0


def test_a_name_whose_second_answer_is_private_is_refused_the_second_time(counting):
    """DNS rebinding: 127.0.0.2 stands for a public address, 127.0.0.1 for ours."""
    public = counting("127.0.0.2")
    ours = counting("127.0.0.1", public.port)
    answers = iter([["127.0.0.2"], ["127.0.0.1"]])
    asked: list[str] = []

    def rebinding(host: str) -> list[str]:
        asked.append(host)
        return next(answers)

    url = f"https://example.org:{public.port}/"
    reach = opening("127.0.0.2/32")
    # One look-up for one request: what was checked is where the connection goes.
    with pytest.raises(Unavailable):
        egress.send("GET", url, seconds=0.5, reach=reach, resolve=rebinding)
    assert (asked, public.connections) == (["example.org"], 1)
    with pytest.raises(InvalidInput):
        egress.send("GET", url, seconds=0.5, reach=reach, resolve=rebinding)
    public.close()
    ours.close()
    assert public.received[:1] == b"\x16"  # the beginning of a TLS handshake
    assert (ours.connections, ours.received) == (0, b"")


def test_the_peer_that_was_reached_is_checked_before_a_byte_is_sent(counting):
    """Linux lets a connection to 0.0.0.0 arrive at 127.0.0.1: not what was allowed."""
    server = counting("127.0.0.1")
    url = f"https://example.org:{server.port}/"
    with pytest.raises(InvalidInput):
        egress.send(
            "GET", url, reach=opening("0.0.0.0/32"), resolve=lambda _: ["0.0.0.0"]
        )
    server.close()
    assert (server.connections, server.received) == (1, b"")


def test_a_request_goes_by_the_address_and_is_addressed_to_the_name(serve):
    heard: list[bytes] = []

    def play(peer: socket.socket) -> None:
        peer.sendall(HEAD + b"\r\n{}")

    address = serve(play, heard)
    url = address.replace("127.0.0.1", "a.localhost")
    answer = egress.send("GET", f"{url}/x", reach=LOCAL, resolve=no_look_up)
    assert answer.status == 200
    assert b"\r\nHost: a.localhost:" in heard[0]


def test_a_name_with_several_addresses_is_tried_at_each(counting):
    server = counting("127.0.0.1")
    with pytest.raises(Unavailable):
        egress.send(
            "GET",
            f"https://example.org:{server.port}/",
            seconds=0.5,
            reach=LOCAL,
            resolve=lambda _: ["127.0.0.9", "127.0.0.1"],
        )
    server.close()
    assert server.connections == 1


@pytest.mark.parametrize("answer", [[], OSError("no such name")])
def test_a_name_that_leads_nowhere_is_said(answer):
    def resolve(host: str) -> list[str]:
        if isinstance(answer, OSError):
            raise answer
        return answer

    with pytest.raises(Unavailable, match="cannot be reached"):
        egress.send("GET", "https://example.org/", resolve=resolve)


def test_a_look_up_has_an_end(monkeypatch):
    monkeypatch.setattr(egress, "LOOK_UP_SECONDS", 0.2)
    done = threading.Event()

    def slow(host: str) -> list[str]:
        done.wait(5)
        return ["8.8.8.8"]

    began = time.monotonic()
    with pytest.raises(Unavailable, match="in time"):
        egress.send("GET", "https://example.org/", resolve=slow)
    done.set()
    assert time.monotonic() - began < 2
