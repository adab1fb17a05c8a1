"""What a method answered, as a cell keeps it in `fit/`, and whether that is what was kept.

`fit/outcome.json` holds the sha256 of the capture's description, of the poses and of every file of the field, or of the
checkpoints of a fit that had too little time, and one of itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.files import printable
from bench.record import encoded, read_json, write_json
from bench.task import Camera, Fit, ViewId

POSES, OUTCOME, REQUEST = "poses.json", "outcome.json", "request.json"
DESCRIBED = ("capture.json", "start.json", POSES)
OWN = "digest"


def read_fit(folder: Path) -> Fit:
    """The poses, camera, notes, flags and margins of a saved fit; its field stays where it is. Raises ValueError for
    poses that are not those that were kept."""
    refuse_changed(folder, POSES)
    raw = read_json(folder / POSES)
    return Fit(
        poses={ViewId(view): np.array(pose, dtype=np.float64) for view, pose in raw["poses"].items()},
        camera=Camera(**raw["camera"]) if raw["camera"] else None,
        notes=printable(raw["notes"]),
        flags=tuple(printable(raw.get("flags", ()))),  # absent from fits of earlier versions, as margins are
        margins={ViewId(view): float(margin) for view, margin in (raw.get("margins") or {}).items()},
    )


def digests(folder: Path) -> dict[str, str]:
    """sha256 of what is kept of a fit, by path below `fit/`."""
    return {name: _digest(file) for name, file in _files(folder)}


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file's object; empty where there is none that can be read."""
    try:
        found = read_json(path)
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write_outcome(folder: Path, outcome: Mapping[str, Any]) -> dict[str, Any]:
    """Keep how a fit ended, with the digests of what lies in its folder by now. Returns both."""
    said = {**outcome, "sha256": digests(folder)}
    write_json(folder / OUTCOME, {**said, OWN: _digest_of(said)})
    return said


def read_outcome(folder: Path) -> dict[str, Any]:
    """How a fit ended; empty where nobody wrote it, or where it is not what was written."""
    said = read_object(folder / OUTCOME)
    own = said.pop(OWN, None)  # none in fits of earlier versions
    return said if own in (None, _digest_of(said)) else {}


def damage(folder: Path, below: str = "") -> str | None:
    """What is not as it was kept in `fit/`, or in the part of it whose paths begin with `below`, in words; or None."""
    if (folder / OUTCOME).exists() and not read_outcome(folder):
        return f"fit/{OUTCOME} was changed after it was kept"
    kept = _kept(folder)
    if not kept:
        return None
    now = {name: file for name, file in _files(folder) if name.startswith(below)}
    for name, digest in kept.items():
        if name.startswith(below) and (found := _difference(now[name], digest) if name in now else "is gone"):
            return f"fit/{name} {found}"
    strangers = sorted(name for name in now if _is_stranger(name, kept))
    return f"fit/{strangers[0]} was put there" if strangers else None


def touched(folder: Path) -> str | None:
    """As `damage`, by a look at the files' times first: of files that are older than the outcome nothing is read, and
    those that are gone, to save room, are not missed by a result that stands; a copy of the suite has new times, and
    what an earlier version kept no digest of in it is no change."""
    for name, found in ((OUTCOME, read_outcome(folder)), (REQUEST, read_object(folder / REQUEST))):
        if (folder / name).exists() and not found:
            return f"fit/{name} was changed after it was kept"
    kept = _kept(folder)
    written = _changed_at(folder / OUTCOME)
    for name, file in _files(folder) if kept else ():
        if _changed_at(file) <= written:
            continue
        if name in kept and (found := _difference(file, kept[name])):
            return f"fit/{name} {found}"
        if _is_stranger(name, kept):
            return f"fit/{name} was put there"
    return None


def refuse_changed(folder: Path, below: str = "") -> None:
    """Raises ValueError where something in a cell's `fit/` is not as it was kept."""
    if found := damage(folder, below):
        raise ValueError(f"{folder.parent}: {found}; `unposed run` fits this cell again")


def _kept(folder: Path) -> Mapping[str, str]:
    """None of fits of earlier versions, and of those that failed."""
    found = read_outcome(folder).get("sha256")
    return found if isinstance(found, dict) else {}


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """What there is of a fit, by path below `fit/`."""
    parts = (each for part in ("field", "work") for each in sorted((folder / part).rglob("*")))
    paths = (*(folder / name for name in DESCRIBED), *parts)
    return ((path.relative_to(folder).as_posix(), path) for path in paths if path.is_file())


def _is_stranger(name: str, kept: Mapping[str, str]) -> bool:
    """Whether a file of the field is none that was kept. What begins with a dot is left by file managers and network
    file systems in any folder (`.DS_Store`, `.nfs0001`)."""
    return name.startswith("field/") and name not in kept and not any(part[0] == "." for part in name.split("/"))


def _difference(file: Path, digest: str) -> str | None:
    """What a file that was kept is by now, in words; None where it is the same."""
    try:
        return None if _digest(file) == digest else "was changed after it was kept"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _changed_at(file: Path) -> int:
    """0 for one that is gone meanwhile: another run may be at work on the same cell."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _digest_of(said: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(encoded(said), sort_keys=True).encode()).hexdigest()
