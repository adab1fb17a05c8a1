"""What memory a worker took, and why it had not enough: of the machine, and of its GPU."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import time
from typing import Any

MB = 2**20
SIZE = r"([\d.]+ [KMGT]?i?B)"
OF_A_GPU = ("CUDA out of memory", "HIP out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""In the messages of torch, of the driver below it, and of a library that asks for its own."""


BEGAN = time.time()
SHARED = "/dev/shm"


def used(error: BaseException | None = None) -> dict[str, float]:
    """The most that this process had of the machine's memory, and that torch had of its GPU's, MB of 2^20 bytes. With
    what it wrote to /dev/shm, where that is full and an `error` says so."""
    import resource

    cost = {"peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    if error is not None and _is_lack_of_shared(error):
        cost["peak_rss_mb"] += _shared_bytes() / MB
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        cost["peak_vram_mb"] = torch.cuda.max_memory_allocated() / MB
    return cost


def is_lack(error: BaseException) -> bool:
    """Whether it says that memory was lacking."""
    return (
        isinstance(error, MemoryError)
        or _is_lack_of_shared(error)
        or type(error).__name__ == "OutOfMemoryError"
        or (
            isinstance(error, RuntimeError) and any(word in str(error) for word in ("can't allocate memory", *OF_A_GPU))
        )
    )


def _is_lack_of_shared(error: BaseException) -> bool:
    """Whether a file could not be written and /dev/shm is full, which is memory: a worker's own has room for what it
    may have and no more."""
    if not (isinstance(error, OSError) and error.errno == errno.ENOSPC):
        return False
    try:
        space = os.statvfs(SHARED)
    except OSError:
        return False
    return space.f_bavail * space.f_frsize < MB


def _shared_bytes() -> int:
    """Of the files in /dev/shm that are younger than this process; from outside nobody may have looked since."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(SHARED) as entries:
        for entry in entries:
            found = entry.stat(follow_symlinks=False)
            total += 512 * found.st_blocks if found.st_ctime >= BEGAN and found.st_uid == os.getuid() else 0
    return total


def lack_of_gpu(error: BaseException) -> str | None:
    """Of a GPU whose memory is full: how much was asked for and what there was, as torch has it; None of any other
    error."""
    said = " ".join(str(error).split())
    if not is_lack(error) or not any(word in said for word in OF_A_GPU):
        return None
    asked = _amount(rf"Tried to allocate {SIZE}", said)
    total = _amount(rf"total capacity of {SIZE}", said) or _amount(rf"{SIZE} total capacity", said)
    free = _amount(rf"of which {SIZE} is free", said) or _amount(rf"{SIZE} free", said)
    own = _amount(rf"this process has {SIZE} memory in use", said) or _amount(rf"{SIZE} already allocated", said)
    parts = [
        f"{asked} asked for" if asked else "",
        f"{free} of {total} free" if free and total else "",
        f"{own} held by this cell" if own else _held(),
    ]
    told = ", ".join(filter(None, parts))
    return f"out of GPU memory: {told or said.partition('. ')[0]}"


def _amount(pattern: str, said: str) -> str:
    found = re.search(pattern, said)
    return found[1] if found else ""


def _held() -> str:
    """By torch's own count, where it has used a GPU."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return ""
    return f"{torch.cuda.max_memory_reserved() / 2**30:.2f} GiB held by this cell at most"
