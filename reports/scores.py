"""Results as questions and answers: which rows may stand in one table, and the scores of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.record import Result
from reports import stats

ROTATION, PSNR, IOU = "pose/rotation_deg_median", "nvs/aligned/psnr", "nvs/aligned/iou"
MEAN_COLOUR = "nvs/mean_colour/psnr"
GIFTS = {
    "camera": "intrinsics", "prior": "pose prior", "masks": "masks", "rough_start": "rough poses",
    "some_start": "true poses of some views", "start": "true poses", "estimate": "submitted poses",
}  # fmt: skip
STATUSES = {
    "done": "done", "collapsed": "collapsed", "failed": "failed", "timeout": "timeout",
    "out_of_memory": "out of memory", "skipped": "skipped",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, order=True)
class Question:
    """What rows of one table share. Numbers of two efforts, protocols or kinds of truth never meet in a table."""

    scene: str
    degradation: str
    effort: str
    protocol: str
    reference: str

    @property
    def title(self) -> str:
        return f"{self.scene} · {self.degradation}"

    @property
    def agreement(self) -> bool:
        """Whether the reference is itself an estimate."""
        return self.reference == "colmap"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One cell: its result and the folder of its files; `anchor` is its id on the page.

    `oracle` says that its method is given start poses, which are the true ones: known from the method's other
    cells even where this one was skipped, or failed before it was given anything.
    """

    folder: Path
    result: Result
    anchor: str
    oracle: bool

    @property
    def method(self) -> str:
        return self.result.cell.method

    @property
    def done(self) -> bool:
        return self.result.status == "done"

    @property
    def submitted(self) -> bool:
        """Its poses were made elsewhere: the suite vouches for their judgement alone."""
        return "estimate" in self.result.given

    @property
    def failed(self) -> bool:
        """Tried, and gave no answer."""
        return self.result.status not in ("done", "skipped")

    @property
    def question(self) -> Question:
        cell = self.result.cell
        return Question(
            scene=cell.scene, degradation=cell.degradation, effort=cell.effort,
            protocol=self.result.protocol, reference=self.result.reference,
        )  # fmt: skip


def value(result: Result, name: str) -> float | None:
    """A column's value, `cost/` included; None where the result has none."""
    kind, _, rest = name.partition("/")
    found = result.cost.get(rest) if kind == "cost" else result.metrics.get(name)
    return None if found is None else float(found)


def absence(result: Result, name: str) -> str:
    """Why a column has no value here."""
    if name in result.absent:
        return result.absent[name]
    covering = [key for key in result.absent if name.startswith(key.rstrip("*/") + "/")]  # "nvs" covers "nvs/..."
    if covering:
        return result.absent[max(covering, key=len)]
    return "not recorded by this run" if result.status == "done" else f"the cell is {STATUSES[result.status]}"


def flags_of(result: Result, name: str) -> list[str]:
    """The flags that concern a column: `nvs/aligned: constant image` concerns `nvs/aligned/psnr`."""
    return [flag for flag in result.flags if _concerns(flag, name)]


def _concerns(flag: str, name: str) -> bool:
    prefix = flag.partition(":")[0].strip()
    return name == prefix or name.startswith(prefix + "/")


def given(entries: Iterable[Entry]) -> tuple[str, ...]:
    """What these cells were given beside images, in a fixed order."""
    held = {gift for entry in entries for gift in entry.result.given}
    return tuple(gift for gift in (*GIFTS, *sorted(held - GIFTS.keys())) if gift in held)


def describe_given(entries: Iterable[Entry]) -> str:
    """`intrinsics + pose prior`, of those cells that got as far as being given anything."""
    begun = [entry for entry in entries if entry.result.status != "skipped" and entry.result.stage != "load"]
    if not begun:
        return "not run"
    return " + ".join(GIFTS.get(gift, gift) for gift in given(begun)) or "images only"


def by_question(entries: Iterable[Entry]) -> dict[Question, list[Entry]]:
    """Sorted by question: scenes with exact or measured truth first, agreement with COLMAP last."""
    groups: dict[Question, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.question, []).append(entry)
    return dict(sorted(groups.items(), key=lambda item: (item[0].agreement, item[0])))


def by_method(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Methods that see no poses first, those given the true ones last; seeds in order."""
    groups: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.method, entry.result.cell)):
        groups.setdefault(entry.method, []).append(entry)
    return dict(sorted(groups.items(), key=lambda item: (is_oracle(item[1]), item[0])))


def is_oracle(entries: Iterable[Entry]) -> bool:
    """Whether these rows are a ceiling, not competitors."""
    return any(entry.oracle for entry in entries)


def tried(entries: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.result.status != "skipped"]


def array(entries: Iterable[Entry], name: str) -> stats.Scores:
    """One value an entry, NaN where there is none."""
    values = [value(entry.result, name) for entry in entries]
    return np.array([math.nan if each is None else each for each in values], dtype=float)


def success(entries: Sequence[Entry]) -> stats.Mask:
    done = np.array([entry.done for entry in entries], dtype=bool)
    return stats.solved(done, array(entries, ROTATION))


def mean_colour(entries: Iterable[Entry]) -> dict[Question, float]:
    """PSNR of the mean-colour image of each question, taken from any of its cells that has it."""
    levels: dict[Question, float] = {}
    for entry in entries:
        level = value(entry.result, MEAN_COLOUR)
        if level is not None and math.isfinite(level):
            levels.setdefault(entry.question, level)
    return levels
