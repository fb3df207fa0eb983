"""The one file that knows procrastinate: how background work is declared and queued.

Jobs only wake things. What must not be lost is claimed from its own table by the sweep
that a job starts, so a job lost or run twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from procrastinate import JobContext
from procrastinate.contrib.django import app


def job(*, queue: str = "default") -> Callable[[Callable[..., Any]], Any]:
    """Declare a background job; call `.defer(**arguments)` on it to queue one run."""
    return app.task(queue=queue, pass_context=False)


def every(cron: str, *, queue: str = "default") -> Callable[[Callable[..., Any]], Any]:
    """Declare a job that runs by the clock (UTC): one per moment, and one waiting at a
    time; a run that takes longer may meet the next. A sixth field is of seconds.

    The function takes `timestamp`, the moment it was due, as procrastinate names it.
    """

    def declare(function: Callable[[int], Any]) -> Any:
        name = f"{function.__module__}.{function.__qualname__}"
        task = app.task(queue=queue, name=name, queueing_lock=name)(function)
        return app.periodic(cron=cron, periodic_id=name)(task)

    return declare


def forget_finished(queue: str, *, cron: str, after_hours: int) -> Any:
    """Declare a job that deletes what of a queue ended, well or not, so long ago."""
    name = f"forget_finished:{queue}"

    async def forget(context: JobContext, timestamp: int) -> None:
        await context.app.job_manager.delete_old_jobs(
            after_hours, queue=queue, include_failed=True
        )

    task = app.task(queue=queue, name=name, queueing_lock=name, pass_context=True)
    return app.periodic(cron=cron, periodic_id=name)(task(forget))
