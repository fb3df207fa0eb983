"""Settings of the embedded server, as one included file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
MB = 1024**2
SETTINGS = {
    "shared_preload_libraries": "pg_stat_statements,auto_explain",
    "track_io_timing": "on",
    "max_connections": "60",
    "max_locks_per_transaction": "256",
    "wal_level": "replica",
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
    "log_min_duration_statement": "1s",
    "log_lock_waits": "on",
    # What a statement is called with is the tenants', and no business of a log.
    "log_parameter_max_length": "0",
    # A start waits while the log grows.
    "log_startup_progress_interval": "1s",
}


def settings_for(
    data: Path, sockets: Path, port: int, major: int, extra: Mapping[str, str]
) -> str:
    settings = SETTINGS | {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "port": str(port),
        "shared_buffers": f"{min(memory() * 15 // 100, 2048 * MB) // MB}MB",
        "max_slot_wal_keep_size": f"{shutil.disk_usage(data).total // 10 // MB}MB",
    }
    if major >= 18:
        settings["io_method"] = "worker"
    return "".join(
        f"{name} = {_quoted(value)}\n" for name, value in {**settings, **extra}.items()
    )


def memory() -> int:
    """Bytes that the machine, or the container around us, has."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # no container, or "max"
        return machine


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
