"""The process between the runner and a worker: it raises the wall, starts the worker, and leaves nothing of it alive.

It holds nothing worth knowing: its environment is the worker's, its command line says nothing, and what to do comes as
one line of JSON through its standard input, which the runner keeps open for as long as the worker may live. How the
worker ended goes out as one line of JSON, `{"code": 0}` or `{"signal": 9}`. Started as `python -I -S`, for speed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

from bench.runner.executors import linux, namespaces
from bench.runner.executors.namespaces import Shown


def main() -> None:
    order = json.loads(_line(0))
    order["shown"] = [Shown(*item) for item in order["shown"]]
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        child = _in_namespaces(order, log) if order["wall"] == "namespaces" else _worker(order, log)
    except OSError as error:
        _tell({"error": str(error)})
        return
    watched = os.pidfd_open(child)
    waiting = select.poll()
    for handle in (0, watched):
        waiting.register(handle, select.POLLIN)
    ended = [handle for handle, _ in waiting.poll()]
    if watched in ended:
        status = os.waitpid(child, 0)[1]
        if order["wall"] != "namespaces":
            _tell(_end(status))
    kill_all()


def _line(handle: int) -> bytes:
    """One line, and no byte more: what follows must still wake `poll`."""
    found = b""
    while not found.endswith(b"\n"):
        if not (byte := os.read(handle, 65536)):
            break
        found += byte
    return found


def _in_namespaces(order: dict[str, Any], log: int) -> int:
    """The first process of a new process namespace; with its end, the kernel kills all that it holds."""
    namespaces.leave()
    if child := os.fork():
        return child
    try:
        linux.die_with_parent()
        namespaces.enter(order["root"], order["shown"], order["hidden"], order["shm"])
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        worker = _worker({**order, "wall": "none"}, log)
        found, status = os.wait()
        while found != worker:  # the first process adopts orphans
            found, status = os.wait()
        _tell(_end(status))
    except OSError as error:
        _tell({"error": str(error)})
    finally:
        os._exit(0)


def _worker(order: dict[str, Any], log: int) -> int:
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    if child := os.fork():
        return child
    try:
        linux.die_with_parent()
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for target, source in ((0, null), (1, log), (2, log)):
            os.dup2(source, target)
        os.chdir(order["cwd"])
        if order["wall"] == "landlock":
            from bench.runner.executors import landlock

            landlock.restrict(order["shown"], order["hidden"])
        linux.drop_privileges()
        os.execve(order["argv"][0], order["argv"], order["env"])
    except OSError as error:
        os.write(2, f"the worker could not be started: {error}\n".encode())
    finally:
        os._exit(126)


def _end(status: int) -> dict[str, int]:
    code = os.waitstatus_to_exitcode(status)
    return {"code": code} if code >= 0 else {"signal": -code}


def _tell(what: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(what).encode() + b"\n")


def kill_all() -> None:
    """Every descendant: those that left their group and session too, for orphans come to this process."""
    while found := children():
        for child in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def children() -> list[int]:
    """Living or not yet waited for."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with contextlib.suppress(OSError):
                text = (place / "stat").read_text(errors="replace")
                if int(text.rpartition(")")[2].split()[1]) == os.getpid():
                    found.append(int(place.name))
    return found


if __name__ == "__main__":
    main()
    sys.stdout.flush()
