"""Worker processes on a Ray cluster: a request is a task, run by the local executor of whichever node takes it.

A node that sees the request's folder works in it, so that checkpoints outlast the node; to any other the folder is
sent, and what the worker made is sent back. The project must be installed on every node, in this version: see
docs/cluster.md.
"""

from __future__ import annotations

import io
import logging
import secrets
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.matrix.code_digest import project_digest
from bench.runner.executors.base import Request, Share, Stopped, WorkerEnd

POLL = 0.5  # seconds between looks at whether the run was stopped
TOKEN = ".sent-by"
MB = 2**20


class RayExecutor:
    """See bench.runner.executors.base.Executor.

    `address` is the cluster's, as Ray has it ("auto", "HEAD:6379"); None starts one of this machine alone. Workers are
    granted what their request says, one of `shares`, or `share`.
    Raises ValueError where Ray is not installed or not to be reached, where no node could ever grant one of `shares`
    (`share`, where there are none), or where a node has another version of this project.
    """

    def __init__(
        self, share: Share, *, address: str | None, hidden: Sequence[Path] = (), shares: Iterable[Share] = ()
    ) -> None:
        try:
            import ray
        except ImportError as error:
            raise ValueError("--executor ray: Ray is not installed; pip install 'unposed[ray]'") from error
        self._ray, self.share, self.threads = ray, share, share.threads
        self._hidden = tuple(hidden)
        self._live: set[Any] = set()
        self._stopping, self._lock = False, threading.Lock()
        try:
            if not ray.is_initialized():
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise ValueError(f"--address {address}: no Ray cluster can be reached there: {said}") from error
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        for wanted in map(resources, dict.fromkeys(shares) or [share]):
            if not any(fits(wanted, node) for node in nodes):
                raise ValueError(
                    f"--executor ray: no node could ever grant a fit {_said(wanted)}; the cluster has "
                    + "; ".join(map(_said, nodes))
                )
        self.isolation = self._compared(nodes)

    def _compared(self, nodes: Sequence[dict[str, float]]) -> str:
        """The wall that stands on the nodes, all of which have been asked for their version of this project."""
        names = [name for node in nodes for name in node if name.startswith("node:") and "__" not in name]
        probes = [self._task(resources={name: 0.001}, num_cpus=0).remote(_describe) for name in names]
        try:
            told = self._ray.get(probes)
        except self._ray.exceptions.RayError as error:
            said = str(error).strip().splitlines()[-1]
            raise ValueError(f"--executor ray: a node cannot run this project; install it there: {said}") from error
        for name, (digest, _) in zip(names, told, strict=True):
            if digest != project_digest():
                raise ValueError(f"--executor ray: {name} has another version of this project: install this one there")
        return " and ".join(sorted({wall for _, wall in told}))

    def run(self, request: Request) -> WorkerEnd:
        """See Executor.run. A node that dies ends its workers as a signal would."""
        start, share = time.monotonic(), request.share or self.share
        token = secrets.token_hex(8)
        (request.folder / "in" / TOKEN).write_text(token)
        work = partial(_run, request, share, self._hidden, token)
        wanted = {"num_cpus": share.threads, "num_gpus": share.gpus, "memory": resources(share).get("memory", 0)}
        with self._lock:
            if self._stopping:
                raise Stopped
            reference = self._task(**wanted).remote(work, packed(request))
            self._live.add(reference)
        try:
            while not self._ray.wait([reference], timeout=POLL)[0]:
                if self._stopping:
                    raise Stopped
            end, made = self._ray.get(reference)
        except (self._ray.exceptions.RayTaskError, self._ray.exceptions.TaskCancelledError) as error:
            if self._stopping:
                raise Stopped from error
            raise RuntimeError(f"the worker could not be started: {error}") from error
        except self._ray.exceptions.RayError:
            if self._stopping:
                raise Stopped from None
            return WorkerEnd(kind="signal", code=9, seconds=time.monotonic() - start, peak_rss_mb=0.0)
        finally:
            with self._lock:
                self._live.discard(reference)
        if made is not None:
            unpack(made, request.folder)
        return WorkerEnd(**end)

    def stop(self) -> None:
        """See Executor.stop."""
        with self._lock:
            self._stopping = True
            live = list(self._live)
        for reference in live:
            self._ray.cancel(reference, force=True)

    def _task(self, **options: Any) -> Any:
        """Ray's own retries are off: the runner counts attempts, and their time."""
        return self._ray.remote(max_retries=0, **options)(_call)


def resources(share: Share) -> dict[str, float]:
    """What a worker is granted, by Ray's names."""
    wanted = {"CPU": float(share.threads), "GPU": share.gpus, "memory": (share.memory_mb or 0) * MB}
    return {name: amount for name, amount in wanted.items() if amount}


def fits(wanted: dict[str, float], node: dict[str, float]) -> bool:
    return all(node.get(name, 0.0) >= amount for name, amount in wanted.items())


def packed(request: Request) -> bytes:
    """`in/`, what a worker has made before, and the folders that it reads, as an archive without links."""
    parts = [(request.folder / name, name) for name in ("in", "out")]
    parts += [(source, f"inputs/{name}") for name, source in request.inputs.items()]
    return _archive(parts)


def unpack(archive: bytes, folder: Path) -> None:
    """Files and folders alone, and none outside of `folder`."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")


def _archive(parts: Iterable[tuple[Path, str]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, name in parts:
            if path.exists():
                tar.add(path, name, filter=lambda entry: entry if entry.isfile() or entry.isdir() else None)
    return buffer.getvalue()


def _said(resources: dict[str, float]) -> str:
    """`4 CPU, 1 GPU, 8.0 GB`."""
    words = [f"{resources[name]:g} {name}" for name in ("CPU", "GPU") if resources.get(name)]
    return ", ".join([*words, *([f"{resources['memory'] / 2**30:.1f} GB"] if resources.get("memory") else [])])


def _call(work: Any, *arguments: Any) -> Any:
    """The one function that tasks run; it is found by its name on the node, where this module is installed."""
    return work(*arguments)


def _describe() -> tuple[str, str]:
    """On a node: the project's digest, and which wall stands there."""
    from bench.runner.executors import isolation

    return project_digest(), isolation.wall()


def _run(
    request: Request, share: Share, hidden: tuple[Path, ...], token: str, archive: bytes
) -> tuple[dict[str, Any], bytes | None]:
    """On a node: how the worker ended, and what it made where the folder had to be sent."""
    from bench.runner.executors.local import LocalExecutor
    from bench.runner.provenance import processor

    executor = LocalExecutor(
        threads=share.threads, secrets=hidden, memory_mb=share.memory_mb, disk_mb=share.disk_mb
    )  # fmt: skip
    mark = request.folder / "in" / TOKEN
    is_shared = mark.is_file() and mark.read_text() == token
    if is_shared:
        return {**asdict(executor.run(request)), "machine": processor()}, None
    with tempfile.TemporaryDirectory(prefix="unposed-", dir="/var/tmp") as place:
        folder = Path(place)
        unpack(archive, folder)
        sent = replace(request, folder=folder, inputs={name: folder / "inputs" / name for name in request.inputs})
        end = executor.run(sent)
        made = _archive([(folder / "out", "out"), (folder / "stderr.txt", "stderr.txt")])
    return {**asdict(end), "machine": processor()}, made
