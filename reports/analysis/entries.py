"""A suite's cells as questions and answers: which rows may stand in one table, and how each cell ended."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, TypeVar

import numpy as np

from bench.cell import Cell
from bench.record import OUTCOMES, PRETRAINED, Outcome, Result, cells_of, given_in_words
from reports.analysis import stats
from reports.analysis.questions import Question, Setting, degradation_order
from reports.naming import slug

T = TypeVar("T")
K = TypeVar("K")

TWO_FRAMES = "centres and rotations tell two frames"
"""In the flag of an alignment whose frame is in doubt (bench.judge.align)."""

REGISTERED, PSNR, IOU = "pose/registered", "nvs/aligned/psnr", "nvs/aligned/iou"
MEAN_COLOUR = "nvs/mean_colour/psnr"
HALF = "nvs/half/psnr"
POSES = frozenset({"start", "some_start", "rough_start", "estimate", PRETRAINED})
"""What says where cameras are: inputs, and an estimator that learnt it from other data. A prior says only where they
may be; features that were learnt elsewhere do not say it either."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One cell: its result and the folder of its files.

    `given_poses`: its method is given poses in any form, true, rough or submitted, or brings an estimator that was
    trained to give them, so that it is no competitor of those that have the capture alone; known from the method's
    other cells even where this one was skipped or failed before.
    """

    folder: Path
    result: Result
    given_poses: bool

    @cached_property
    def slug(self) -> str:
        """Its name among the site's files."""
        return slug(str(self.result.cell.folder))

    @property
    def page(self) -> str:
        """Its page, from the site's root."""
        return f"cells/{self.slug}.html"

    @property
    def cell(self) -> Cell:
        return self.result.cell

    @property
    def solved(self) -> bool:
        return self.result.solved

    @property
    def done(self) -> bool:
        return self.result.status == "done"

    @property
    def skipped(self) -> bool:
        return self.result.status == "skipped"

    @property
    def failed(self) -> bool:
        """Tried, and gave no answer."""
        return not self.done and not self.skipped

    @cached_property
    def outcome(self) -> Outcome:
        return self.result.outcome

    @property
    def is_oracle(self) -> bool:
        """Given the true poses of all views: what a field is worth where there is nothing to find."""
        return "start" in self.result.given

    @property
    def submitted(self) -> bool:
        """Its poses were made elsewhere: the suite vouches for their judgement alone."""
        return "estimate" in self.result.given

    @property
    def estimated(self) -> bool:
        """Its poses come from a network that other data taught: a tier of its own."""
        return PRETRAINED in self.result.given

    @property
    def machine(self) -> tuple[Any, Any]:
        """What times of fits depend on: kind of device, or the GPU's own name, and CPU threads."""
        made = self.result.provenance
        kind = str(made.get("device") or "").partition(":")[0] or None
        return made.get("card") or kind, self.result.threads

    @cached_property
    def question(self) -> Question:
        cell = self.result.cell
        return Question(
            scene=cell.scene, degradation=cell.degradation, effort=cell.effort,
            protocol=self.result.protocol, reference=self.result.reference,
        )  # fmt: skip


def read(suite: Path, *, views: bool = True) -> list[Entry]:
    """All cells of a suite, in a fixed order, with or without what each view is worth. Raises ValueError for none."""
    if not suite.is_dir():
        raise ValueError(f"{suite} is not a folder; name the folder that `unposed run` wrote")
    found = cells_of(suite, views=views)
    places: dict[PurePath, Path] = {}
    for folder, result in found:
        if (other := places.setdefault(result.cell.folder, folder)) != folder:
            raise ValueError(f"report: {other} and {folder} are one cell of two suites; name the folder of one suite")
    given_poses = {result.cell.method for _, result in found if not POSES.isdisjoint(result.given)}
    return [
        Entry(folder=folder, result=result, given_poses=result.cell.method in given_poses) for folder, result in found
    ]


def tier(entries: Sequence[Entry]) -> int:
    """Of a method: 0 has the capture alone and is ranked, 1 brings a pretrained estimator of poses, 2 is given some."""
    if not entries[0].given_poses:
        return 0
    return 1 if any(entry.estimated for entry in entries) else 2


