"""Several runs of one matrix at once, on machines that share the suite's folder and nothing else.

Each of n runs begins with its own cells and goes on with those that the others have not begun. A cell is claimed by a
lock on a file in its folder, which the system gives up when its holder ends, however it does: a run that dies loses
the cell that it was at, and another one takes it up.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import math
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.record import cell_folders
from bench.runner.drafts import sweep_cell
from bench.runner.scratch import NOTE

CLAIM = ".claim"

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """The `index`-th of `count` runs, counted from 1."""

    index: int
    count: int

    @staticmethod
    def parse(text: str) -> Shard:
        """Of `3/8`. Raises ValueError."""
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ValueError(f"--shard {text}: write I/N, as 3/8, with I from 1 to N")
        return Shard(int(match[1]), int(match[2]))

    def order(self, cells: Sequence[T]) -> list[T]:
        """Its own cells, every n-th, then those of the others, the next one's first."""
        first, most = self.index - 1, len(cells)  # runs that begin behind the last cell have none, be they billions
        begun_at = [*range(first, min(self.count, most)), *range(min(first, most))]
        return [cell for at in begun_at for cell in cells[at :: self.count]]


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Whether a cell is ours, and nobody else's, until the end. What kills left of its drafts is gone then.

    Raises OSError where the file system has no locks.
    """
    with (folder / CLAIM).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        sweep_cell(folder)
        yield True


def unfinished(suite: Path) -> list[str]:
    """Folders, within the suite, of cells that were begun and have no result."""
    begun = (folder for folder in cell_folders(suite) if (folder / NOTE).exists())
    return [str(folder.relative_to(suite)) for folder in begun if not (folder / "result.json").exists()]


def without(arguments: Sequence[str], option: str) -> list[str]:
    """A command line without an option and its value, however often it is there."""
    kept = [each for each in arguments if not each.startswith(f"{option}=")]
    while option in kept:
        k = kept.index(option)
        del kept[k : k + 2]
    return kept


def longest_job(lengths: Iterable[float], count: int) -> float:
    """What the longest of `count` jobs takes, each cell being whole: the longest goes first, each to the job that has
    least. Lengths are in seconds, and so is what is returned."""
    longest = sorted(lengths, reverse=True)
    loads = [0.0] * min(count, len(longest))
    for length in longest:
        heapq.heapreplace(loads, loads[0] + length)
    return max(loads, default=0.0)


def sbatch(
    arguments: Sequence[str], count: int, *, threads: int, seconds: float, gpus: int, memory: float | None = None
) -> str:
    """The line that submits `unposed run ARGUMENTS` to SLURM as an array of `count` jobs.

    `seconds` is what the fits of the longest job are expected to take on `threads` CPU threads (see `longest_job`);
    each job may take twice that and half an hour. Cells that are taken up as jobs are free end within twice the time of
    those dealt out beforehand, in whatever order they come. `memory` is in GB; None: what SLURM gives unasked.
    """
    run = shlex.join(["unposed", "run", *arguments]) + f" --shard $SLURM_ARRAY_TASK_ID/{count}"
    minutes = math.ceil(2 * seconds / 60) + 30
    wanted = [
        f"--array=1-{count}",
        f"--cpus-per-task={threads}",
        f"--time={minutes}",
        *([f"--mem={math.ceil(memory)}G"] if memory else []),
        *([f"--gpus={gpus}"] if gpus else []),
    ]
    return f"sbatch --job-name=unposed {' '.join(wanted)} --wrap={shlex.quote(run)}"
