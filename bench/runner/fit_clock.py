"""Seconds that a fit has used, kept by its worker's heartbeat, and set back to its last checkpoint after a kill."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.files import replacing
from bench.poses_io.saved_fit import read_object
from bench.runner import worker_io

CLOCK = "clock.json"
LOGS = (worker_io.LOG, worker_io.USAGE)
"""What a fit writes as it goes on, and a cell keeps."""

MTIME_STEP = 0.02
"""Seconds by which the times that a file system keeps of its files may be early."""


def spent(folder: Path) -> float:
    """Wall seconds that this fit has used so far, those before a kill included; none where its clock is broken."""
    clock = folder / CLOCK
    return _number(read_object(worker_io.own(clock)), "seconds") if clock.exists() else 0.0


def wind_back(out: Path) -> None:
    """After a run was killed: set a fit's clock and curves back to its last checkpoint. What came after it is done
    again, and nobody pays for it twice; a fit without a checkpoint begins anew."""
    clock = out / CLOCK
    if (out / "outcome.json").exists() or not clock.exists():
        return
    said = read_object(worker_io.own(clock))
    written = [path.stat().st_mtime for path in _files_of(out / "work")]
    age = clock.stat().st_mtime - max(written, default=-math.inf)
    kept = max(_number(said, "seconds") - age, _number(said, "before") if written else 0.0, 0.0)
    with replacing(clock) as draft:
        draft.write_text(json.dumps({**said, "seconds": kept}))
        if written:  # of that moment, too: wound back once more, before a worker is up, it must say the same
            os.utime(draft, (max(written), max(written)))
    for log in (out / name for name in LOGS if (out / name).exists()):
        rows = worker_io.own(log).read_text(encoding="utf-8", errors="replace").splitlines()
        still = [f"{row}\n" for row in rows if _seconds(row) <= kept + MTIME_STEP]
        with replacing(log) as draft:
            draft.write_text("".join(still), encoding="utf-8")


def _number(said: Mapping[str, Any], name: str) -> float:
    found = said.get(name)
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else 0.0


def _files_of(work: Path) -> list[Path]:
    return [path for path in worker_io.own(work).rglob("*") if path.is_file()] if os.path.lexists(work) else []


def _seconds(row: str) -> float:
    """When a line of a log was written; never, for one that says nothing of it."""
    try:
        return float(json.loads(row)["seconds"])
    except (ValueError, KeyError, TypeError):
        return math.inf
