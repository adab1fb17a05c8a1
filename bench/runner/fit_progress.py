"""Where a fit is while its worker is at it: read from the worker's folder, as far as anything can be read there."""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from bench.runner import worker_io
from bench.runner.fit_clock import CLOCK
from bench.runner.scratch import noted

TAIL = 4096  # bytes at the end of a log
LETTERS = 40  # of a phase
LOSSES = 2  # shown at once
MOST = 1e15  # of steps, or seconds: what is more was not counted


class FitProgress(NamedTuple):
    """What a method says of its fit. None of it is trusted, and none of it is kept."""

    phase: str = ""
    step: int = 0
    steps: int = 0  # of the whole fit; 0: it does not say
    losses: Mapping[str, float] = {}  # name -> value, the first ones of the last point of its curves
    psnr: float | None = None  # dB, of the same point
    previews: Path | None = None  # folder, once there is a picture
    spent: float | None = None  # wall seconds, those before a kill included

    @property
    def share(self) -> float | None:
        """Of the steps that are done, in [0, 1]."""
        return min(self.step / self.steps, 1.0) if self.steps > 0 else None


def read_progress(cell: Path) -> FitProgress | None:
    """Of the fit that is at work for a cell; None where there is none. Whatever cannot be read is left out."""
    if (out := at_work(cell)) is None:
        return None
    said = _object(_tail(out / worker_io.PROGRESS))
    spent: Any = _object(_tail(out / CLOCK)).get("seconds")
    rows = [row for line in _tail(out / worker_io.LOG).splitlines() if (row := _object(line))]
    point = next((row for row in reversed(rows) if _losses(row) or "psnr" in row), {})
    counted = [row for row in rows if "step" in row][-1:]
    return FitProgress(
        phase=_name(said.get("phase", "")),
        step=_count(said.get("step") if said else counted[0]["step"] if counted else 0),
        steps=_count(said.get("steps")),
        losses=_losses(point),
        psnr=point["psnr"] if _is_number(point.get("psnr")) else None,
        previews=out / "previews" if _is_folder(out / "previews") else None,
        spent=max(0.0, float(spent)) if _is_number(spent) else None,
    )


def phases(said: object) -> dict[str, dict[str, float]]:
    """`steps` and wall `seconds` of each phase of a fit, as its worker says; whatever is no number is left out."""
    found: dict[str, dict[str, float]] = {}
    for phase, spent in list(said.items())[: worker_io.PHASES] if isinstance(said, dict) else ():
        steps, seconds = (spent.get("steps"), spent.get("seconds")) if isinstance(spent, dict) else (None, None)
        if not (_is_number(steps) and _is_number(seconds) and min(steps, seconds) >= 0 and max(steps, seconds) <= MOST):
            continue
        if name := _name(phase):
            before = found.get(name, {"steps": 0, "seconds": 0.0})  # of one whose name begins with the same letters
            found[name] = {"steps": before["steps"] + int(steps), "seconds": before["seconds"] + float(seconds)}
    return found


def at_work(cell: Path) -> Path | None:
    """Where the worker of a cell's fit leaves its files, none of which is trusted; None where there is no fit."""
    try:
        scratch = noted(cell)
    except (OSError, ValueError, KeyError):  # it has just ended
        return None
    return scratch and scratch / "out"


def files_of(folder: Path) -> list[Path]:
    """What lies in a folder of the worker's, in order; nothing where it is a link or cannot be read."""
    with contextlib.suppress(OSError):
        return sorted(folder.iterdir()) if _is_folder(folder) else []
    return []


def content(path: Path, most: int, *, end: bool = False) -> bytes | None:
    """Of a worker's file of at most so many bytes; of a longer one its `end`, or None. Nothing of a link or a device,
    which could lead anywhere and make whoever reads it wait."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with os.fdopen(file, "rb") as opened:
        found = os.fstat(opened.fileno())
        if not stat.S_ISREG(found.st_mode):
            return b""
        if found.st_size > most and not end:
            return None
        opened.seek(max(0, found.st_size - most))
        return opened.read(most)


def _name(phase: object) -> str:
    return "".join(letter for letter in str(phase)[:LETTERS] if letter.isprintable())


def _losses(row: Mapping[str, Any]) -> dict[str, float]:
    names = [name for name in row if name.partition("/")[0] == "loss" and _is_number(row[name])]
    return {"".join(filter(str.isprintable, name))[:LETTERS]: row[name] for name in names[:LOSSES]}


def _is_number(value: Any) -> TypeGuard[int | float]:
    with contextlib.suppress(OverflowError):  # a whole number beyond all floats
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return False


def _count(value: Any) -> int:
    return max(0, int(value)) if _is_number(value) else 0


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_folder(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISDIR(path.lstat().st_mode)
    return False


def _tail(path: Path) -> str:
    return (content(path, TAIL, end=True) or b"").decode("utf-8", "replace")
