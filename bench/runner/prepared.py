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

PREPARED, MADE, DIGESTS = "prepared", "seconds.json", "sha256.json"
TAKEN = "prepared.json"
"""In a worker's `in/`: what of its seconds another cell spent."""

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


def take_over(name: str, scratch: Path) -> None:
    """Give a fit that has not begun what is kept under this name, where there is something and it is whole. The clock
    is written last: with it, all of this is done."""
    kept, out = _store() / name, scratch / "out"
    target = out / "work" / PREPARED
    if (out / CLOCK).exists() or not kept.is_dir():
        return
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        draft = out / f".{PREPARED}.tmp"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(kept, draft)
        if read_json(draft / DIGESTS) != _digests(draft):
            shutil.rmtree(kept, ignore_errors=True)
            shutil.rmtree(draft, ignore_errors=True)
            return
        seconds = float(read_json(draft / MADE)["seconds"])
        (draft / DIGESTS).unlink()
        target.parent.mkdir(exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        draft.replace(target)
        write_json(scratch / "in" / TAKEN, {"seconds": seconds})
        write_json(out / CLOCK, {"seconds": seconds, "before": seconds, "sessions": 0})
        kept.touch()


def keep(name: str, out: Path) -> None:
    """Keep what a fit prepared, where that is complete and nothing is kept under this name."""
    made = out / "work" / PREPARED
    if (_store() / name).exists() or not (made / MADE).is_file():
        return
    with contextlib.suppress(OSError, worker_io.ForeignFile):
        _sweep()
        with replacing(_store() / name) as draft:
            shutil.copytree(worker_io.own(made), draft)
            write_json(draft / DIGESTS, _digests(draft))


def seconds_of(scratch: Path) -> dict[str, float]:
    """What of a fit's seconds was spent on what it prepared: `preparation_seconds`, by its own word, and of these,
    where they were another cell's, `preparation_shared`."""
    made, taken = scratch / "out" / "work" / PREPARED / MADE, scratch / "in" / TAKEN
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, worker_io.ForeignFile):
        said = {"preparation_seconds": float(read_json(worker_io.own(made))["seconds"])}
        return said | ({"preparation_shared": float(read_json(taken)["seconds"])} if taken.exists() else {})
    return {}


def _store() -> Path:
    return caches().with_name(PREPARED)


def _sweep() -> None:
    """Make the store, and remove what has not been used for a month."""
    _store().mkdir(parents=True, exist_ok=True)
    for entry in _store().iterdir():
        with contextlib.suppress(OSError):
            if time.time() - entry.stat().st_mtime > UNUSED:
                remove(entry)


def _digests(folder: Path) -> Mapping[str, str]:
    """sha256 of every file but that of these."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != DIGESTS
    }


def _of_capture(given: Path) -> str:
    """Of what is in it, whatever the file's own dates; `start` and all else that was given included."""
    digest = hashlib.sha256(json.dumps(read_json(given / "capture.json"), sort_keys=True).encode())
    arrays: dict[str, np.ndarray[Any, Any]] = read_arrays(given / "capture.npz")
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, array.shape, str(array.dtype)]).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
