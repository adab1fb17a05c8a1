"""What MLflow is sent of one cell: pure readings of its result and its files."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.cell import Cell, split_degradation
from bench.record import Result, drawn, given_in_words, read_log
from bench.regime import effort_of
from bench.runner.progress import headline
from bench.runner.worker_io import LOG, USAGE

DENSE = 100
"""Points of all curves of one log together before they are thinned: see `_thinned`; the files keep every step."""

LEAST_DENSE = 16  # of a curve, however many there are

LONGEST = 5000  # letters of a tag or a parameter
LONGEST_NAME = 250  # of anything
DIGEST = 36  # of a dataset, at most


LOGS = {"fit": LOG, "system": USAGE}
"""Curves by the prefix of their names: those of the method, and what its fit used of the machine."""


class Point(NamedTuple):
    """A value of a metric; `seconds` since the fit began."""

    name: str
    value: float
    step: int
    seconds: float


class Picture(NamedTuple):
    """A picture of a series that MLflow shows step by step."""

    series: str
    step: int
    file: Path


def is_good(result: Result) -> bool:
    """Whether MLflow calls its run finished rather than failed."""
    return result.status in ("done", "skipped", "collapsed")


def tags_of(result: Result) -> dict[str, str]:
    """Among them what one filters by: `tags."unposed.solved" = 'false'`, `tags."unposed.outcome" = 'collapsed'`."""
    cell = result.cell
    tags = {
        "unposed.cell": cell.id,
        "unposed.status": result.status,
        "unposed.outcome": result.outcome,
        "unposed.solved": str(result.solved).lower(),
        "unposed.collapsed": str(result.status == "collapsed").lower(),
        "unposed.reason": result.reason or "",
        "unposed.stage": result.stage or "",
        "unposed.reference": result.reference,
        "unposed.tuned_here": str(result.tuned_here).lower(),
        "unposed.device": str(result.provenance.get("device", "")),
        "unposed.threads": str(result.threads or ""),
        "unposed.protocol": result.protocol,
        "unposed.given": given_in_words(result.given),
        "unposed.flags": "; ".join(result.flags),
        "unposed.git": str(result.provenance.get("git")),
        "unposed.fit_fingerprint": result.fingerprints.get("fit", ""),
        "mlflow.runName": cell.id,
        "mlflow.note.content": note_of(result),
    }
    return {name: text[:LONGEST] for name, text in tags.items()}


def note_of(result: Result) -> str:
    """The description of a run, Markdown."""
    cell = result.cell
    lines = [
        f"**{result.outcome}**: {headline(result)}",
        f"`{cell.method}` on `{cell.scene}` under `{cell.degradation}`, seed {cell.seed}, at `{cell.effort}`.",
        *(f"- {name}: {said}" for name, said in result.given_in_full.items()),
    ]
    return "\n\n".join(lines[:2]) + "".join(f"\n{line}" for line in ["", *lines[2:]] if lines[2:])


def params_of(result: Result) -> dict[str, str]:
    """The cell, and every value of its method's config."""
    params = {
        "draw": drawn(result), "protocol": result.protocol,
        **{f"config/{key}": value for key, value in _flat(result.config)},
    }  # fmt: skip
    return axes_of(result.cell) | {allowed(name): str(value)[:LONGEST] for name, value in params.items()}


def axes_of(cell: Cell) -> dict[str, str]:
    """The parameters of a cell that are known before it has a result."""
    kind, severity, _ = split_degradation(cell.degradation)
    params = {
        "scene": cell.scene, "degradation": cell.degradation, "kind": kind, "severity": f"{severity or 0:g}",
        "method": cell.method, "budget": effort_of(cell.effort), "seed": cell.seed, "effort": cell.effort,
    }  # fmt: skip
    return {name: str(value)[:LONGEST] for name, value in params.items()}


def points_of(folder: Path, result: Result) -> list[Point]:
    """Metrics of the protocol and of the cost, the fit's curves, and what it used of the machine while it ran."""
    final = {**result.metrics, **{f"cost/{key}": value for key, value in result.cost.items()}}
    points = [Point(allowed(name), value, 0, 0.0) for name, value in final.items() if math.isfinite(value)]
    return points + [point for prefix, file in LOGS.items() for point in curves_of(prefix, read_log(folder, file))]


def curves_of(prefix: str, rows: Sequence[dict[str, Any]], *, ended: bool = True) -> list[Point]:
    """Curves of one log. Those of a fit that has not `ended` are among those that it will have."""
    points = [
        Point(f"{prefix}/{key}", value, int(row["step"]), row["seconds"])
        for row in _thinned(rows, ended=ended)
        for key, value in row.items()
        if key != "step" and isinstance(value, int | float)
    ]
    return [point._replace(name=allowed(point.name)) for point in points if math.isfinite(point.value)]


def dataset_of(result: Result) -> dict[str, str]:
    """The scene, as MLflow describes a dataset; its digest is that of its content."""
    scene = result.ingredients.get("fit", {}).get("scene", {})
    profile = {"reference": result.reference, "shown": result.given_in_full.get("images", "nothing")}
    return {
        "name": result.cell.scene, "digest": str(scene.get("digest", "unknown"))[:DIGEST], "source_type": "unposed",
        "source": json.dumps({"scene": result.cell.scene, "degradation": result.cell.degradation}),
        "profile": json.dumps(profile),
    }  # fmt: skip


def pictures_of(folder: Path) -> Iterator[Picture]:
    """Previews of the fit, by their step."""
    yield from pictures_among((folder / "previews").glob("*.png"))


def pictures_among(files: Iterable[Path]) -> Iterator[Picture]:
    """Those of these files that are previews: `SERIES.STEP.png`."""
    for file in sorted(files):
        series, _, step = file.stem.rpartition(".")
        if file.suffix == ".png" and step.isdigit():
            yield Picture(re.sub(r"[^A-Za-z0-9_\-./ ]", "_", allowed(series)), int(step), file)


def allowed(name: str) -> str:
    """MLflow's names allow letters, digits, and `_-./ :`, and are those of a path without detours."""
    parts = re.sub(r"[^\w\-./ :]", "_", name).split("/")
    return "/".join(part for part in parts if part.strip("."))[:LONGEST_NAME] or "_"


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _thinned(rows: Sequence[dict[str, Any]], *, ended: bool) -> Iterator[dict[str, Any]]:
    """All of the first rows, then ever fewer, each as far from the one before as a share of its own place: of one curve
    100, of 1000 steps 293, of 10,000 518. Whether a row is kept depends on those before it only, so that what is
    sent while a fit runs stays right; the last one is kept once it is known to be the last."""
    names: set[str] = set()
    kept = -1
    for k, row in enumerate(rows):
        names |= row.keys()
        dense = max(LEAST_DENSE, DENSE // max(len(names) - 2, 1))  # beside the step and the seconds
        if k - kept > k // dense or (ended and k == len(rows) - 1):
            kept = k
            yield row
