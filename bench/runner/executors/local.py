"""Worker processes: one fresh interpreter each, watched, bounded in time, and killed with its whole tree."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

from bench.runner.executors.base import Stopped, Verb, WorkerEnd

SAMPLE = 0.1  # seconds between looks at the process tree


class LocalExecutor:
    """Workers as processes of this machine (see bench.runner.executors.base.Executor)."""

    def __init__(self, *, threads: int) -> None:
        self.threads = threads  # CPU threads granted to each worker
        self._live: set[subprocess.Popen[bytes]] = set()
        self._stopping = False
        self._lock = threading.Lock()

    def run(self, verb: Verb, folder: Path, *, limit: float, stderr: Path) -> WorkerEnd:
        """See Executor.run."""
        with stderr.open("ab") as log:
            with self._lock:
                if self._stopping:
                    raise Stopped
                process = subprocess.Popen(
                    [sys.executable, "-m", "bench.runner.worker", verb, str(folder.resolve())],
                    stdin=subprocess.PIPE,  # its end tells the worker that the judge is gone
                    stdout=log,
                    stderr=log,
                    cwd=folder,
                    env=environment(self.threads),
                    start_new_session=True,
                )
                self._live.add(process)
            try:
                return self._watch(process, limit)
            finally:
                kill_tree(process)
                with self._lock:
                    self._live.discard(process)
                if process.stdin:
                    process.stdin.close()

    def _watch(self, process: subprocess.Popen[bytes], limit: float) -> WorkerEnd:
        start, peak, timed_out = time.monotonic(), 0.0, False
        pause = 0.01
        while process.poll() is None:
            peak = max(peak, tree_rss_mb(process.pid))
            if time.monotonic() - start > limit:
                timed_out = True
                kill_tree(process)
                process.wait()
                break
            try:
                process.wait(timeout=pause)
            except subprocess.TimeoutExpired:
                pause = min(SAMPLE, 2 * pause)
        seconds, code = time.monotonic() - start, process.returncode
        if self._stopping:
            raise Stopped
        if timed_out:
            return WorkerEnd(kind="timeout", code=0, seconds=seconds, peak_rss_mb=peak)
        if code == -signal.SIGKILL and peak > 0.7 * psutil.virtual_memory().total / 2**20:
            return WorkerEnd(kind="out_of_memory", code=-code, seconds=seconds, peak_rss_mb=peak)
        kind = "signal" if code < 0 else "exit"
        return WorkerEnd(kind=kind, code=abs(code), seconds=seconds, peak_rss_mb=peak)

    def stop(self) -> None:
        """See Executor.stop."""
        with self._lock:
            self._stopping = True
            live = list(self._live)
        for process in live:
            kill_tree(process)


SPINS = "10000"
"""Turns for which a thread of OpenMP waits awake for the others, some tens of microseconds. The default is thirty times
as many: on a machine that is busy with something else, threads would mostly wait for one another at full speed."""


def environment(threads: int) -> dict[str, str]:
    """What a worker inherits: no data root, no cache of scenes, no tracking store; its share of threads."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("UNPOSED_", "MLFLOW_"))}
    tree = str(Path(__file__).resolve().parents[3])
    paths = [tree, *filter(None, kept.get("PYTHONPATH", "").split(os.pathsep))]
    shares = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
    return {"GOMP_SPINCOUNT": SPINS} | kept | shares | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the worker's process group, and to descendants that left the group."""
    try:
        descendants = psutil.Process(process.pid).children(recursive=True)
    except psutil.Error:
        descendants = []
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for child in descendants:
        try:
            child.kill()
        except psutil.Error:
            continue


def tree_rss_mb(pid: int) -> float:
    """Resident memory of a process and its descendants, MB (2^20 bytes)."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue
    except psutil.Error:
        return 0.0
    return total / 2**20
