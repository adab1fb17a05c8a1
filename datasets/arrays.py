"""Arrays from numpy's files, without pickles: a broken file is one sentence."""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.scene import SceneError

_BROKEN = (OSError, ValueError, EOFError, SyntaxError, TokenError)  # the last two: numpy reads a header as Python


def read_npy(path: Path) -> NDArray[Any]:
    """The array of an .npy file, of whatever kind and shape. Raises SceneError."""
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except _BROKEN as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> SceneError:
    reason = " ".join(str(error).split())
    return SceneError(f"{path}: cannot be read by numpy ({reason}); fetch or write it again")
