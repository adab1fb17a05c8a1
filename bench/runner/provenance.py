"""What made a number: source revision, versions, machine, threads."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.matrix.code_digest import TREE

LIBRARIES = ("unposed", "torch", "numpy", "scipy", "numba", "pycolmap", "evo", "scikit-image", "lpips", "mlflow")


def provenance(*, threads: int, device: str) -> dict[str, Any]:
    """Everything but the data and the config, which the fingerprints hold."""
    return {
        "git": git_revision(),
        "versions": {"python": platform.python_version(), **versions()},
        "platform": platform.platform(),
        "processor": processor(),
        "threads": threads,
        "device": device,
        "command": " ".join(["unposed", *sys.argv[1:]]),
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


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


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
