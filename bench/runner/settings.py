"""The conditions of a run: where, how many at once, for how long, on what."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bench.cell import Cell
from bench.matrix.grants import Grant, check_gpus, granted
from bench.record import RERUNNABLE, Result
from bench.regime import effort_of
from bench.runner.devices import AUTO, CPU, CPU_ALONE, CUDA, Devices, card_of
from bench.runner.executors.base import Executor, Share
from bench.runner.executors.local import LocalExecutor
from bench.runner.provenance import cpu_count
from bench.runner.shards import Shard
from bench.task import Effort

LIMIT: Mapping[Effort, float] = {"smoke": 120.0, "quick": 900.0, "full": 7200.0}
"""Wall seconds after which a fit is killed, where `--limit` does not say."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    suite: Path
    workers: int = 1  # cells side by side on each device
    limit: float | None = None  # seconds a fit; None: by effort
    render_limit: float | None = None  # seconds the renders of a fit; None: as the fit's own
    refine: bool = True  # held-out poses are refined too, which takes most of a judgement
    memory: float | None = None  # MB that a worker may have; None: as the machine allows
    disk: float | None = None  # MB of files that it may write
    retries: int = 1  # of a worker that was killed by a signal
    retry_failed: bool = False
    devices: Devices = CPU_ALONE
    threads_asked: int | None = None  # CPU threads of each worker; None: a fair share of this machine
    executor: Literal["local", "ray"] = "local"
    address: str | None = None  # of a Ray cluster
    gpus: float = 1.0  # of a node's GPUs that a worker is granted there, on a GPU
    grants: tuple[Grant, ...] = ()  # what single methods have instead of limit, memory, disk, gpus and threads above
    lpips: Path | None = None  # AlexNet backbone
    data: tuple[Path, ...] = ()  # folders of real scenes: no worker sees them
    shard: Shard | None = None  # one of several runs of the same matrix, at once
    asked: Mapping[str, Any] | None = None  # of a suite file: its keys, which are kept beside the results

    def __post_init__(self) -> None:
        for name in ("limit", "render_limit", "memory", "disk"):
            amount = getattr(self, name)
            if amount is not None and not 0 < amount < math.inf:
                raise ValueError(f"{name} {amount:g}: it must be a number above 0, and finite; None for the default")
        check_gpus(self.gpus)

    @property
    def slots(self) -> int:
        """Cells side by side, on all devices together."""
        return self.workers * len(self.devices.names)

    @property
    def threads(self) -> int:
        """CPU threads of each worker that no grant is for."""
        return self.threads_asked or max(1, cpu_count() // self.slots)

    @property
    def opening(self) -> str:
        """The first line of a run: see Devices.opening."""
        return self.devices.opening(self.workers, cards=self.executor == "local")

    def tried(self) -> Settings:
        """The same, on devices that have taken a step (see Devices.tried); on a cluster nobody asks its nodes. Raises
        ValueError where one is absent, or takes none."""
        from bench.runner.device_steps import step_on

        if self.executor != "ray":
            self.check_devices()
            return replace(self, devices=self.devices.tried(step_on))
        if self.devices.asked == AUTO and not self.devices.is_suites:
            remark = ", for no node of Ray's is asked for its GPUs: --device cuda has Ray choose one for each fit"
            said = remark if self.devices.kind == CUDA or self.devices.remark else ""
            return replace(self, devices=Devices(asked=AUTO, remark=said))
        self.check_devices()
        return self

    def check_devices(self) -> None:
        """Raises ValueError where not all of them are here, or where it is for Ray to choose one."""
        if self.executor != "ray":
            self.devices.check()
            return
        chosen = self.devices.is_suites or self.devices.names == (CPU,)
        if not chosen and self.devices.asked not in ("cuda", "cuda:0"):
            raise ValueError(
                f"--device {self.devices.asked}: with --executor ray, Ray chooses each fit's GPU: write cpu or cuda"
            )

    def card(self, device: str) -> str:
        """The name of the GPU that a cell had; empty for a CPU, and for a node of a cluster, whose GPUs nobody asks."""
        return card_of(device) if self.executor == "local" else ""

    def reruns(self, earlier: Result) -> bool:
        """Whether this settled cell is settled again because it failed, or its renders did."""
        failed = earlier.status in RERUNNABLE or (earlier.status == "done" and earlier.stage == "judge")
        return self.retry_failed and failed

    def share(self, cell: Cell) -> Share:
        """What its workers are granted."""
        own, base = granted(self.grants, cell), self._base
        return Share(
            threads=int(own.get("threads", base.threads)),
            gpus=own.get("gpus", base.gpus) if base.gpus else 0.0,
            memory_mb=1024 * own["memory"] if "memory" in own else base.memory_mb,
            disk_mb=1024 * own["disk"] if "disk" in own else base.disk_mb,
        )

    def fit_limit(self, cell: Cell) -> float:
        """Wall seconds after which its fit is killed."""
        return granted(self.grants, cell).get("limit") or self.limit or LIMIT[effort_of(cell.effort)]

    @property
    def _base(self) -> Share:
        """What workers are granted that no grant is for."""
        gpus = self.gpus if self.devices.kind == "cuda" else 0.0
        return Share(threads=self.threads, gpus=gpus, memory_mb=self.memory, disk_mb=self.disk)

    def make_executor(self, hidden: Sequence[Path], shares: Iterable[Share] = ()) -> Executor:
        """What runs the workers, which see nothing of `hidden` and are granted these `shares`. Raises ValueError where
        it cannot be had."""
        if self.executor == "local":
            return LocalExecutor(
                threads=self.threads, secrets=hidden, memory_mb=self.memory, disk_mb=self.disk
            )  # fmt: skip
        from bench.runner.executors.ray_executor import RayExecutor

        return RayExecutor(self._base, address=self.address, hidden=hidden, shares=shares)

    def judge_limit(self, cell: Cell) -> float:
        """Wall seconds after which rendering its held-out views is given up."""
        return self.render_limit or self.fit_limit(cell)
