"""Sharing the work of a kernel among threads.

Kernels release Python's lock, so plain threads will do. numba's own parallel loops compile three times as long, and
their OpenMP threads spin while they wait, at the cost of whatever else runs on the machine.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

_threads: int | None = None
_pool: ThreadPoolExecutor | None = None


def set_kernel_threads(threads: int) -> None:
    """How many threads the kernels of this process may use."""
    global _threads, _pool
    if threads == _threads:
        return
    if _pool is not None:
        _pool.shutdown()
    _threads = max(1, threads)
    _pool = ThreadPoolExecutor(_threads - 1, thread_name_prefix="kernel") if _threads > 1 else None


def get_threads() -> int:
    """What was set, or as many as torch uses (OMP_NUM_THREADS, or all cores)."""
    if _threads is None:
        set_kernel_threads(torch.get_num_threads())
    return _threads or 1


def parallel_for(kernel: Callable[..., None], count: int, chunk: int, *arguments: Any) -> None:
    """`kernel(worker, first, last, *arguments)` over 0 to `count`, `chunk` at a time, to whichever worker is free.

    The kernel must do the same whoever does it: `worker` only tells which scratch memory is its own.
    """
    starts = itertools.count(0, chunk)  # its `next` is atomic

    def work(worker: int) -> None:
        while (first := next(starts)) < count:
            kernel(worker, first, min(first + chunk, count), *arguments)

    helpers = min(get_threads(), -(-count // chunk)) - 1
    futures = [_pool.submit(work, worker + 1) for worker in range(helpers)] if _pool is not None else []
    work(0)
    for future in futures:
        future.result()
