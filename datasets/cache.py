"""What was made once is kept: arrays in a cache folder that may be lost, broken or read-only at any time."""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.files import replacing

Arrays = dict[str, NDArray[Any]]

DIGEST = "sha256"
"""Name of the array beside the others that holds their digest: a zip's own sums hold against accidents of the disk, not
against whoever writes the file anew."""

_log = logging.getLogger(__name__)


def folder() -> Path:
    """UNPOSED_CACHE, or the platform's cache folder for `unposed` (XDG_CACHE_HOME is respected)."""
    chosen = os.environ.get("UNPOSED_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import pooch  # 0.2 s to import: not needed to list scenes

    return Path(pooch.os_cache("unposed"))


def kept(name: str, shapes: Mapping[str, tuple[int, ...]], make: Callable[[], Arrays]) -> Arrays:
    """The arrays of `<cache>/<name>.npz`, or those that `make` returns, which are then kept there.

    A file that cannot be read, or does not hold the arrays that were kept, of the given `shapes`, is made anew.
    A folder that cannot be written costs time and nothing else.
    """
    path = folder() / f"{name}.npz"
    found = _read(path, shapes)
    if found is None:
        found = make()
        _write(path, found)
    return found


def _read(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Arrays | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in shapes}
            digest = stored[DIGEST].tobytes() if DIGEST in stored else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        _log.warning("cache: %s cannot be read (%s); it is made anew", path, error)
        return None
    if any(arrays[key].shape != shape for key, shape in shapes.items()):
        _log.warning("cache: %s holds arrays of other shapes; it is made anew", path)
        return None
    if digest != _digest(arrays):
        if digest is not None:  # as earlier versions wrote none
            _log.warning("cache: %s was changed after it was kept; it is made anew", path)
        return None
    return arrays


def _digest(arrays: Arrays) -> bytes:
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype.str} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.digest()


def _write(path: Path, arrays: Arrays) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as draft, draft.open("wb") as file:
            digest = np.frombuffer(_digest(arrays), np.uint8)
            np.savez_compressed(file, allow_pickle=False, **arrays, **{DIGEST: digest})
    except OSError as error:
        _log.warning("cache: %s cannot be written (%s); it will be made again next time", path, error)
