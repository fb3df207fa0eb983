from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from mlops import egress
from mlops.errors import InvalidInput, Unavailable

HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
Play = Callable[[socket.socket], None]


@pytest.fixture
def serve() -> Iterator[Callable[[Play], str]]:
    """Return a function that plays a server for one connection, and its address."""
    listening, threads = [], []

    def start(play: Play) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listening.append(listener)

        def run() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65_536)
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
    assert egress.send("GET", f"{address}/x?y=1").json() == {"a": 1}


def test_redirects_are_answers_and_not_followed(serve):
    elsewhere = serve(saying(HEAD, b"\r\n{}"))
    moved = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\n\r\n".encode()
    answer = egress.send("GET", serve(saying(moved)))
    assert answer.status == 302
    with pytest.raises(Unavailable, match="302"):
        answer.json()


def test_proxies_of_the_environment_are_ignored(serve, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert egress.send("GET", serve(saying(HEAD, b"\r\n{}"))).status == 200


def test_an_answer_larger_than_the_cap_is_refused(serve):
    address = serve(saying(HEAD, b"\r\n", b"x" * (egress.MOST_BYTES + 1)))
    with pytest.raises(Unavailable, match="65536 bytes"):
        egress.send("GET", address)


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
        egress.send("GET", serve(play), seconds=0.5)
    assert time.monotonic() - began < 2


def test_a_compressed_answer_is_not_unpacked(serve):
    packed = b"\x1f\x8b\x08\x00" + b"\x00" * 20
    head = HEAD + b"Content-Encoding: gzip\r\n\r\n"
    assert egress.send("GET", serve(saying(head, packed))).body == packed


def test_nobody_there_is_said(serve):
    with pytest.raises(Unavailable, match="cannot be reached"):
        egress.send("GET", "http://127.0.0.1:1/")


REFUSED = [
    "http://example.org/",
    "http://10.0.0.1/",
    "http://127.1/",
    "http://0x7f.1/",
    "https:///x",
    "ftp://example.org/",
    "file:///etc/passwd",
    "https://user:secret@example.org/",
    "https://example.org/#x",
    "",
]


@pytest.mark.parametrize("url", REFUSED)
def test_addresses_that_nothing_is_sent_to(url):
    with pytest.raises(InvalidInput, match="url="):
        egress.send("GET", url)


def test_plain_http_is_refused_in_production(settings):
    settings.PRODUCTION = True
    with pytest.raises(InvalidInput):
        egress.checked_url("http://127.0.0.1/")
