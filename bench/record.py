"""Results as files: the truth of which every table, tracking store and report is a view."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from bench.cell import Cell
from bench.credentials import without_credentials
from bench.json_files import DECODER, encoded, read_json, read_regular, write_json
from bench.per_view import PerView
from bench.regime import effort_of

if TYPE_CHECKING:
    from pydantic import BaseModel

Status = Literal["done", "skipped", "collapsed", "timeout", "out_of_memory", "failed"]
RERUNNABLE: frozenset[Status] = frozenset({"timeout", "out_of_memory", "failed"})
"""Statuses that `run --retry-failed` runs again; all others stand until a fingerprint changes."""

ROTATION = "pose/rotation_deg_median"
SOLVED_BELOW_DEG = 5.0
"""A cell is a success where it is done and ROTATION is below this (the protocol, 7)."""

NO_BETTER = "pose: rotations no better than those of parallel cameras"
"""How a flag begins that says so: on a rig that faces one way, cameras that all look alike are a few degrees off."""

TOO_SHORT = "too short to converge"
"""Begins the flag of a fit at `smoke` that cannot be enough for its method. At other efforts it is no excuse."""

PRETRAINED = "pretrained"

Outcome = Literal[
    "solved", "answered", "short", "done", "collapsed", "skipped", "timeout", "out_of_memory", "failed",
]  # fmt: skip
OUTCOMES: Mapping[Outcome, str] = {
    "solved": "solved", "answered": "answered, not solved", "short": TOO_SHORT, "done": "answered",
    "collapsed": "collapsed", "skipped": "skipped", "timeout": "timeout", "out_of_memory": "out of memory",
    "failed": "failed",
}  # fmt: skip
"""How a cell ended, in words. One that is done was solved, or not, or could not be at its effort; `done` is what is
left where no pose was sought, so that nothing tells."""

GIVEN: Mapping[str, str] = {
    "camera": "intrinsics", "prior": "pose prior", "masks": "masks", "rough_start": "rough poses",
    "some_start": "true poses of some views", "start": "true poses", "estimate": "submitted poses",
    "pretrained": "a pretrained pose estimator",
}  # fmt: skip
"""What a method may be given beside images (`Capture.given`), in words and in a fixed order; the last is what it brings
along: a network that other data taught where cameras are."""


def given_in_words(given: Iterable[str]) -> str:
    """`intrinsics + pose prior`, `images only`: the same wherever it is printed."""
    held = set(given)
    return " + ".join(GIVEN.get(name, name) for name in (*GIVEN, *sorted(held - GIVEN.keys())) if name in held) or (
        "images only"
    )


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one cell is worth, with all that is needed to trust or repeat it.

    Files beside it: `fit/` (poses, field), `renders/` (`h000.aligned.png`, `h000.refined.png`, ...),
    `cameras.json` (see `read_cameras`), `log.jsonl` (the fit's curves), `stderr.txt`.
    """

    cell: Cell
    config: Mapping[str, Any]  # the method's whole config, defaults included
    status: Status
    protocol: str  # "posefree/2"
    reference: str = "exact"  # kind of truth (bench.scene.Reference)
    given: tuple[str, ...] = ()  # see Capture.given: "camera", "prior", "rough_start", ...
    given_in_full: Mapping[str, str] = field(default_factory=dict)  # "prior", "intrinsics", "masks", "start": in words
    tuned_on: tuple[str, ...] = ()  # scenes whose truth was in view when the method's settings were chosen
    pretrained_on: tuple[str, ...] = ()  # data that its weights had seen before the fit
    stage: str | None = None  # where it stopped: "load", "fit", "judge"
    reason: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)  # protocol columns -> value
    per_view: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # view id -> column -> value
    flags: tuple[str, ...] = ()  # shown beside the numbers: "nvs/aligned: constant image", ...
    absent: Mapping[str, str] = field(default_factory=dict)  # column -> why it has no value
    notes: Mapping[str, Any] = field(default_factory=dict)  # what the method and the judge had to say
    cost: Mapping[str, float] = field(default_factory=dict)  # fit_seconds, judge_seconds, peak_rss_mb, ...
    fingerprints: Mapping[str, str] = field(default_factory=dict)  # "fit", "judgement"
    ingredients: Mapping[str, Any] = field(default_factory=dict)  # what the fingerprints were made of
    provenance: Mapping[str, Any] = field(default_factory=dict)  # git, versions, threads, device, time, digests
    seal: Mapping[str, str] = field(default_factory=dict)  # over all the rest (see bench.runner.seal)

    @property
    def solved(self) -> bool:
        """Whether this is a success: a small rotation error, and no smaller one to be had from parallel cameras."""
        idle = any(flag.startswith(NO_BETTER) for flag in self.flags)
        return self.status == "done" and self.metrics.get(ROTATION, math.inf) < SOLVED_BELOW_DEG and not idle

    @property
    def outcome(self) -> Outcome:
        """How it ended: its status, with `done` told apart."""
        if self.status != "done" or ROTATION not in self.metrics:
            return self.status
        if self.solved:
            return "solved"
        said = effort_of(self.cell.effort) == "smoke" and any(flag.startswith(TOO_SHORT) for flag in self.flags)
        return "short" if said else "answered"

    @property
    def threads(self) -> int | None:
        """CPU threads of the fit: its seconds are compared with those of as many. None where nobody knows."""
        found = self.cost.get("threads", self.provenance.get("threads"))
        return None if found is None else int(found)

    @property
    def tuned_here(self) -> bool:
        """Whether this is a scene that its method was tuned on: the number flatters."""
        return self.cell.scene in self.tuned_on


