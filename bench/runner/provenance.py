"""What made a number: source revision, versions, machine, threads."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.credentials import without_credentials
from bench.matrix.code_digest import TREE

LIBRARIES = (
    "unposed", "torch", "numpy", "scipy", "numba", "llvmlite", "pycolmap", "pillow", "evo", "scikit-image", "lpips",
    "mlflow",
)  # fmt: skip
DISTRIBUTIONS = {"PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn", "cv2": "opencv-python"}
"""What is installed under another name than it is imported by."""


def provenance(*, threads: int, device: str, isolation: str, card: str = "") -> dict[str, Any]:
    """Everything but the data and the config, which the fingerprints hold; `card` is the name of a GPU."""
    return {
        "git": git_revision(),
        "versions": {"python": platform.python_version(), **versions()},
        "platform": platform.platform(),
        "processor": processor(),
        "threads": threads,
        "device": device,
        **({"card": card} if card else {}),
        "isolation": isolation,
        "command": " ".join(["unposed", *map(without_credentials, sys.argv[1:])]),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@lru_cache(maxsize=1)
def git_revision() -> str | None:
    """Commit of this tree, with `+changes` where the tree differs from it; None outside a checkout."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=TREE, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def versions(names: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """Versions of those packages that are installed, by the names under which they are."""
    found = {DISTRIBUTIONS.get(name, name): _version(DISTRIBUTIONS.get(name, name)) for name in sorted(names)}
    return {name: installed for name, installed in found.items() if installed}


@lru_cache(maxsize=64)
def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


@lru_cache(maxsize=1)
def processor() -> str:
    """The CPU's name, and how many logical CPUs this process may use."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    return f"{name} x {cpu_count()}"


def cpu_count() -> int:
    """CPUs that this process may use: its affinity, not the machine's size."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
