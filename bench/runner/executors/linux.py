"""System calls that Python has no name for (prctl, unshare, mount, landlock), with their errors as OSError."""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 36, 38
CAPABILITIES = 64  # more than there are: dropping one that does not exist is an error that says so

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: int | bytes | ctypes.c_void_p | None) -> int:
    """A function of the C library. Raises OSError, AttributeError where the library has none of this name."""
    return _checked(name, getattr(_libc, name)(*map(_word, arguments)))


def syscall(number: int, *arguments: int | bytes | ctypes.c_void_p | None) -> int:
    """A system call by its number. Raises OSError."""
    return _checked(f"system call {number}", _libc.syscall(ctypes.c_long(number), *map(_word, arguments)))


def _word(argument: int | bytes | ctypes.c_void_p | None) -> ctypes.c_long | bytes | ctypes.c_void_p | None:
    return ctypes.c_long(argument) if isinstance(argument, int) else argument


def _checked(name: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def prctl(option: int, value: int = 0) -> None:
    """An attribute of this process. Raises OSError."""
    call("prctl", option, value, 0, 0, 0)


def die_with_parent() -> None:
    """Be killed by the kernel once the parent (the thread that forked) is gone, however it went."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def drop_privileges() -> None:
    """No capability survives the next `exec`, and no set-uid program brings one back."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    for capability in range(CAPABILITIES):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            return
