"""Compiling kernels once: numba with a cache that knows every file the kernels are made of."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
from numba.core import config, event

# All liberties of fast arithmetic but the promise that nothing is ever infinite or NaN.
FAST = {"reassoc", "contract", "arcp", "nsz", "afn"}
SOURCES = ("jit.py", "simd.py", "structs.py", "march.py", "scatter.py")


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function on first use, for each combination of argument types; kept on disk between processes.

    It runs without Python's lock, so that `threads.parallel_for` can run it on several threads at once.
    """
    with _cache():
        return numba.njit(fastmath=FAST, cache=True, nogil=True)(function)


def compiling_seconds() -> float:
    """Wall seconds, of this process, since this module was imported; a kernel read from disk costs none."""
    return _TIMER.duration if _TIMER.done else 0.0


def cache_folder() -> Path:
    """NUMBA_CACHE_DIR, or the user's cache, or (where that cannot be written) the folder for temporary files.

    numba looks for a change only in the file of the function it compiles, and would run yesterday's code after an edit
    of another one: hence the digest of them all in the folder's name.
    """
    digest = hashlib.sha256(b"".join((Path(__file__).parent / name).read_bytes() for name in SOURCES)).hexdigest()
    roots = [
        os.environ.get("NUMBA_CACHE_DIR"),
        os.environ.get("XDG_CACHE_HOME"),
        os.path.expanduser("~/.cache"),  # noqa: PTH111 - Path.expanduser raises where there is no home
        tempfile.gettempdir(),
    ]
    for root in filter(None, roots):
        folder = Path(root) / f"unposed-kernels-{digest[:12]}"
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder
    return Path(tempfile.mkdtemp(prefix="unposed-kernels-"))


@contextlib.contextmanager
def _cache() -> Iterator[None]:
    """numba asks for the place of its cache when a function is decorated; other users of numba keep their own."""
    before, config.CACHE_DIR = config.CACHE_DIR, str(_FOLDER)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]


_FOLDER = cache_folder()
_TIMER = event.TimingListener()
event.register("numba:compile", _TIMER)
