"""What a worker may use of memory, and whether the kernel killed for want of it: control groups, version 1 and 2."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil

ROOT, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def tree_rss_mb(pid: int, apart: int) -> float:
    """Resident memory below a process, MB (2^20 bytes); `apart` generations from it on do not count."""
    total = 0
    try:
        below = psutil.Process(pid).children(recursive=True)
        first = set() if apart == 1 else {process.pid for process in below if process.ppid() == pid}
        for process in below:
            with contextlib.suppress(psutil.Error):
                total += 0 if process.pid in first else process.memory_info().rss
    except psutil.Error:
        return 0.0
    return total / 2**20


def limit_mb() -> float:
    """The least of the machine's memory and the limits of the groups that this process is in, MB."""
    limits = [float(psutil.virtual_memory().total)]
    for group in groups():
        for name in ("memory.max", "memory.limit_in_bytes"):
            limits += [float(text) for text in _words(group / name)[:1] if text.isdigit()]
    return min(limits) / 2**20


def oom_kills() -> int:
    """How often the kernel has killed a process of these groups for their limit."""
    count = 0
    for group in groups():
        for name in ("memory.events", "memory.oom_control"):
            words = _words(group / name)
            count += sum(int(value) for key, value in zip(words[::2], words[1::2], strict=False) if key == "oom_kill")
    return count


def groups(root: Path | None = None, own: Path | None = None) -> Iterator[Path]:
    """Folders of the memory groups of this process, from its own up. Within a container its path may not be there: then
    the root is its own."""
    root, own = root or ROOT, own or OWN
    for line in own.read_text().splitlines() if own.exists() else ():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        tops = [root / "memory"] if controllers else [root, root / "unified"]
        for top in tops:
            folder = top / path.lstrip("/")
            while folder != top:
                if folder.is_dir():
                    yield folder
                folder = folder.parent
            if top.is_dir():
                yield top


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
