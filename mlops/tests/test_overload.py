from __future__ import annotations

import io
import json
import re
import threading
import time
from typing import Any

import pytest

from mlops.errors import TooManyRequests
from mlops.overload import (
    SMALL_BYTES,
    Gate,
    Outgoing,
    Room,
    Slots,
    Work,
    transfer_turns,
)
from mlops.settings import EARLY_REFUSAL, TRANSFERS
from registry.mlflow.early import refuse_early

API = "/api/2.0/mlflow/runs/log-metric"
ARTIFACT = "/api/2.0/mlflow-artifacts/artifacts/0/a/artifacts/model.bin"


class Answer:
    """A response as Django gives it to the server."""

    def __init__(self, *pieces: bytes, streaming: bool = False) -> None:
        self.pieces = pieces
        self.streaming = streaming
        self.closed = 0

    def __iter__(self):
        return iter(self.pieces)

    def close(self) -> None:
        self.closed += 1


def gate_of(application, *, slots=1, line=0, patience=0.0, transfers=1, room=10**6):
    return Gate(
        application,
        refusal=refuse_early,
        transfers=re.compile(TRANSFERS),
        slots=Slots(slots, line=line, patience=patience),
        transfer_slots=Slots(transfers),
        room=Room(room),
    )


def environ_of(path: str = API, body: bytes = b"", **more: Any) -> dict[str, Any]:
    length = {"CONTENT_LENGTH": str(len(body))} if body else {}
    return {"PATH_INFO": path, "wsgi.input": io.BytesIO(body), **length, **more}


