"""What a worker holds that neither its processes' memory nor the names in its folders show: files in /dev/shm and
nameless ones of memory (`memfd`), which are memory, and files that were deleted while open, which are disk.

Within namespaces /dev/shm is a worker's own. Elsewhere it is the machine's: what the worker has open there for writing,
at one look or another, and was not there before it, is its own.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import psutil

from bench.runner.executors.memory import memory_mb

SHM = Path("/dev/shm")
LEAST = 2**20
"""Bytes below which nobody asks how much of them a process has mapped."""

Key = tuple[int, int]  # device and inode


class Held(NamedTuple):
    """MB (2^20 bytes)."""

    memory_mb: float  # all of it: of the processes, and what they hold out of sight
    disk_mb: float  # beside the files in its folders


class OutOfSight:
    """Of one worker, from before it starts until it is gone."""

    def __init__(self, shm: Path = SHM) -> None:
        self.shm = shm
        self._before = {key for key, _ in _files(shm)}
        self._here = _device(shm)
        self._own: dict[Key, Path] = {}  # files in the machine's /dev/shm that are the worker's

    def look(self, processes: Sequence[psutil.Process]) -> Held:
        """What these processes hold now."""
        pids = [process.pid for process in processes]
        deleted: dict[Key, int] = {}
        for pid in pids:
            for key, size, path, writes in _open_files(pid):
                if path is None:
                    deleted[key] = size
                elif key[0] == self._here and writes and key not in self._before:
                    self._own[key] = path
        private = self._private(pids)
        nameless = {key: size for key, size in deleted.items() if key[0] in (self._here, _nameless())}
        named = {key: 512 * found.st_blocks for key, found in self._still_there()}
        memory = sum(private.values()) + sum(nameless.values()) + sum(named.values())
        if memory < LEAST:
            memory += 2**20 * memory_mb(processes)
        else:  # of which a process may have mapped some: that is there once
            counted = nameless.keys() | named.keys()
            memory += sum(_beside(process, set(private), counted, shared=len(pids) > 1) for process in processes)
        disk = sum(size for key, size in deleted.items() if key not in nameless and key[0] not in private)
        return Held(memory / 2**20, disk / 2**20)

    def sweep(self) -> None:
        """Remove from the machine's /dev/shm what the worker, which is gone, left there."""
        for key, _ in list(self._still_there()):
            with contextlib.suppress(OSError):
                self._own[key].unlink()

    def _private(self, pids: Iterable[int]) -> dict[int, int]:
        """Bytes in those /dev/shm of these processes that are not the machine's, by device."""
        found: dict[int, int] = {}
        for pid in pids:
            place = Path(f"/proc/{pid}/root{SHM}")
            device = _device(place)
            # A mount of its own: not os.path.ismount, which raises where the process ends while it looks.
            if device is not None and device not in (self._here, _device(place.parent), *found):
                with contextlib.suppress(OSError):
                    space = os.statvfs(place)
                    found[device] = (space.f_blocks - space.f_bfree) * space.f_frsize
        return found

    def _still_there(self) -> Iterator[tuple[Key, os.stat_result]]:
        for key, path in self._own.items():
            with contextlib.suppress(OSError):
                found = path.lstat()
                if (found.st_dev, found.st_ino) == key and found.st_uid == os.getuid():
                    yield key, found


def _open_files(pid: int) -> Iterator[tuple[Key, int, Path | None, bool]]:
    """Files that a process has open: which, how many bytes, where (None: it was deleted), and whether for writing."""
    for link in _listed(Path(f"/proc/{pid}/fd")):
        with contextlib.suppress(OSError, ValueError):
            found = link.stat()
            if not stat.S_ISREG(found.st_mode):
                continue
            key, size = (found.st_dev, found.st_ino), 512 * found.st_blocks
            if not found.st_nlink:
                yield key, size, None, True
            elif found.st_dev == _device(SHM):
                words = Path(f"/proc/{pid}/fdinfo/{link.name}").read_text().split()
                writes = bool(int(words[words.index("flags:") + 1], 8) & os.O_ACCMODE)
                yield key, size, link.readlink(), writes


def _beside(process: psutil.Process, devices: set[int], files: Iterable[Key], *, shared: bool) -> int:
    """Bytes of a process's memory (of its proportional share: `shared`) but for what it has mapped of these files, and
    of all on these devices. From one reading: it may map and unmap meanwhile. All of it where that cannot be read."""
    total, is_one = 0, False
    try:
        with Path(f"/proc/{process.pid}/smaps").open(errors="replace") as lines:
            for line in lines:
                words = line.split()
                if not words[0].endswith(":"):  # a mapping begins: addresses, rights, offset, device, inode
                    major, minor = (int(part, 16) for part in words[3].split(":"))
                    device = os.makedev(major, minor)
                    is_one = device in devices or (device, int(words[4])) in files
                elif not is_one and words[0] == ("Pss:" if shared else "Rss:"):
                    total += 1024 * int(words[1])
    except (OSError, ValueError):
        return int(2**20 * memory_mb([process]))
    return total


def _files(folder: Path) -> Iterator[tuple[Key, Path]]:
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                found = os.lstat(Path(place, name))
                yield (found.st_dev, found.st_ino), Path(place, name)


@cache
def _nameless() -> int | None:
    """The device of files that live in memory under no name; None where there is no such thing."""
    try:
        handle = os.memfd_create("unposed")
    except (OSError, AttributeError):
        return None
    try:
        return os.fstat(handle).st_dev
    finally:
        os.close(handle)


def _device(place: Path) -> int | None:
    try:
        return place.stat().st_dev
    except OSError:
        return None


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
