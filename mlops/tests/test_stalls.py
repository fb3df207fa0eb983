from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from mlops import stalls
from mlops.overload import Work
from mlops.stalls import LEAST_BYTES, Reaper

STALLED = 0.3


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(stalls, "STALLED_SECONDS", STALLED)
    monkeypatch.setattr(stalls, "LOOK_SECONDS", 0.1)


@pytest.fixture
def reaper() -> Reaper:
    return Reaper(Work())


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client's socket, and the server's of the same connection."""
    with connected() as (client, server):
        yield client, server


@contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    with ExitStack() as open_sockets:
        listener = open_sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = open_sockets.enter_context(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listener.getsockname())
        server = open_sockets.enter_context(listener.accept()[0])
        client.settimeout(5)
        server.settimeout(5)
        yield client, server


def is_ended(server: socket.socket) -> bool:
    server.setblocking(False)
    try:
        while piece := server.recv(65536):
            assert piece
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def look_after(reaper: Reaper, seconds: float = STALLED + 0.1) -> int:
    first = reaper.look()
    time.sleep(seconds)
    return first + reaper.look()


def test_sender_of_nothing_is_ended(reaper, pair):
    client, server = pair
    client.sendall(b"POST / HTTP/1.1\r\n")
    assert look_after(reaper) == 1
    assert is_ended(server)


def test_sender_of_drops_is_ended_while_others_are_at_work(reaper, pair):
    client, server = pair
    reaper.look()
    reaper.work.since[1] = time.monotonic()
    for _ in range(5):
        time.sleep(0.1)
        client.sendall(b"x")
    assert reaper.look() == 1
    assert is_ended(server)


def test_silence_is_spared_while_its_request_is_worked_on(reaper, pair):
    client, server = pair
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    time.sleep(0.05)
    reaper.work.begin()
    assert look_after(reaper) == 0
    reaper.work.end()
    assert reaper.look() == 1
    assert is_ended(server)


def test_steady_sender_is_spared(reaper, pair):
    client, server = pair
    reaper.look()
    for _ in range(4):
        client.sendall(b"x" * LEAST_BYTES)
        server.recv(LEAST_BYTES, socket.MSG_WAITALL)
        time.sleep(0.15)
        assert reaper.look() == 0


def test_reader_of_nothing_is_ended_whatever_is_worked_on(reaper, pair):
    _client, server = pair
    reaper.work.begin()
    fill(server)
    assert look_after(reaper) == 1
    assert is_ended(server)


def test_reader_of_drops_is_ended(reaper, pair):
    client, server = pair
    fill(server)
    reaper.look()
    for _ in range(5):
        time.sleep(0.1)
        client.recv(1)
    assert reaper.look() == 1


def test_steady_reader_is_spared(reaper, pair):
    client, server = pair
    fill(server)
    reaper.look()
    for _ in range(4):
        for _ in range(20):
            client.recv(LEAST_BYTES)
        fill(server)
        time.sleep(0.15)
        assert reaper.look() == 0


def test_keep_alive_of_small_answers_is_spared(reaper, pair):
    client, server = pair
    reaper.look()
    for _ in range(4):
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        server.recv(100)
        server.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        time.sleep(0.15)
        assert reaper.look() == 0


def test_own_connections_elsewhere_are_no_business_of_ours(reaper):
    """Such as those to the database: nobody here listens on their port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        listener.close()
        with client, server:
            assert look_after(reaper) == 0
            assert not is_ended(client)


def fill(server: socket.socket) -> None:
    """Write until the kernel takes no more."""
    server.setblocking(False)
    try:
        while True:
            server.send(b"x" * 65536)
    except BlockingIOError:
        pass
