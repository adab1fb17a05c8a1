"""The wall where namespaces cannot be had, as in most containers: Landlock (Linux 5.13), rules over files.

The worker opens what it is shown and nothing else; of /proc, itself and the machine's figures. It can neither trace nor
(Linux 6.12) signal a process outside. Names of folders can be read where files in them are shown.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.runner.executors import linux
from bench.runner.executors.namespaces import DEVICES, GPUS, Shown

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION, PATH_BENEATH = 1, 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE, IOCTL_DEVICE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
RIGHTS = {1: 1 << 13, 2: 1 << 14, 3: 1 << 15, 4: 1 << 15, 5: 1 << 16}
"""By version of Landlock, one above the highest right that it knows."""
READS = EXECUTE | READ_FILE | READ_DIR
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE
SCOPE_ABSTRACT_SOCKET, SCOPE_SIGNAL = 1, 2
FIGURES = (
    "cpuinfo", "meminfo", "stat", "sys", "version", "filesystems", "loadavg", "uptime", "driver", "devices",
)  # fmt: skip


def version() -> int:
    """That of the kernel. Raises OSError where it has none."""
    return linux.syscall(CREATE_RULESET, None, 0, VERSION)


def restrict(shown: Sequence[Shown], hidden: Sequence[str]) -> None:
    """From here on this process and its children open what is shown and nothing else."""
    kernel = version()
    handled = RIGHTS[min(kernel, max(RIGHTS))] - 1
    scoped = SCOPE_ABSTRACT_SOCKET | SCOPE_SIGNAL if kernel >= 6 else 0
    attributes = struct.pack("QQQ", handled, 0, scoped)
    size = 24 if kernel >= 6 else 16 if kernel >= 4 else 8
    ruleset = linux.syscall(CREATE_RULESET, attributes, size, 0)
    try:
        for item in shown:
            for path in without(item.source, hidden):
                _allow(ruleset, path, handled if item.writable else handled & READS)
            if _holds(item.source, hidden):
                _allow(ruleset, item.source, READ_DIR)
        for path in _machine():
            _allow(ruleset, path, handled & (READS | WRITE_FILE | IOCTL_DEVICE))
        for name in ("self", *FIGURES):
            _allow(ruleset, os.path.realpath(f"/proc/{name}"), handled & (READS | WRITE_FILE))
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        linux.syscall(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def without(path: str, hidden: Sequence[str]) -> Iterator[str]:
    """The parts of a folder that hold nothing hidden: rules allow, and cannot take back. Links are no parts: one, as
    `lib64`, may lead past what is hidden, and what it leads to has a rule of its own where it is shown."""
    if any(Path(path).is_relative_to(each) for each in hidden):
        return
    if not _holds(path, hidden):
        yield path
        return
    for child in sorted(os.scandir(path), key=lambda child: child.name):
        if child.is_symlink():
            continue
        yield from without(child.path, hidden)


def _holds(path: str, hidden: Sequence[str]) -> bool:
    return any(Path(each).is_relative_to(path) for each in hidden)


def _machine() -> Iterator[str]:
    yield from (f"/dev/{name}" for name in (*DEVICES, "shm"))
    yield from (str(path) for name in GPUS for path in Path("/dev").glob(name))


def _allow(ruleset: int, path: str, rights: int) -> None:
    with contextlib.suppress(FileNotFoundError, PermissionError):
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not Path(path).is_dir():
                rights &= OF_FILES
            rule = struct.pack("=Qi", rights, handle)  # packed, as the kernel wants it
            linux.syscall(ADD_RULE, ruleset, PATH_BENEATH, rule, 0)
        finally:
            os.close(handle)
