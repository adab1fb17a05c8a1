"""MLflow's own pages over a suite's store: up within seconds, and gone with whoever asked for them."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bench.tracking.store import default_store, default_uri

HOST = "127.0.0.1"
PATIENCE = 300.0  # seconds that the pages may take to come up
GRACE = 5.0  # and to go


def check_store(suite: Path) -> None:
    """Raises ValueError where a suite has no store."""
    if not default_store(suite).is_file():
        raise ValueError(f"{default_store(suite)}: there is no store yet; `unposed run` makes it, or `track --replay`")


@contextlib.contextmanager
def pages(suite: Path, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of a store's pages once they answer, and the process behind them, which ends with this one.

    Raises ValueError where there is no store, the port is taken or the server does not come up.
    """
    check_store(suite)
    _check_port(port)
    address = f"http://{HOST}:{port}"
    with tempfile.TemporaryFile() as said:
        command = [sys.executable, "-m", "bench.tracking.server", default_uri(suite), str(port)]
        path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]))
        process = subprocess.Popen(command, stdout=said, stderr=said, env=os.environ | {"PYTHONPATH": path})
        try:
            if not _answers(address, process):
                said.seek(0)
                last = said.read().decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
                raise ValueError(f"MLflow's pages did not come up at {address}: {last[0][:200]}")
            yield address, process
        finally:
            process.terminate()
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            said = "something else listens there" if error.errno == errno.EADDRINUSE else str(error.strerror).lower()
            raise ValueError(f"--port {port}: {said}; name another one") from error


def _answers(address: str, process: subprocess.Popen[bytes]) -> bool:
    """Whether the server comes up; it is asked until it does, ends, or takes too long."""
    began = time.monotonic()
    while process.poll() is None and time.monotonic() - began < PATIENCE:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            time.sleep(0.1)
    return False
