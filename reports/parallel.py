"""The same work for each of many items, by as many processes as there are CPUs."""

from __future__ import annotations

import errno
import gc
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

FEW = 200
"""Cells below which processes are not worth their start."""

CHUNK = 8  # items a message, at most
AHEAD = 4  # messages for each process that may lie ready: what they hold is memory

_task: tuple[Callable[[Any], Any], Sequence[Any]] | None = None


def each(work: Callable[[T], R], items: Sequence[T], cells: int | None = None) -> Iterator[R]:
    """`work(item)` of each, in order. Raises what `work` raises, and OSError where a process is killed.

    Where the items stand for many `cells` (one each, if nothing is said), processes forked from this one do it: `work`
    and `items` reach them as they stand, only what is returned is copied. Of few, and where nothing can be forked
    safely (macOS, Windows), two threads do: decoding and encoding pictures leave Python's lock.
    """
    processes = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    if (len(items) if cells is None else cells) < FEW or processes < 2 or sys.platform != "linux":
        with ThreadPoolExecutor(2) as threads:
            yield from threads.map(work, items)
        return
    forked = multiprocessing.get_context("fork")
    gc.freeze()  # what is held now is shared for as long as no process writes to it, as the collector does
    with ProcessPoolExecutor(processes, mp_context=forked, initializer=_begin, initargs=(work, items)) as pool:
        ready: deque[Future[list[R]]] = deque()
        try:
            size = max(1, min(CHUNK, len(items) // (4 * processes)))
            for first in range(0, len(items), size):
                ready.append(pool.submit(_some, first, first + size))
                if len(ready) > AHEAD * processes:
                    yield from ready.popleft().result()
            while ready:
                yield from ready.popleft().result()
        except BrokenProcessPool as error:
            raise OSError(errno.ENOMEM, "a process was killed, as where memory is short; try again") from error
        finally:
            pool.shutdown(cancel_futures=True)
            gc.unfreeze()


def _begin(work: Callable[[Any], Any], items: Sequence[Any]) -> None:
    global _task
    _task = work, items
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says that it was interrupted


def _some(first: int, end: int) -> list[Any]:
    assert _task is not None
    work, items = _task
    return [work(item) for item in items[first:end]]
