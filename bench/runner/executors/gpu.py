"""One GPU of several for a worker: it sees no other, and knows its own as the first there is.

So a method has one name for its device wherever it runs, on any of several GPUs and on a node of a cluster; kernels
that are launched on "the current device" are launched on the right one, and no process takes memory of another GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bench.runner.executors.base import Executor, Request, Share, WorkerEnd

VISIBLE = "CUDA_VISIBLE_DEVICES"


def as_seen(device: str) -> str:
    """What a worker calls this device of ours: `cuda:1` is its `cuda`."""
    return device.partition(":")[0]


def sight(device: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variable that shows a worker `cuda:1` alone, counted among those that `environ` shows us; nothing where no
    GPU is named by its number."""
    kind, _, index = device.partition(":")
    if kind != "cuda" or not index:
        return {}
    shown = environ.get(VISIBLE)
    if shown is None:
        return {VISIBLE: str(int(index))}
    entries = [entry.strip() for entry in shown.split(",")]
    if int(index) >= len(entries):
        raise RuntimeError(f"{device} is not here: {VISIBLE} is {shown!r}")
    return {VISIBLE: entries[int(index)]}


@dataclass(frozen=True)
class OnDevice:
    """An executor (see bench.runner.executors.base) all of whose workers have one device of this machine, and one
    share of it."""

    executor: Executor
    device: str
    share: Share | None = None  # None: what the executor grants all

    @property
    def threads(self) -> int:
        return self.share.threads if self.share else self.executor.threads

    @property
    def isolation(self) -> str:
        return self.executor.isolation

    def run(self, request: Request) -> WorkerEnd:
        return self.executor.run(replace(request, device=self.device, share=self.share))

    def stop(self) -> None:
        self.executor.stop()