def drawn(result: Result) -> int:
    """The draw of the degradation that a cell was shown. Earlier versions had one for all seeds, 0."""
    return result.ingredients.get("fit", {}).get("degradation", {}).get("seed", 0)


def canonical(result: Result) -> bytes:
    """The same bytes for the same content, before and after it was written and read."""
    held = {name: getattr(result, name) for name in result.__dataclass_fields__} | {"cell": asdict(result.cell)}
    return json.dumps(encoded(held), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def write_result(folder: Path, result: Result) -> None:
    write_json(folder / "result.json", asdict(result))


WANTING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""What this process lacks: no fault of the file that it was about to read."""


def read_result(folder: Path) -> Result:
    """Raises FileNotFoundError where there is none, ValueError where it cannot be read or is not one of ours."""
    path = folder / "result.json"
    try:
        raw = read_json(path)
        raw["cell"] = Cell(**raw["cell"])
        lists = ("given", "flags", "tuned_on", "pretrained_on")
        if command := raw.get("provenance", {}).get("command"):  # earlier versions wrote it as it was typed
            raw["provenance"]["command"] = without_credentials(command)
        result = Result(**raw | {name: tuple(raw[name]) for name in lists if name in raw})
        for part in (result, result.cell):
            _shape(type(part)).model_validate(vars(part))
        return result
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in WANTING:
            raise
        raise ValueError(f"{path}: cannot be read ({error.strerror or type(error).__name__})") from error
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        said = " ".join(str(error).removeprefix(f"{path} ").split())[:200]
        raise ValueError(f"{path}: not a result of this version of Unposed ({said})") from error


@lru_cache(maxsize=2)
def _shape(kind: type) -> type[BaseModel]:
    """What the fields of a result, or of its cell, must be: a file may have been written by anybody."""
    from pydantic import ConfigDict, create_model  # not for who reads no result

    fields: dict[str, Any] = {name: (hint, ...) for name, hint in get_type_hints(kind).items()}
    return create_model(kind.__name__, __config__=ConfigDict(strict=True), **fields)


_SEED = re.compile(r"seed\d+")


def read_suite(suite: Path, *, views: bool = True) -> list[tuple[Path, Result]]:
    """Every cell's folder and result below a suite's folder, in a fixed order; without `views`, `per_view` is empty.

    A `result.json` that is none of ours is left out, with one warning; so is what lies within a cell's folder, where
    methods leave files.
    """
    found: list[tuple[Path, Result]] = []
    for folder in cell_folders(suite):
        try:
            result = read_result(folder)
            found.append((folder, replace(result, per_view=PerView(result.per_view) if views else {})))
        except FileNotFoundError:
            continue
        except ValueError as error:
            _left_out(str(error))
    return sorted(found, key=lambda item: item[1].cell)


def cell_folders(folder: Path, depth: int = 0) -> Iterator[Path]:
    """Folders of cells, with a result or without, in the order of their paths; none is looked for within a cell's."""
    try:
        with os.scandir(folder) as entries:
            below = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    except OSError as error:
        if depth or isinstance(error, PermissionError | FileNotFoundError):
            return
        raise
    named = depth > 0 and bool(_SEED.fullmatch(folder.name))  # it may be a scene's name, too, while nothing is in it
    begun = named and any(name == "result.json" or (not inside and name[0] != ".") for name, inside in below)
    folders = [] if begun else [name for name, inside in below if inside]
    inner = [cell for name in folders for cell in cell_folders(folder / name, depth + 1)]
    if ("result.json", False) in below or (named and not inner):
        yield folder
    yield from inner


@lru_cache
def _left_out(what: str) -> None:
    """Say so once a process, however often its suite is read."""
    logging.getLogger("unposed").warning("%s; it is left out", what)


def kinds_of_suite(suite: Path) -> Counter[str]:
    """How many results of a suite are of fits on the CPU, `cpu`, and on GPUs, `cuda`; poses that were submitted are of
    neither, and what cannot be read is none."""
    found: Counter[str] = Counter()
    for folder in cell_folders(suite) if suite.is_dir() else ():
        try:
            raw = read_json(folder / "result.json")
            kind = str(raw["provenance"]["device"]).partition(":")[0]
            if raw["status"] != "skipped" and kind in ("cpu", "cuda") and "submitted" not in raw.get("notes", {}):
                found[kind] += 1
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
    return found


def cells_of(suite: Path, *, views: bool = True) -> list[tuple[Path, Result]]:
    """As `read_suite`, for those who need some. Raises ValueError where there are none."""
    found = read_suite(suite, views=views)
    if not found:
        raise ValueError(f"{suite} holds no results yet: `unposed run --out {shlex.quote(str(suite))}` makes some")
    return found


def find_cell(suite: Path, cell: str) -> tuple[Path, Result]:
    """Folder and result of one cell, by its id. Raises ValueError."""
    for folder, result in cells_of(suite):
        if result.cell.id == cell:
            return folder, result
    raise ValueError(f"{suite} has no cell {cell!r}; `unposed status --out {shlex.quote(str(suite))}` lists them")


def read_cameras(folder: Path) -> dict[str, Any] | None:
    """`cameras.json` of a judged cell, all poses in the truth's frame, or None.

    `{"camera": {...}, "truth": {view: 4x4}, "estimate": {view: 4x4}, "heldout": {view: 4x4}}`; views that
    are absent from `estimate` were not registered. Where nobody knows the true cameras, `truth` is empty, and all is in
    the method's own frame.
    """
    path = folder / "cameras.json"
    return read_json(path) if path.exists() else None


def read_log(folder: Path, name: str = "log.jsonl") -> list[dict[str, Any]]:
    """The fit's curves, or another log beside them: see `rows_of`."""
    try:
        return rows_of(read_regular(folder / name, None).decode(errors="replace"))
    except (OSError, ValueError):
        return []


def rows_of(text: str) -> list[dict[str, Any]]:
    """One {"step": int, "seconds": float, name: value, ...} a line of a log; a torn last line is dropped."""
    lines = text.splitlines()
    try:
        return list(filter(_is_row, DECODER.decode(f"[{','.join(lines)}]")))  # thousands of lines at once
    except (json.JSONDecodeError, RecursionError):
        return list(filter(_is_row, map(_row, lines)))


def _row(line: str) -> Any:
    try:
        return DECODER.decode(line)
    except (json.JSONDecodeError, RecursionError):
        return None


def _is_row(row: Any) -> bool:
    """Methods write into their log as they like: what has no step and no time is no point of a curve."""
    return isinstance(row, dict) and all(isinstance(row.get(name), (int, float)) for name in ("step", "seconds"))