def value(result: Result, name: str) -> float | None:
    """A column's value, `cost/` included; None where the result has none."""
    kind, _, rest = name.partition("/")
    found = result.cost.get(rest) if kind == "cost" else result.metrics.get(name)
    return None if found is None else float(found)


def array(entries: Iterable[Entry], name: str) -> stats.Scores:
    """One value an entry, NaN where there is none."""
    values = [value(entry.result, name) for entry in entries]
    return np.array([math.nan if each is None else each for each in values], dtype=float)


def absence(result: Result, name: str) -> str:
    """Why a column has no value here."""
    covering = [key for key in result.absent if f"{name}/".startswith(key.rstrip("*/") + "/")]  # "nvs": all of it
    if covering:
        return result.absent[max(covering, key=len)]
    return "not recorded by this run" if result.status == "done" else f"the cell is {OUTCOMES[result.status]}"


def reason(entry: Entry) -> str:
    return entry.result.reason or "no reason was recorded"


def ended(entry: Entry) -> str:
    """`timeout in fit: killed after 900 s`."""
    stage = f" in {entry.result.stage}" if entry.result.stage else ""
    return f"{OUTCOMES[entry.outcome]}{stage}: {reason(entry)}"


def flags_of(result: Result, name: str) -> list[str]:
    """The flags that concern a column: `nvs/aligned: constant image` concerns `nvs/aligned/psnr`. So does that of a
    frame in doubt, for aligned views are rendered in it."""
    framed = name.startswith("nvs/aligned/")
    return [
        flag
        for flag in result.flags
        if f"{name}/".startswith(flag.partition(":")[0].strip() + "/") or (framed and TWO_FRAMES in flag)
    ]


def describe_given(entries: Iterable[Entry]) -> str:
    """`intrinsics + pose prior`, of those cells that got as far as being given anything."""
    begun = [entry.result for entry in entries if not entry.skipped and entry.result.stage != "load"]
    return given_in_words(each for result in begun for each in result.given) if begun else "not run"


def grouped(items: Iterable[T], key: Callable[[T], K], order: Callable[[K], Any] | None = None) -> dict[K, list[T]]:
    """Items by their key, each group as they came; groups as first met, or in the order of keys that is given."""
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return {key: groups[key] for key in sorted(groups, key=order)} if order else groups


def by_setting(entries: Iterable[Entry]) -> dict[Setting, list[Entry]]:
    return grouped(entries, lambda entry: entry.question.setting, lambda setting: setting)


def by_degradation(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Clean first, then by kind and severity."""
    return grouped(entries, lambda entry: entry.cell.degradation, degradation_order)


def by_scene(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    return grouped(entries, lambda entry: entry.cell.scene, str)


def by_question(entries: Iterable[Entry]) -> dict[Question, list[Entry]]:
    """Scenes with exact or measured truth first, agreement with COLMAP last."""
    return grouped(
        entries, lambda entry: entry.question, lambda q: (q.agreement, q.scene, degradation_order(q.degradation), q)
    )


def by_method(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Methods that see no poses first, those that were given some last; seeds in order."""
    ordered = sorted(entries, key=lambda entry: (entry.given_poses, entry.cell.method, entry.cell))
    return grouped(ordered, lambda entry: entry.cell.method)


def tried(entries: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in entries if not entry.skipped]


def scenes_of_the_blind(entries: Iterable[Entry]) -> tuple[set[str], set[str]]:
    """Scenes in which all of the methods that see no poses were tried, and those in which any was.

    Means over scenes compare methods where the two are the same, and over the first.
    """
    blind = by_method(entry for entry in tried(entries) if not entry.given_poses)
    found = [{entry.cell.scene for entry in each} for each in blind.values()]
    return (set.intersection(*found), set.union(*found)) if found else (set(), set())


def counted(n: int, word: str) -> str:
    """`1 cell`, `3 cells`."""
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def ranges(seeds: Sequence[int]) -> str:
    """[0, 1, 2, 7] -> `0-2, 7`."""
    runs: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)
