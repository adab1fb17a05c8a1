"""What a worker uses of memory and disk, what memory it may use, and whether the kernel killed for want of it: control
groups, version 1 and 2."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import psutil

ROOT, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def tree_memory_mb(pid: int, apart: int) -> float:
    """Memory below a process, MB (2^20 bytes); `apart` generations from it on do not count."""
    return memory_mb(tree(pid, apart))


def tree(pid: int, apart: int) -> list[psutil.Process]:
    """The processes below a process; `apart` generations from it on are left out."""
    try:
        below = psutil.Process(pid).children(recursive=True)
        first = set() if apart == 1 else {process.pid for process in below if process.ppid() == pid}
    except psutil.Error:
        return []
    return [process for process in below if process.pid not in first]


def memory_mb(counted: Sequence[psutil.Process]) -> float:
    """Of one process its resident memory; of several their proportional shares (PSS), for what they have in common,
    after a fork, is there once. A process whose share cannot be read counts whole."""
    return sum(_bytes(process, shared=len(counted) > 1) for process in counted) / 2**20


def _bytes(process: psutil.Process, *, shared: bool) -> int:
    if shared:
        words = _words(Path(f"/proc/{process.pid}/smaps_rollup"))
        if "Pss:" in words:
            return 1024 * int(words[words.index("Pss:") + 1])
    with contextlib.suppress(psutil.Error):
        return process.memory_info().rss
    return 0


def written_mb(folders: Iterable[Path]) -> float:
    """Disk that the files below these folders take, MB; links are not followed."""
    total, waiting = 0, [str(folder) for folder in folders]
    while waiting:
        with contextlib.suppress(OSError):  # gone while it was looked at
            for entry in os.scandir(waiting.pop()):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    total += 512 * entry.stat(follow_symlinks=False).st_blocks
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
