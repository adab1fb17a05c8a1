"""Worker processes of this machine: one fresh interpreter each, behind a wall, bounded in time, gone with its tree."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.runner.executors import isolation, linux
from bench.runner.executors.base import Request, Share, Stopped, WorkerEnd
from bench.runner.executors.elsewhere import WORKER, lay_out
from bench.runner.executors.environment import environment, shared_folders
from bench.runner.executors.gpu import sight
from bench.runner.executors.kernels import kernel_folder, kernel_places, seed_kernels
from bench.runner.executors.memory import limit_mb, oom_kills, tree, written_mb
from bench.runner.executors.out_of_sight import OutOfSight
from bench.runner.executors.supervisor import children

SAMPLE = 0.1  # seconds between looks at the process tree ...
DISK_SAMPLE = 1.0  # ... and at the files that it has written
GRACE = 5.0  # seconds in which a supervisor must have killed its worker
CELL, HOME, TEMPORARY = "/cell", "/home/unposed", "/tmp"
"""What a worker's folders are called within namespaces: the same for every cell."""


class LocalExecutor:
    """See bench.runner.executors.base.Executor. `secrets` are files and folders that no worker may see: the suite, the
    data. A worker with more than `memory_mb` of memory, or files of more than `disk_mb`, is killed; where its request
    has a share of its own, that counts."""

    def __init__(
        self, *, threads: int, secrets: Sequence[Path] = (), memory_mb: float | None = None,
        disk_mb: float | None = None,
    ) -> None:  # fmt: skip
        self.threads = threads
        self._share = Share(threads=threads, memory_mb=memory_mb, disk_mb=disk_mb)
        self.isolation = isolation.wall()
        self._hidden = isolation.hidden(secrets)
        isolation.compile_tree()
        self._live: set[subprocess.Popen[bytes]] = set()
        self._stopping = False
        self._lock = threading.Lock()
        if self.isolation != "namespaces":
            linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)  # a worker that kills its supervisor leaves its orphans here
        if self.isolation == "none":
            with contextlib.suppress(OSError, AttributeError):
                linux.prctl(linux.PR_SET_DUMPABLE, 0)  # this process's memory and environment are the superuser's

    def run(self, request: Request) -> WorkerEnd:
        """See Executor.run."""
        order = self._order(request)
        kills, before, hidden = oom_kills(), set(children()), OutOfSight()
        with self._lock:
            if self._stopping:
                raise Stopped
            process = subprocess.Popen(
                isolation.supervisor(),
                stdin=subprocess.PIPE,  # its end tells the supervisor that this process is gone
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env=order["env"],
                start_new_session=True,
            )
            self._live.add(process)
        try:
            assert process.stdin
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
            end = self._watch(process, request, hidden)
        finally:
            _end(process)
            if process.returncode < 0:
                self._kill_orphans(before)
            hidden.sweep()
            with self._lock:
                self._live.discard(process)
        is_killed = end.kind == "signal" and end.code == signal.SIGKILL
        if is_killed and (oom_kills() > kills or end.peak_rss_mb > 0.7 * limit_mb()):
            return replace(end, kind="out_of_memory")
        return end

    def _order(self, request: Request) -> dict[str, Any]:
        """What the supervisor is to do; the worker's folders are made."""
        folder = request.folder.resolve()
        for name in ("in", "out", "home", "tmp", "root"):
            (folder / name).mkdir(exist_ok=True)
        for name in request.inputs:
            (folder / "in" / name).mkdir(exist_ok=True)
        walled = self.isolation == "namespaces"
        cell, home, temporary = (CELL, HOME, TEMPORARY) if walled else (folder, folder / "home", folder / "tmp")
        other = request.code.interpreter
        installed = isolation.shown_installed(request.code.places, other)
        shown = list(installed)
        if other is not None:
            shown.append((str(lay_out(folder / WORKER)), f"{cell}/{WORKER}", False))
        for name, writable in (("in", False), ("out", True)):
            shown.append((str(folder / name), f"{cell}/{name}", writable))
        shown += [(str(folder / "home"), str(home), True), (str(folder / "tmp"), str(temporary), True)]
        for name, source in request.inputs.items():
            if walled:
                shown.append((str(source.resolve()), f"{cell}/in/{name}", False))
            else:
                shutil.copytree(source, folder / "in" / name, dirs_exist_ok=True)
        share = request.share or self._share
        env = environment(share.threads, home=home, temporary=temporary, python=other and other.path)
        env |= sight(request.device, os.environ)
        for shared in shared_folders():
            shared.mkdir(parents=True, exist_ok=True)
            shown.append((str(shared.resolve()), str(shared.resolve()), True))
        if request.code.shipped:
            compiled = kernel_folder()
            shown.append((str(compiled), str(compiled), True))
            env = {**kernel_places(compiled), **env}
        elif request.code.kernels and not kernel_places(home).keys() <= env.keys():
            copied, compiled = seed_kernels(folder / "home"), kernel_folder()
            if walled:  # under the name of the original: what Triton has compiled holds whole paths
                shown.append((str(copied), str(compiled), True))
            env = {**kernel_places(compiled if walled else copied), **env}
        argv = [sys.executable, "-P", "-m", "bench.runner.worker", request.verb, str(cell)]
        if other is not None:
            argv = [other.path, "-s", f"{cell}/{WORKER}", request.verb, str(cell)]
        shown.sort(key=lambda item: len(Path(item[1]).parts))
        return {
            "wall": self.isolation, "log": str(folder / "stderr.txt"), "root": str(folder / "root"),
            "cwd": f"{cell}/out", "env": env, "shown": shown,
            "hidden": isolation.hidden_in(installed, self._hidden), "argv": argv,
            "shm": int(share.memory_mb * 2**20) if share.memory_mb else None,
        }  # fmt: skip

    def _watch(self, process: subprocess.Popen[bytes], request: Request, hidden: OutOfSight) -> WorkerEnd:
        start, peak, pause, looked = time.monotonic(), 0.0, 0.01, 0.0
        share = request.share or self._share
        memory_limit, disk_limit = share.memory_mb or math.inf, share.disk_mb or math.inf
        kind, allowed = None, None
        assert process.stdout and process.stderr
        said = process.stdout
        apart = 2 if self.isolation == "namespaces" else 1
        own = [request.folder / name for name in ("out", "home", "tmp")]
        written = 0.0
        while process.poll() is None:
            now = time.monotonic() - start
            processes = tree(process.pid, apart)
            held = hidden.look(processes)
            used = held.memory_mb
            peak = max(peak, used)
            if disk_limit < math.inf and now - looked > DISK_SAMPLE:
                looked, written = now, written_mb(own)
            if used > memory_limit:
                kind, allowed = "out_of_memory", memory_limit
            elif now > request.limit:
                kind = "timeout"
            elif written + held.disk_mb > disk_limit:
                kind, allowed = "out_of_disk", disk_limit
            if kind or select.select([said], [], [], pause)[0]:  # how it ended, or nothing at all
                break
            pause = min(SAMPLE, 2 * pause)
        if not kind and disk_limit < math.inf and written_mb(own) > disk_limit:  # since the last look
            kind, allowed = "out_of_disk", disk_limit
        seconds = time.monotonic() - start
        if self._stopping:
            raise Stopped
        if kind:
            return WorkerEnd(kind=kind, code=0, seconds=seconds, peak_rss_mb=peak, allowed_mb=allowed)
        answer, fault = said.read(), process.stderr.read().decode(errors="replace").strip()
        told: dict[str, Any] = json.loads(answer) if answer else {"signal": signal.SIGKILL}
        if "error" in told or fault:
            raise RuntimeError(f"the worker could not be started: {told.get('error') or fault.splitlines()[-1]}")
        kind = "signal" if "signal" in told else "exit"
        return WorkerEnd(kind=kind, code=told.get("signal", told.get("code", 0)), seconds=seconds, peak_rss_mb=peak)

    def _kill_orphans(self, before: set[int]) -> None:
        """What a supervisor that was killed could not kill. `before` were this process's children already."""
        with self._lock:
            ours = before | {process.pid for process in self._live}
        while orphans := set(children()) - ours:
            for orphan in orphans:
                with contextlib.suppress(OSError):
                    os.kill(orphan, signal.SIGKILL)
                    os.waitpid(orphan, 0)

    def stop(self) -> None:
        """See Executor.stop."""
        with self._lock:
            self._stopping = True
            live = list(self._live)
        for process in live:
            _close(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Have the supervisor kill what it started, and see it gone."""
    _close(process)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe:
            pipe.close()


def _close(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        process.stdin.close()  # type: ignore[union-attr]  # it is a pipe
