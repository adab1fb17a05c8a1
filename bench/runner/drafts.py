"""What kills leave of files and folders that a run writes whole: found by their exact names, in the places where a run
makes them, and nowhere else. A suite's folder may be any folder of a person's, and hold what is his."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.files import remove
from bench.matrix.suite_file import NAME
from bench.poses_io.saved_fit import OUTCOME, REQUEST
from bench.poses_io.submission import SUBMISSION
from bench.record import cell_folders
from bench.results_table import TABLES
from bench.runner.fit_clock import LOGS
from bench.runner.scratch import NOTE
from bench.submission import HELDOUT

DRAFT = re.compile(r"\.(?P<name>.+)\.\d+-\d+\.tmp")
"""As `bench.files.replacing` names them."""

PICTURE_DRAFT = re.compile(r"\.[^.]+(\.\w+)?\.png\.\d+\.tmp")
"""As the judge names its pictures."""

PROBE = re.compile(r"\.\d+\.probe\.tmp")
"""As `bench.runner.refusals` names the file with which it tries whether a folder can be written to."""

FIT_DRAFT = ".fit.tmp"
OF_SUITE = {*TABLES, NAME, "stress.csv", "stress.json", ".tracked.jsonl"}
OF_CELL = {"result.json", NOTE, "cameras.json", HELDOUT, *LOGS}
OF_FIT = {REQUEST, OUTCOME}


def sweep_suite(suite: Path) -> None:
    """Remove the drafts of a suite, its cells and its reports. Nobody else may be writing there."""
    _sweep(suite, _of(OF_SUITE))
    _sweep(suite, PROBE.fullmatch)
    for pages in ("report", "paper"):
        for place, _, _ in os.walk(suite / pages):
            _sweep(Path(place), _of(None))
    pictures: set[Path] = set()
    for cell in cell_folders(suite):
        sweep_cell(cell)
        pictures |= {cell.parent.parent / name for name in ("truth", "shown")}
    for folder in sorted(pictures):
        _sweep(folder, PICTURE_DRAFT.fullmatch)


def sweep_cell(cell: Path) -> None:
    """Remove the drafts of a cell, its fit and its renders. Nobody else may be at this cell."""
    _sweep(cell, _of(OF_CELL))
    _sweep(cell / "fit", _of(OF_FIT))
    _sweep(cell / "renders", PICTURE_DRAFT.fullmatch)
    for entry in _entries(cell):
        match = DRAFT.fullmatch(entry.name)
        if entry.name == FIT_DRAFT or (match and match["name"] == SUBMISSION):
            remove(Path(entry.path))


def _of(names: set[str] | None) -> Callable[[str], bool]:
    """Whether a name is that of a draft of one of these files, or of any."""

    def is_draft(name: str) -> bool:
        match = DRAFT.fullmatch(name)
        return match is not None and (names is None or match["name"] in names)

    return is_draft


def _sweep(folder: Path, is_draft: Callable[[str], object]) -> None:
    for entry in _entries(folder):
        if is_draft(entry.name) and entry.is_file(follow_symlinks=False):
            remove(Path(entry.path))


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What lies in a folder; nothing where it is none, or is elsewhere."""
    if folder.is_dir() and not folder.is_symlink():
        with os.scandir(folder) as entries:
            yield from list(entries)
