from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from django.db import connection

from mlops.db.pool import RETRY_SECONDS, DatabaseGone, Pool

NOWHERE = {"host": "/nonexistent", "dbname": "mlops", "user": "nobody"}


@pytest.fixture
def nowhere() -> Iterator[Pool]:
    with Pool(kwargs=NOWHERE, min_size=1, max_size=4, timeout=2, open=False) as pool:
        yield pool


@pytest.fixture
def pool(db) -> Iterator[Pool]:
    """Connections to the tests' own database, as the application would have them."""
    settings = connection.get_connection_params()
    kwargs = {name: settings[name] for name in ("dbname", "user", "host", "port")}
    kwargs |= {"password": settings["password"], "autocommit": True}
    with Pool(kwargs=kwargs, min_size=1, max_size=4, timeout=2, open=False) as pool:
        pool.wait()
        yield pool


def refusal_of(pool: Pool) -> tuple[float, BaseException | None]:
    started = time.monotonic()
    try:
        pool.putconn(pool.getconn())
    except psycopg.OperationalError as error:
        return time.monotonic() - started, error
    return time.monotonic() - started, None


def test_callers_are_refused_at_once_while_the_database_is_gone(nowhere):
    first, _ = refusal_of(nowhere)
    later = [refusal_of(nowhere) for _ in range(20)]
    assert first < 1
    assert all(isinstance(error, DatabaseGone) for _, error in later)
    assert "/nonexistent" in str(later[0][1])
    assert max(taken for taken, _ in later) < 0.5


def test_callers_in_line_are_sent_home_together(nowhere):
    taken: list[float] = []
    threads = [
        threading.Thread(target=lambda: taken.append(refusal_of(nowhere)[0]))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 20
    assert max(taken) < 1.5


def test_database_is_asked_again_and_served_from(pool):
    real, pool.kwargs = pool.kwargs, NOWHERE
    pool.drain()
    assert isinstance(refusal_of(pool)[1], psycopg.OperationalError)
    pool.kwargs = real
    time.sleep(RETRY_SECONDS + 0.05)
    assert refusal_of(pool)[1] is None


def test_flock_of_dead_connections_costs_one_caller_nothing(pool):
    borrowed = [pool.getconn() for _ in range(4)]
    pids = [each.info.backend_pid for each in borrowed]
    for each in borrowed:
        pool.putconn(each)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(unnest(%s))", [pids])
    time.sleep(0.1)
    taken, error = refusal_of(pool)
    assert error is None
    assert taken < 1
    alive = pool.getconn()
    assert alive.info.backend_pid not in pids
    pool.putconn(alive)


def test_caller_waits_for_a_connection_while_some_are_out(pool):
    borrowed = [pool.getconn() for _ in range(4)]
    threading.Timer(0.2, pool.putconn, [borrowed[0]]).start()
    taken, error = refusal_of(pool)
    assert error is None
    assert 0.1 < taken < 1.5
    for each in borrowed[1:]:
        pool.putconn(each)
