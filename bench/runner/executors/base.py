"""What the runner asks of whatever runs worker processes: local processes today, a cluster tomorrow."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from bench.matrix.interpreter import Interpreter

Verb = Literal["describe", "fit", "render", "refine", "find", "register", "path", "examine", "examine_field", "step"]
"""What a worker is asked to do (see bench.runner.worker)."""


class Stopped(Exception):  # noqa: N818 - an outcome, not a fault
    """The run was interrupted: the cell keeps its checkpoints and has no result yet."""


@dataclass(frozen=True, kw_only=True)
class Code:
    """Where a method's code lies, beside what is installed."""

    places: tuple[Path, ...] = ()  # files and folders of its own
    shipped: bool = False  # a part of this project: what it compiles is kept between workers
    kernels: bool = False  # it uses this project's compiled kernels
    interpreter: Interpreter | None = None  # its worker runs under this one, and not under this project's


@dataclass(frozen=True, kw_only=True)
class Share:
    """What a worker is granted of its machine."""

    threads: int  # of CPUs
    gpus: float = 0.0  # of a cluster's node; may be a fraction of one
    memory_mb: float | None = None  # with more it is killed; None: as the machine allows. MB are 2^20 bytes
    disk_mb: float | None = None  # of files that it may write


@dataclass(frozen=True, kw_only=True)
class Request:
    """One worker: what it is to do, where, with whose code, and for how long."""

    verb: Verb
    folder: Path  # holds `in/`, which the worker reads, and `out/`, which it fills; nobody else's
    code: Code
    limit: float  # wall seconds, after which it is killed
    inputs: Mapping[str, Path] = dataclasses.field(default_factory=dict)  # folders that it reads as in/NAME
    device: str = "cpu"  # of this machine; of several GPUs it sees this one alone (bench.runner.executors.gpu)
    share: Share | None = None  # None: what the executor grants all


@dataclass(frozen=True, kw_only=True)
class WorkerEnd:
    """How a worker process ended, as seen from outside."""

    kind: Literal["exit", "signal", "timeout", "out_of_memory", "out_of_disk"]
    code: int  # exit code or signal number
    seconds: float  # wall time of the process
    peak_rss_mb: float  # of the whole process tree, what is shared counted once, sampled; MB are 2^20 bytes
    machine: str = ""  # its processor, where that is not this machine's
    allowed_mb: float | None = None  # of memory or disk, where it was killed for having more

    @property
    def reason(self) -> str:
        """Why there is no outcome, in a sentence for the result."""
        match self.kind:
            case "timeout":
                return f"killed at the time limit, after {self.seconds:.0f} s"
            case "out_of_memory":
                limit = f", with {self.allowed_mb:.0f} MB allowed" if self.allowed_mb else ""
                return f"killed for memory at {self.peak_rss_mb:.0f} MB{limit}"
            case "out_of_disk":
                return f"killed for having written more than the {self.allowed_mb:.0f} MB allowed"
            case "signal":
                return f"killed by {signal.Signals(self.code).name}"
            case "exit":
                return f"the worker exited with code {self.code} and wrote no outcome"


class Executor(Protocol):
    """Runs workers, several at once when it is called from several threads."""

    @property
    def threads(self) -> int:
        """CPU threads granted to each worker whose request has no share of its own."""
        ...

    @property
    def isolation(self) -> str:
        """Which wall stands round a worker: results and `unposed doctor` say it."""
        ...

    def run(self, request: Request) -> WorkerEnd:
        """Start a worker on `request.folder` and wait for its end. What it prints goes to the end of FOLDER/stderr.txt.

        Once this returns, no process of the worker is left. Raises Stopped where `stop` was called meanwhile,
        RuntimeError where no worker could be started.
        """
        ...

    def stop(self) -> None:
        """End every worker with its process tree; every later `run` raises Stopped."""
        ...
