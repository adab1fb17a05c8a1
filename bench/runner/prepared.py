"""What a method prepares for a capture, once for all cells that show and ask it the same (`Traits.prepares`).

It is kept among this machine's caches, where no worker sees it, under a digest of all that decides it: the capture as
the method was shown it, its code, its libraries, the options that it names; not the seed, and not the mapper. It is
copied into a cell's folder before its fit, once its files are those that were kept, and that fit's clock begins at the
seconds which making it took: a cell that takes it over pays for it as the one that made it did, in its cost and of its
limit. Cells that are at it at once each make their own; the first one's is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.files import read_arrays, remove, replacing
from bench.matrix.plan import Planned
from bench.record import read_json, write_json
from bench.runner import worker_io
from bench.runner.fit_clock import CLOCK
from bench.runner.method_probe import folder as caches
from bench.runner.provenance import versions
from bench.task import INTERFACE

PREPARED, MADE, KEPT = "prepared", "seconds.json", "kept.json"
TAKEN = "prepared.json"
"""In a worker's `in/`: what of its seconds another cell spent."""

_log = logging.getLogger("unposed")

UNUSED = 30 * 86400.0  # seconds after which nobody comes back for one


def key(planned: Planned, given: Path, device: str) -> str:
    """Of all that decides what is prepared for this cell; `given` holds its capture."""
    method = planned.method
    decides = {
        "capture": _of_capture(given),
        "method": {"name": method.method.name, "version": method.method.version},
        "options": {name: method.config[name] for name in method.method.traits.prepares},
        "code": method.ref.code(),
        "libraries": versions(method.ref.libraries() | set(method.method.traits.packages)),
        **({"environment": method.environment()} if method.ref.python else {}),
        "device": device.partition(":")[0],
        "interface": INTERFACE,
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def take_over(kept: Path, scratch: Path) -> None:
    """Give a fit that has not begun what is `kept` in the store, where there is something and it is whole. The clock is
    written last: with it, all of this is done."""
    out = scratch / "out"
    target = out / "work" / PREPARED
    if (out / CLOCK).exists() or not kept.is_dir():
        return
    with contextlib.suppress(OSError):
        draft = out / f".{PREPARED}.tmp"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(kept, draft)
        if (seconds := _seconds_if_whole(draft)) is None:
            _log.warning("%s: it is not as a fit left it, or says of no possible time; it is made again", kept)
            shutil.rmtree(kept, ignore_errors=True)
            shutil.rmtree(draft, ignore_errors=True)
            return
        (draft / KEPT).unlink()
        target.parent.mkdir(exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        draft.replace(target)
        write_json(scratch / "in" / TAKEN, {"seconds": seconds})
        write_json(out / CLOCK, {"seconds": seconds, "before": seconds, "sessions": 0})
        kept.touch()


def keep(kept: Path, out: Path, fit_seconds: float) -> None:
    """Keep what a fit prepared, where that is complete and nothing is kept there; refuse it where it says of more
    seconds than the fit had."""
    made = out / "work" / PREPARED
    if kept.exists() or not (made / MADE).is_file():
        return
    with contextlib.suppress(OSError, worker_io.ForeignFile):
        if _said(worker_io.own(made / MADE), fit_seconds) is None:
            fault = f"its {MADE} must hold {{'seconds': s}}, s from 0 to the {fit_seconds:.3g} s that the fit took"
            _log.warning("%s: what a method prepared is not kept: %s", kept.name[:12], fault)
            return
        _sweep(kept.parent)
        with replacing(kept) as draft:
            shutil.copytree(worker_io.own(made), draft)
            write_json(draft / KEPT, {"sha256": _digests(draft), "fit_seconds": fit_seconds})


def seconds_of(scratch: Path, fit_seconds: float) -> dict[str, float]:
    """What of a fit's seconds was spent on what it prepared: `preparation_seconds`, by its own word, and of these,
    where they were another cell's, `preparation_shared`. Neither where it says of more than there were."""
    made, taken = scratch / "out" / "work" / PREPARED / MADE, scratch / "in" / TAKEN
    with contextlib.suppress(OSError, worker_io.ForeignFile):
        found = {"preparation_seconds": _said(worker_io.own(made), fit_seconds)}
        found |= {"preparation_shared": _said(taken, fit_seconds)} if taken.exists() else {}
        return {name: seconds for name, seconds in found.items() if seconds is not None}
    return {}


def store() -> Path:
    """Where it is kept, beside the caches of scenes."""
    return caches().with_name(PREPARED)


def _said(file: Path, most: float) -> float | None:
    """The seconds in a file, where they are possible: from 0 to `most`. Raises OSError."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        seconds = float(read_json(file)["seconds"])
        return seconds if 0.0 <= seconds <= most < math.inf else None
    return None


def _seconds_if_whole(folder: Path) -> float | None:
    """What making it took, where it is as it was kept."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = read_json(folder / KEPT)
        return _said(folder / MADE, float(kept["fit_seconds"])) if kept["sha256"] == _digests(folder) else None
    return None


def _sweep(folder: Path) -> None:
    """Make the store, and remove what has not been used for a month."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in folder.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - entry.stat().st_mtime > UNUSED:
                remove(entry)


def _digests(folder: Path) -> Mapping[str, str]:
    """sha256 of every file but the one that holds these."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != KEPT
    }


def _of_capture(given: Path) -> str:
    """Of what is in it, whatever the file's own dates; `start` and all else that was given included."""
    digest = hashlib.sha256(json.dumps(read_json(given / "capture.json"), sort_keys=True).encode())
    arrays: dict[str, np.ndarray[Any, Any]] = read_arrays(given / "capture.npz")
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, array.shape, str(array.dtype)]).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
