"""`unposed submit`: an answer made elsewhere becomes the cells of a run, each with what was brought."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench.degrade import degrade, degrade_truth
from bench.matrix.plan import Plan, plan, skip_reason
from bench.matrix.selection import Selection
from bench.poses_io.submission import bring
from bench.record import Result
from bench.regime import pixels_of
from bench.submission import HELDOUT

JUDGED, TRAINED = "poses", "poses+nerf"
"""The methods whose rows these are: poses alone, and the shared field trained on them."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def plan_submission(
    path: Path, *, scene: str, name: str, degradation: str, seeds: str, effort: str, renders: Path | None,
    train: bool, options: str = "", roots: Sequence[Path], suite: Path | None = None,
) -> Plan:  # fmt: skip
    """Cells that judge the estimate in `path` as an answer to one scene and degradation; with `train`, of a field with
    these `options`.

    Raises ValueError, before anything is written, for whatever does not fit.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"--name {name!r}: a name is letters, digits, dots, hyphens and underscores")
    if train and renders:
        raise ValueError("--train renders with the field that it trains; leave out --renders, or --train")
    if options and not train:
        raise ValueError(f"--options {options}: these are of a field, which --train asks for")
    method, chosen = TRAINED if train else JUDGED, ",".join(filter(None, [f"name={name}", options]))
    made = plan(Selection(scenes=scene, methods=f"{method}[{chosen}]", degradations=degradation,
        seeds=seeds, effort=effort, roots=tuple(roots), suite=suite))  # fmt: skip
    first = made.cells[0]
    if any(each.cell.scene != first.cell.scene or each.degradation != first.degradation for each in made.cells):
        raise ValueError(
            "submit: an answer is one scene's under one degradation and draw; submit it to each in turn, or fix the "
            "draw, as noise@3#0"
        )
    loaded = first.source.load(pixels_of(effort))
    capture = degrade(loaded.capture, first.degradation, loaded.name)
    truth = degrade_truth(loaded.truth, first.degradation).only(capture.images)
    submission = bring(path, renders, capture, truth)
    skip = skip_reason(first.source, first.degradation, first.method, submitted=True)
    return replace(made, cells=tuple(replace(each, submission=submission, skip=skip) for each in made.cells))


def remarks(made: Plan, suite: Path, results: Sequence[Result]) -> Iterator[str]:
    """What whoever submitted should know next."""
    submission = made.cells[0].submission
    for name, text in submission.notes.items() if submission else ():
        yield f"{name.replace('_', ' ')}: {text}"
    heldout = suite / results[0].cell.folder / HELDOUT
    if submission and submission.renders is None and made.cells[0].method.method.name == JUDGED and heldout.exists():
        yield (
            f"held-out cameras in your own frame: {heldout}; render them as h000.png, ... "
            "and submit again with --renders DIR, or have a field trained with --train"
        )
