"""How long fits and judgements took on this machine, in whichever suite: what a new one is planned and ordered by.

A line a cell, appended to `times.jsonl` in the user's cache; `UNPOSED_TIMES` names another file, and an empty one none.
Nothing of a result is in it but its name and its cost, and no result depends on it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench.cell import split_label
from bench.json_files import read_regular
from bench.record import Result
from bench.regime import parse_regime
from bench.runner.method_probe import folder as caches
from bench.runner.provenance import processor

VARIABLE = "UNPOSED_TIMES"
MOST = 2**20
"""Bytes of a file from which on a new one is begun; the one before it is still read."""

LONGEST = 1e9
"""Seconds; what says more was damaged."""


class Timed(NamedTuple):
    """What one cell took; None where it was not timed."""

    scene: str
    method: str  # its label
    effort: str
    device: str  # its kind: cpu, cuda
    threads: int | None
    fit_seconds: float | None
    judge_seconds: float | None


def timed(result: Result) -> Timed:
    """What a settled cell took."""
    device = str(result.provenance.get("device", "cpu")).partition(":")[0]
    cell, cost = result.cell, result.cost
    return Timed(
        cell.scene, cell.method, cell.effort, device, result.threads, cost.get("fit_seconds"), cost.get("judge_seconds")
    )  # fmt: skip


def remember(result: Result) -> None:
    """Note what a cell took that was fitted and judged here just now. A file that cannot be written is no fault."""
    path = place()
    if path is None:
        return
    row = {"hardware": _hardware(str(result.provenance.get("card", ""))), **timed(result)._asdict()}
    with contextlib.suppress(OSError, ValueError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > MOST:
            path.replace(_older(path))
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, json.dumps(row, allow_nan=False).encode() + b"\n")  # at once: others append, too
        finally:
            os.close(handle)


def remembered(card: str = "") -> list[Timed]:
    """Oldest first, of machines with this one's processor: a home may be on several. `card`: the GPU's name."""
    path, found = place(), []
    for each in (_older(path), path) if path else ():
        with contextlib.suppress(OSError, ValueError):
            found += list(_rows(read_regular(each, 4 * MOST), _hardware(card)))
    return found


def place() -> Path | None:
    """The file; None where nothing is to be remembered."""
    named = os.environ.get(VARIABLE)
    with contextlib.suppress(RuntimeError):  # nobody's home: ~nobody/times.jsonl
        path = caches().parent / "times.jsonl" if named is None else Path(named).expanduser()
        return path if named != "" and path.name else None  # `/` has no name
    return None


def _rows(lines: bytes, hardware: str) -> Iterator[Timed]:
    for line in lines.splitlines():
        with contextlib.suppress(ValueError, TypeError, AttributeError, RecursionError):  # half a line, a stranger's
            row = json.loads(line)
            if row.pop("hardware") == hardware and _is_sound(made := Timed(**row)):
                yield made


def _is_sound(row: Timed) -> bool:
    """Whether it has the types of its fields, and names that can be read. Raises ValueError."""
    if not all(isinstance(text, str) for text in (row.scene, row.method, row.effort, row.device)):
        return False
    split_label(row.method)
    parse_regime(row.effort)
    seconds = [amount for amount in (row.fit_seconds, row.judge_seconds) if amount is not None]
    return all(_is_number(amount) and 0 <= amount <= LONGEST for amount in seconds)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _older(path: Path) -> Path:
    return path.with_name(path.name + ".old")


def _hardware(card: str) -> str:
    return " + ".join(filter(None, [processor(), card]))
