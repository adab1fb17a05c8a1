"""Where workers keep this project's compiled kernels, numba's and Triton's, which cost half a minute once and nothing
after that.

Only this project's own methods write there. A stranger's gets a copy: compiled code is run by whoever finds it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


def kernel_folder() -> Path:
    """The user's cache (XDG_CACHE_HOME is respected), made on first use."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "unposed-compiled"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def kernel_places(folder: Path | str) -> dict[str, str]:
    """The variables by which compilers find what is kept in `folder`."""
    return {"NUMBA_CACHE_DIR": str(folder), "TRITON_CACHE_DIR": str(Path(folder) / "triton")}


def seed_kernels(home: Path) -> Path:
    """Copy what is compiled into a worker's own cache, below its home; returns that folder.

    What another worker is writing just now is left out.
    """
    folder = home / ".cache"
    with contextlib.suppress(shutil.Error):  # a file that was gone when its turn came: all others are there
        shutil.copytree(kernel_folder(), folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("tmp.*", "*.tmp.*"))
    return folder
