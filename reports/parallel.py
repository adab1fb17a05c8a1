"""The same work for each of many items, by as many processes as there are CPUs."""

from __future__ import annotations

import copy
import ctypes
import errno
import gc
import multiprocessing
import os
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.reduction import ForkingPickler
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

FEW = 200
"""Cells below which processes are not worth their start."""

CHUNK = 8  # items a message, at most
AHEAD = 4  # messages for each process that may lie ready: what they hold is memory

_task: tuple[Callable[[Any], Any], Sequence[Any]] | None = None


def each(work: Callable[[T], R], items: Sequence[T], cells: int | None = None) -> Iterator[R]:
    """`work(item)` of each, in order. Raises what `work` raises (as a RuntimeError with its text where it cannot be
    sent from one process to another), and OSError where a process is killed. The thread that asks for the first item
    has to live until the last: the processes end with it.

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
    with ProcessPoolExecutor(
        processes, mp_context=forked, initializer=_begin, initargs=(work, items, os.getpid())
    ) as pool:
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


def _begin(work: Callable[[Any], Any], items: Sequence[Any], parent: int) -> None:
    global _task
    _task = work, items
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says that it was interrupted
    _end_with(parent)


def _end_with(parent: int) -> None:
    """Be killed when `parent` is: nobody would ever ask for another item."""
    death_signal = 1  # PR_SET_PDEATHSIG
    ctypes.CDLL(None, use_errno=True).prctl(death_signal, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was gone before this was asked for
        os._exit(1)


def _some(first: int, end: int) -> list[Any]:
    assert _task is not None
    work, items = _task
    try:
        return [work(item) for item in items[first:end]]
    except Exception as error:
        if _travels(error):
            raise
        raise RuntimeError("".join(traceback.format_exception_only(error)).strip()) from None


def _travels(error: Exception) -> bool:
    try:
        ForkingPickler.dumps(error)  # as it goes to the parent, ...
        copy.copy(error)  # ... where it is made again of its class and its arguments
    except Exception:  # noqa: BLE001 - whatever its class does
        return False
    return True