class Said:
    """What a gate told the server."""

    def __init__(self, gate: Gate, environ: dict[str, Any]) -> None:
        self.status = ""
        self.headers: dict[str, str] = {}
        self.pieces = gate(environ, self._start)

    def _start(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.status, self.headers = status, dict(headers)


def fine(environ, start_response):
    start_response("200 OK", [])
    return Answer(b"fi", b"ne")


def in_thread(function) -> threading.Thread:
    thread = threading.Thread(target=function)
    thread.start()
    return thread


# Slots


def test_slots_are_handed_over_in_order_of_arrival():
    slots, served = Slots(1, line=3, patience=5), []
    assert slots.take()

    def wait(number: int) -> None:
        assert slots.take()
        served.append(number)
        slots.give_back()

    threads = []
    for number in range(3):
        threads.append(in_thread(lambda number=number: wait(number)))
        time.sleep(0.05)
    slots.give_back()
    for thread in threads:
        thread.join()
    assert served == [0, 1, 2]
    assert slots.free == 1


def test_slot_is_refused_at_once_when_the_line_is_full():
    slots = Slots(1, line=0, patience=5)
    assert slots.take()
    started = time.monotonic()
    assert not slots.take()
    assert time.monotonic() - started < 0.5


def test_slot_is_refused_when_the_line_does_not_move():
    slots = Slots(1, line=1, patience=0.05)
    assert slots.take()
    assert not slots.take()
    slots.give_back()
    assert slots.free == 1
    assert slots.take()


def test_slots_are_neither_lost_nor_doubled_under_contention():
    slots, count = Slots(3, line=50, patience=0.001), 0
    most, lock = 0, threading.Lock()

    def work() -> None:
        nonlocal count, most
        for _ in range(200):
            if slots.take():
                with lock:
                    count += 1
                    most = max(most, count)
                with lock:
                    count -= 1
                slots.give_back()

    threads = [in_thread(work) for _ in range(12)]
    for thread in threads:
        thread.join()
    assert slots.free == 3
    assert most <= 3


# The gate


@pytest.mark.parametrize(
    "path, body",
    [
        (API, {"error_code": "REQUEST_LIMIT_EXCEEDED"}),
        ("/mlflow/acme/fraud" + API, {"error_code": "REQUEST_LIMIT_EXCEEDED"}),
        (ARTIFACT, {"error_code": "REQUEST_LIMIT_EXCEEDED"}),
        ("/api/v1/organizations/", {"error": {"code": "too_many_requests"}}),
        ("/admin/", None),
    ],
)
def test_excess_is_refused_before_work_in_the_form_of_the_skin(path, body):
    worked = []
    gate = gate_of(lambda *request: worked.append(request), slots=0, transfers=0)
    said = Said(gate, environ_of(path))
    assert said.status == "429 Too Many Requests"
    assert said.headers["Retry-After"] == "1"
    assert worked == []
    if body is None:
        assert said.headers["Content-Type"].startswith("text/plain")
        return
    told = json.loads(b"".join(said.pieces))
    inner = told.get("error", told)
    assert "busy" in inner["message"]
    inner.pop("message")
    assert told == body


def test_health_is_served_when_nothing_else_is():
    gate = gate_of(fine, slots=0, transfers=0)
    said = Said(gate, environ_of("/health/live"))
    assert (said.status, said.pieces) == ("200 OK", [b"fine"])


def test_body_is_read_before_a_slot_is_taken():
    class Slow(io.RawIOBase):
        def read(self, size=-1):
            assert gate.slots.free == 1
            return b"x" * size

    def application(environ, start_response):
        assert gate.slots.free == 0
        assert environ["wsgi.input"].read() == b"xx"
        return fine(environ, start_response)

    gate = gate_of(application)
    environ = environ_of(body=b"xx") | {"wsgi.input": Slow()}
    assert Said(gate, environ).status == "200 OK"
    assert gate.slots.free == 1


def test_body_that_breaks_off_costs_no_slot():
    gate = gate_of(lambda *request: pytest.fail("worked"))
    said = Said(gate, environ_of(body=b"{") | {"CONTENT_LENGTH": "100"})
    assert said.status == "400 Bad Request"
    assert json.loads(said.pieces[0])["error_code"] == "INVALID_PARAMETER_VALUE"


def test_large_bodies_share_a_room():
    large = b"x" * (SMALL_BYTES + 1)
    gate = gate_of(fine, room=len(large))
    assert Said(gate, environ_of(body=large)).status == "200 OK"
    assert gate.room.free == len(large)
    gate.room.take(1)
    assert Said(gate, environ_of(body=large)).status == "429 Too Many Requests"


def test_slot_comes_back_when_the_application_fails():
    def application(environ, start_response):
        raise RuntimeError("a bug")

    gate = gate_of(application)
    with pytest.raises(RuntimeError):
        Said(gate, environ_of())
    with pytest.raises(RuntimeError):
        Said(gate, environ_of(ARTIFACT))
    assert (gate.slots.free, gate.transfer_slots.free) == (1, 1)
    assert gate.work.since == {}


def test_answer_is_closed_before_its_slot_goes_on():
    """Closing gives the database's connection back."""
    answer = Answer(b"a", b"b")
    answer.close = lambda: closed.append(gate.slots.free)
    closed: list[int] = []
    gate = gate_of(lambda environ, start_response: answer)
    assert Said(gate, environ_of()).pieces == [b"ab"]
    assert closed == [0]


def test_transfer_takes_no_slot_and_keeps_its_own_until_it_is_sent():
    answer = Answer(b"a", b"b", streaming=True)
    gate = gate_of(lambda environ, start_response: answer, slots=0)
    said = Said(gate, environ_of(ARTIFACT))
    assert gate.transfer_slots.free == 0
    assert b"".join(said.pieces) == b"ab"
    assert isinstance(said.pieces, Outgoing)
    said.pieces.close()
    said.pieces.close()
    assert (gate.transfer_slots.free, answer.closed) == (1, 1)


def test_nobody_is_at_work_who_waits_for_a_sender():
    class Slow(io.RawIOBase):
        def read(self, size=-1):
            assert gate.work.since == {}
            return b""

    def application(environ, start_response):
        assert len(gate.work.since) == 1
        environ["wsgi.input"].read(10)
        assert len(gate.work.since) == 1
        return fine(environ, start_response)

    gate = gate_of(application)
    Said(gate, environ_of(ARTIFACT) | {"wsgi.input": Slow()})
    assert gate.work.since == {}


def test_settings_name_the_refusal():
    assert f"{refuse_early.__module__}.{refuse_early.__name__}" == EARLY_REFUSAL


def test_gate_costs_less_than_20_microseconds():
    body = b'{"run_id": "a", "key": "loss", "value": 0.5}'
    gate = gate_of(fine, slots=4)
    rounds = 200

    def cost(application, environ) -> float:
        started = time.perf_counter()
        for _ in range(rounds):
            again = environ | {"wsgi.input": io.BytesIO(body)}
            application(again, say_nothing)
        return (time.perf_counter() - started) / rounds

    environ = environ_of(body=body)
    extra = min(cost(gate, environ) for _ in range(40)) - min(
        cost(fine, environ) for _ in range(40)
    )
    print(f"{extra * 1e6:.1f} us")
    assert extra < 20e-6


def say_nothing(status: str, headers: list[tuple[str, str]]) -> None:
    """Serve as start_response."""


def test_work_is_known_by_thread():
    work = Work()
    work.begin()
    assert list(work.since) == [threading.get_ident()]
    work.end()
    work.end()
    assert work.since == {}


def test_transfers_leave_connections_for_requests(settings):
    settings.POOL = {"max_size": 8}
    settings.OVERLOAD = {**settings.OVERLOAD, "slots": 4}
    turns = transfer_turns()
    assert turns.free == 3
    with turns.held():
        assert turns.free == 2
    assert turns.free == 3


def test_turn_is_refused_when_there_is_none():
    with pytest.raises(TooManyRequests, match="busy"), Slots(0).held():
        pytest.fail("held")
