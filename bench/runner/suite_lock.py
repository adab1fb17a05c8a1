"""One run at a time in a suite, or several that share it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from bench.runner.drafts import sweep_suite


class SuiteBusy(ValueError):  # noqa: N818 - reads as what it says
    """Another run is at work in this suite."""


@contextlib.contextmanager
def hold(suite: Path, *, shared: bool = False) -> Iterator[None]:
    """One run at a time in a suite, or several that share it; the lock dies with its process. Raises SuiteBusy,
    ValueError where the folder is deleted meanwhile."""
    with (suite / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            hint = "" if shared else " (those with --shard share it)"
            raise SuiteBusy(f"{suite} is in use by another run{hint}: wait for it, or choose another --out") from error
        if not shared:
            sweep_suite(suite)
        try:
            yield
        except OSError as error:
            if os.fstat(lock.fileno()).st_nlink:  # of which a deleted file has none
                raise
            raise ValueError(f"{suite} was deleted under this run: the same command begins anew") from error
