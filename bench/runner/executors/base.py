"""What the runner asks of whatever runs worker processes: local processes today, a cluster tomorrow."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Verb = Literal["fit", "render", "look"]
"""What a worker is asked to do (see bench.runner.worker)."""


class Stopped(Exception):  # noqa: N818 - an outcome, not a fault
    """The run was interrupted: the cell keeps its checkpoints and has no result yet."""


@dataclass(frozen=True, kw_only=True)
class WorkerEnd:
    """How a worker process ended, as seen from outside."""

    kind: Literal["exit", "signal", "timeout", "out_of_memory"]
    code: int  # exit code or signal number
    seconds: float  # wall time of the process
    peak_rss_mb: float  # of the whole process tree, sampled; MB are 2^20 bytes

    @property
    def reason(self) -> str:
        """Why there is no outcome, in a sentence for the result."""
        match self.kind:
            case "timeout":
                return f"killed at the time limit, after {self.seconds:.0f} s"
            case "out_of_memory":
                return f"killed for memory at {self.peak_rss_mb:.0f} MB"
            case "signal":
                return f"killed by {signal.Signals(self.code).name}"
            case "exit":
                return f"the worker exited with code {self.code} and wrote no outcome"


class Executor(Protocol):
    """Runs workers, several at once when it is called from several threads."""

    @property
    def threads(self) -> int:
        """CPU threads granted to each worker."""
        ...

    def run(self, verb: Verb, folder: Path, *, limit: float, stderr: Path) -> WorkerEnd:
        """`python -m bench.runner.worker VERB FOLDER`, waited for and bounded to `limit` wall seconds.

        What the worker prints goes to the end of `stderr`. Once this returns, no process of the worker is left.
        Raises Stopped where `stop` was called meanwhile.
        """
        ...

    def stop(self) -> None:
        """End every worker with its process tree; every later `run` raises Stopped."""
        ...
