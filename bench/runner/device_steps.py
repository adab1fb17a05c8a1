"""One small training step on each device, as a cell would have it: in a worker, behind the wall, within a time limit.

A driver that hangs or crashes ends a process of its own, and is told.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.matrix.code_digest import TREE
from bench.runner import worker_io
from bench.runner.devices import CPU, CUDA
from bench.runner.executors.base import Code, Request
from bench.runner.executors.gpu import VISIBLE, as_seen
from bench.runner.executors.local import LocalExecutor
from bench.runner.provenance import cpu_count, processor

STEP = "methods.nerf.training.one_step:one_step"
LIMIT = 180.0
"""Seconds for a worker: the first one of all compiles the kernels of the CPU, in about half a minute."""

COUNTING = "from bench.runner.devices import visible; print(visible())"
COUNT_LIMIT = 60.0


class Seen(NamedTuple):
    """What a device did."""

    device: str
    fine: bool
    text: str


def look(
    count: Callable[[], int] | None = None, ask: Callable[[str], Mapping[str, Any] | str] | None = None
) -> Iterator[Seen]:
    """Of the CPU and of each GPU that is visible, in their order; one that fails says what to do. `count` and `ask`
    are `gpus` and `step_on`."""
    yield _told(CPU, (ask or step_on)(CPU))
    try:
        found = (count or gpus)()
    except RuntimeError as error:
        yield Seen(CUDA, False, f"torch cannot say which GPUs there are: {error}; {_remedy(CUDA)}")
        return
    if not found:
        hidden = f" ({VISIBLE} is {os.environ[VISIBLE]!r})" if VISIBLE in os.environ else ""
        yield Seen(CUDA, True, f"none{hidden}: cells run on the CPU")
    for name in [f"{CUDA}:{k}" for k in range(found)]:
        yield _told(name, (ask or step_on)(name))


def gpus() -> int:
    """How many torch sees, asked in a process of its own. Raises RuntimeError where that gives no answer."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TREE), os.environ.get("PYTHONPATH", "")])}
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", COUNTING], env=environment, capture_output=True, text=True,
            timeout=COUNT_LIMIT, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"no answer after {COUNT_LIMIT:.0f} s") from None
    if not done.stdout.strip().isdecimal():
        said = done.stderr.strip().splitlines()
        raise RuntimeError(said[-1] if said else f"that process ended with code {done.returncode}")
    return int(done.stdout)


def step_on(device: str, *, step: str = STEP, limit: float = LIMIT) -> Mapping[str, Any] | str:
    """What a worker says of its step there (see bench.runner.worker.step), or why it took none."""
    with tempfile.TemporaryDirectory(prefix="unposed-") as place:
        folder = Path(place)
        worker_io.write_request(folder, {"step": step, "device": as_seen(device)})
        code = Code(shipped=True, kernels=True)
        end = LocalExecutor(threads=cpu_count()).run(
            Request(verb="step", folder=folder, code=code, limit=limit, device=device)
        )
        said = worker_io.read_outcome(folder)
    if said is None:
        return end.reason
    return said if said["status"] == "done" else str(said["reason"])


def _told(device: str, said: Mapping[str, Any] | str) -> Seen:
    if isinstance(said, str):
        return Seen(device, False, f"took no step: {said}; {_remedy(device)}")
    what = processor()
    if "card" in said:
        what = f"{said['card']}, {said['free_gb']:.1f} of {said['total_gb']:.1f} GB free"
    took = f"a step of a small grid by {said['backend']} took {_seconds(said['seconds'])}"
    slow = f"; it is slow, but the fused kernels do not run here: {said['instead']}" if "instead" in said else ""
    return Seen(device, True, f"{what}: {took} (the first, {_seconds(said['first_seconds'])}){slow}")


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value >= 1 else f"{1000 * value:.3g} ms"


def _remedy(device: str) -> str:
    if device == CPU:
        return "no method can train here: see whether torch and numba are those of `make setup`"
    return f"see `nvidia-smi` and the driver, or hide it ({VISIBLE}=) and take the CPU or another GPU"
