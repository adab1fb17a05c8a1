"""Folders in which workers work: outside of every suite, under names that say nothing, readable by nobody else.

A cell's scratch folder is noted in the cell (`running.json`), so that a run goes on with it after a kill.

    in/   what the worker is given: request.json, and what belongs to it
    out/  what it makes
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.poses_io.saved_fit import read_object
from bench.record import write_json

VARIABLE = "UNPOSED_SCRATCH"
LASTING = Path("/var/tmp")
ROOM = 2 * 2**30  # bytes that must be free there
FORGOTTEN = 30 * 86400.0  # seconds after which nobody comes back for a folder
NOTE = "running.json"


def root(suite: Path) -> Path:
    """A private folder: below UNPOSED_SCRATCH, or /var/tmp, or beside the suite where that is full or not ours."""
    chosen = os.environ.get(VARIABLE)
    for place in [Path(chosen).expanduser()] if chosen else [LASTING, suite.resolve().parent]:
        folder = place / f"unposed-{os.getuid()}"
        try:
            folder.mkdir(mode=0o700, parents=bool(chosen), exist_ok=True)
            found = folder.lstat()
            is_private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
            if is_private and shutil.disk_usage(folder).free > ROOM:
                return folder
        except OSError:
            continue
    raise ValueError(f"no place for scratch files: set {VARIABLE} to a folder of yours with more than 2 GB free")


def sweep(suite: Path) -> None:
    """Remove what suites that are gone left behind a month ago."""
    for folder in root(suite).iterdir():
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > FORGOTTEN:
                shutil.rmtree(folder, ignore_errors=True)


def make(suite: Path) -> Path:
    """A new folder with an empty `in` and `out`."""
    folder = Path(tempfile.mkdtemp(dir=root(suite)))
    for name in ("in", "out"):
        (folder / name).mkdir()
    return folder


@contextlib.contextmanager
def lent(suite: Path) -> Iterator[Path]:
    """A folder for one worker, gone afterwards."""
    folder = make(suite)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def note(cell: Path, folder: Path, fit: str) -> None:
    """Write into a cell where its fit, by its fingerprint, is at work."""
    write_json(cell / NOTE, {"folder": str(folder), "fit": fit})


def noted(cell: Path, fit: str | None = None) -> Path | None:
    """The folder in which this fit (None: any) of a cell is at work, complete, or None."""
    found = read_object(cell / NOTE)
    folder = Path(str(found.get("folder", "")))
    is_ours = folder.parent.name == f"unposed-{os.getuid()}"  # a suite from elsewhere may name any folder
    is_asked = fit in (None, found.get("fit"))
    return folder if is_ours and is_asked and (folder / "in" / "request.json").exists() else None


def forget(cell: Path) -> None:
    """Remove a cell's scratch folder and the note of it."""
    if folder := noted(cell):
        shutil.rmtree(folder, ignore_errors=True)
    (cell / NOTE).unlink(missing_ok=True)


def place(source: Path, target: Path) -> None:
    """A copy of a file or folder at `target`, which is not there yet; hard links where the file system allows it."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_linked)
    else:
        _linked(str(source), str(target))


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
