"""The strong wall: a worker in user, mount, process and IPC namespaces of its own, as containers are made.

It sees the folders that it is shown and no others, its own processes alone, and is nobody's superuser. Needs Linux 5.12
(`mount_setattr`) and a kernel that lets a user make namespaces.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.runner.executors import linux

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID = 0x20000, 0x8000000, 0x10000000, 0x20000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH = 2
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = 442, -100, 0x8000, 1
DEVICES = ("null", "zero", "full", "random", "urandom")
GPUS = ("nvidia*", "dri", "kfd", "dxg")
LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
UID = 1000
"""What a superuser is called inside: one that is nobody special keeps no capability through `exec`."""


class Shown(NamedTuple):
    """A file or folder of the machine, and where the worker finds it."""

    source: str
    target: str
    writable: bool


def leave() -> None:
    """Into namespaces of its own; the next child of this process is the first of the new process namespace."""
    uid, gid = os.getuid(), os.getgid()
    linux.call("unshare", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid or UID} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid or UID} {gid} 1")


def enter(root: str, shown: Sequence[Shown], hidden: Sequence[str], shm: int | None) -> None:
    """Make `root`, an empty folder, the root of a file system that holds what is shown and nothing else.

    Folders come before what lies in them. What is `hidden` is covered where it lies within something shown. There is
    room for `shm` bytes in /dev/shm, or for half of the machine's memory.
    """
    linux.call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
    _mount("tmpfs", root, MS_NOSUID | MS_NODEV, "mode=755")
    for item in shown:
        _bind(item.source, root + item.target)
        if not item.writable:
            _read_only(root + item.target, AT_RECURSIVE)
    for path in hidden:
        _cover(root, path)
    _devices(root, shm)
    Path(f"{root}/proc").mkdir()
    _mount("proc", f"{root}/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    _read_only(root, 0)
    os.chdir(root)
    linux.call("pivot_root", b".", b".")
    linux.call("umount2", b".", MNT_DETACH)  # the old root, which lies over the new one
    os.chdir("/")


def _devices(root: str, shm: int | None) -> None:
    Path(f"{root}/dev/shm").mkdir(parents=True)
    _mount("tmpfs", f"{root}/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777" if shm is None else f"mode=1777,size={shm}")
    found = [Path("/dev", name) for name in DEVICES] + [path for name in GPUS for path in Path("/dev").glob(name)]
    for path in found:
        if path.exists():
            _bind(str(path), root + str(path))
    for name, target in LINKS.items():
        Path(f"{root}/dev/{name}").symlink_to(target)


def _mount(kind: str, target: str, flags: int, options: str = "") -> None:
    linux.call("mount", kind.encode(), os.fsencode(target), kind.encode(), flags, options.encode())


def _bind(source: str, target: str) -> None:
    """Show `source`, and what is mounted in it, at `target`, which is made unless something shown holds it."""
    place = Path(target)
    if Path(source).is_dir():
        place.mkdir(parents=True, exist_ok=True)
    elif not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    linux.call("mount", os.fsencode(source), os.fsencode(target), None, MS_BIND | MS_REC, None)


def _read_only(target: str, flags: int) -> None:
    attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY, 0, 0, 0)  # set, clear, propagation, user namespace
    address = ctypes.cast(attributes, ctypes.c_void_p)
    linux.syscall(MOUNT_SETATTR, AT_FDCWD, os.fsencode(target), flags, address, ctypes.sizeof(attributes))


def _cover(root: str, path: str) -> None:
    """An empty folder over a folder, an empty file over a file; nothing where the worker sees neither."""
    target = root + path
    if Path(target).is_dir():
        _mount("tmpfs", target, MS_NOSUID | MS_NODEV, "mode=000")
        _read_only(target, 0)
    elif Path(target).exists():
        _bind("/dev/null", target)
