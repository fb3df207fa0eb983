"""A relay in front of the platform that cuts the line before some of its answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

# Two of seven, never two in a row: whatever a program sends in turn is met.
ROUND, CUT = 7, {0, 3}
OWN = {"host", "connection", "transfer-encoding"}


@dataclass
class Relay:
    """`lost` holds the method, path and status of each answer that nobody heard."""

    address: str
    lost: list[tuple[str, str, int]] = field(default_factory=list)


@contextmanager
def cutting(port: int) -> Iterator[Relay]:
    """Relay to a port of this machine. An answer is whole at the platform's end, and
    its work is done, before its line is cut."""
    turns = count(1)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def relay(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = self.rfile.read(length)
            status, headers, answer = self.asked(body)
            if self.command != "GET" and next(turns) % ROUND in CUT:
                found.lost.append((self.command, self.path, status))
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in OWN | {"content-length"}:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def asked(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            platform = HTTPConnection("127.0.0.1", port, timeout=60)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in OWN}
            platform.request(self.command, self.path, body or None, headers)
            answer = platform.getresponse()
            content = answer.read()
            platform.close()
            return answer.status, answer.getheaders(), content

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = relay

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = Relay(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
