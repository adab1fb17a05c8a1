"""Arrays from numpy's files, without pickles: a broken file is one sentence."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.scene import SceneError

_BROKEN = (OSError, ValueError, EOFError, SyntaxError, TokenError)  # the last two: numpy reads a header as Python
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


def read_npy(path: Path) -> NDArray[Any]:
    """The array of an .npy file, of whatever kind and shape. Raises SceneError."""
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except _BROKEN as error:
        raise _unreadable(path, error) from error


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an .npz file by their names. Raises SceneError."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy"): _member(archive, name) for name in archive.namelist()}
    except (*_BROKEN, *_BROKEN_ZIP) as error:
        raise _unreadable(path, error) from error


def _member(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(name) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _unreadable(path: Path, error: Exception) -> SceneError:
    reason = " ".join(str(error).split())
    return SceneError(f"{path}: cannot be read by numpy ({reason}); fetch or write it again")
