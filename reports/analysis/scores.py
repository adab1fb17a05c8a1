"""Results as questions and answers: which rows may stand in one table, and the scores of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from bench.degrade import CLEAN, KINDS
from bench.record import Result, read_suite
from bench.task import Effort
from reports.analysis import stats
from reports.naming import slug

ROTATION, REGISTERED = "pose/rotation_deg_median", "pose/registered"
PSNR, IOU = "nvs/aligned/psnr", "nvs/aligned/iou"
MEAN_COLOUR = "nvs/mean_colour/psnr"
GIFTS = {
    "camera": "intrinsics", "prior": "pose prior", "masks": "masks", "rough_start": "rough poses",
    "some_start": "true poses of some views", "start": "true poses", "estimate": "submitted poses",
}  # fmt: skip
POSES = frozenset({"start", "some_start", "rough_start", "estimate"})
"""Gifts that say where cameras are. A prior says only where they may be."""
STATUSES = {
    "done": "done", "collapsed": "collapsed", "failed": "failed", "timeout": "timeout",
    "out_of_memory": "out of memory", "skipped": "skipped",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, order=True)
class Question:
    """What rows of one table share. Numbers of two efforts, protocols or kinds of truth never meet in a table."""

    scene: str
    degradation: str
    effort: Effort
    protocol: str
    reference: str

    @property
    def title(self) -> str:
        return f"{self.scene} · {self.degradation}"

    @property
    def agreement(self) -> bool:
        """Whether the reference is itself an estimate."""
        return self.reference == "colmap"

    @property
    def order(self) -> tuple[Any, ...]:
        return self.agreement, self.scene, degradation_order(self.degradation), self

    @property
    def setting(self) -> Setting:
        return Setting(agreement=self.agreement, effort=self.effort, protocol=self.protocol)


@dataclass(frozen=True, kw_only=True, order=True)
class Setting:
    """What numbers must share before they may be averaged, or drawn in one figure. Exact truth comes first."""

    agreement: bool
    effort: Effort
    protocol: str

    @property
    def title(self) -> str:
        return f"{self.protocol} · {self.effort}" + (" · agreement with COLMAP" if self.agreement else "")

    def suffix(self, among: Iterable[Setting]) -> str:
        """What the name of a file must end with, where it is written for each of several settings: `_full_colmap`."""
        others = {self, *among}
        parts = [self.effort] if len({each.effort for each in others}) > 1 else []
        parts += [slug(self.protocol)] if len({each.protocol for each in others}) > 1 else []
        return "".join(f"_{part}" for part in [*parts, *(["colmap"] if self.agreement else [])])


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One cell: its result and the folder of its files.

    `told` says that its method is given poses in any form, true, rough or submitted, so that it is no competitor of
    those that see none: known from the method's other cells even where this one was skipped, or failed before it was
    given anything.
    """

    folder: Path
    result: Result
    told: bool

    @cached_property
    def slug(self) -> str:
        """Its name among the site's files."""
        return slug(str(self.result.cell.folder))

    @cached_property
    def page(self) -> str:
        """Its page, from the site's root."""
        return f"cells/{self.slug}.html"

    @property
    def method(self) -> str:
        return self.result.cell.method

    @property
    def done(self) -> bool:
        return self.result.status == "done"

    @property
    def ceiling(self) -> bool:
        """Given the true poses of all views: what a field is worth where there is nothing to find."""
        return "start" in self.result.given

    @property
    def submitted(self) -> bool:
        """Its poses were made elsewhere: the suite vouches for their judgement alone."""
        return "estimate" in self.result.given

    @property
    def failed(self) -> bool:
        """Tried, and gave no answer."""
        return self.result.status not in ("done", "skipped")

    @cached_property
    def question(self) -> Question:
        cell = self.result.cell
        return Question(
            scene=cell.scene, degradation=cell.degradation, effort=cell.effort,
            protocol=self.result.protocol, reference=self.result.reference,
        )  # fmt: skip


def read(suite: Path) -> list[Entry]:
    """All cells of a suite, in a fixed order. Raises ValueError where there is none, or one that cannot be read."""
    if not suite.is_dir():
        raise ValueError(f"report: {suite} is not a folder; name the folder that `unposed run` wrote")
    found = read_suite(suite)
    if not found:
        raise ValueError(f"report: {suite} holds no results; `unposed run --out {suite}` makes some")
    places: dict[PurePath, Path] = {}
    for folder, result in found:
        if (other := places.setdefault(result.cell.folder, folder)) != folder:
            raise ValueError(f"report: {other} and {folder} are one cell of two suites; name the folder of one suite")
    told = {result.cell.method for _, result in found if not POSES.isdisjoint(result.given)}
    return [Entry(folder=folder, result=result, told=result.cell.method in told) for folder, result in found]


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


def reason(entry: Entry) -> str:
    return entry.result.reason or "no reason was recorded"


def ended(entry: Entry) -> str:
    """`timeout in fit: killed after 900 s`."""
    stage = f" in {entry.result.stage}" if entry.result.stage else ""
    return f"{STATUSES[entry.result.status]}{stage}: {reason(entry)}"


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


def split_degradation(name: str) -> tuple[str, float]:
    """`gaussian_noise@3` -> kind and severity; `clean` is its own kind, at severity 0. Sorts clean first."""
    kind, _, severity = name.partition("@")
    return kind, float(severity or 0)


def degradation_order(name: str) -> tuple[bool, str, float]:
    kind, severity = split_degradation(name)
    return kind != CLEAN, kind, severity


def by_setting(entries: Iterable[Entry]) -> dict[Setting, list[Entry]]:
    groups: dict[Setting, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.question.setting, []).append(entry)
    return dict(sorted(groups.items()))


def by_degradation(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Clean first, then by kind and severity."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.result.cell.degradation, []).append(entry)
    return dict(sorted(groups.items(), key=lambda item: degradation_order(item[0])))


def by_scene(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.result.cell.scene, []).append(entry)
    return dict(sorted(groups.items()))


def given_by_method(entries: Iterable[Entry]) -> dict[str, str]:
    return {method: describe_given(each) for method, each in by_method(entries).items()}


def by_question(entries: Iterable[Entry]) -> dict[Question, list[Entry]]:
    """Sorted by question: scenes with exact or measured truth first, agreement with COLMAP last."""
    groups: dict[Question, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.question, []).append(entry)
    return dict(sorted(groups.items(), key=lambda item: item[0].order))


def by_method(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Methods that see no poses first, those that were given some last; seeds in order."""
    groups: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.method, entry.result.cell)):
        groups.setdefault(entry.method, []).append(entry)
    return dict(sorted(groups.items(), key=lambda item: (is_told(item[1]), item[0])))


def is_told(entries: Iterable[Entry]) -> bool:
    """Whether these rows were given poses in any form: shown, and never ranked."""
    return any(entry.told for entry in entries)


def tried(entries: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.result.status != "skipped"]


def scenes_of_the_blind(entries: Iterable[Entry]) -> tuple[set[str], set[str]]:
    """Scenes in which all of the methods that see no poses were tried, and those in which any was.

    Means over scenes compare methods where the two are the same, and over the first.
    """
    blind = [entry for entry in tried(entries) if not entry.told]
    found = [{entry.result.cell.scene for entry in each} for each in by_method(blind).values()]
    return (set.intersection(*found), set.union(*found)) if found else (set(), set())


def array(entries: Iterable[Entry], name: str) -> stats.Scores:
    """One value an entry, NaN where there is none."""
    values = [value(entry.result, name) for entry in entries]
    return np.array([math.nan if each is None else each for each in values], dtype=float)


def success(entries: Sequence[Entry]) -> stats.Mask:
    done = np.array([entry.done for entry in entries], dtype=bool)
    return stats.solved(done, array(entries, ROTATION))


def mean_colour(entries: Sequence[Entry]) -> dict[Question, float]:
    """PSNR of the mean-colour image of each question, taken from any cell that was judged by the same images.

    Those are the scene's clean ones whatever was shown, unless the kind of degradation changes the scene itself.
    """
    levels: dict[Any, float] = {}
    for entry in entries:
        level = value(entry.result, MEAN_COLOUR)
        if level is not None and math.isfinite(level):
            levels.setdefault(_images(entry.question), level)
    questions = dict.fromkeys(entry.question for entry in entries)
    return {question: levels[_images(question)] for question in questions if _images(question) in levels}


def _images(question: Question) -> tuple[Any, ...]:
    """What the held-out images depend on."""
    kind = split_degradation(question.degradation)[0]
    changed = kind if kind in KINDS and KINDS[kind].changes_scene else CLEAN
    return question.scene, changed, question.setting, question.reference


def ranges(seeds: Sequence[int]) -> str:
    """[0, 1, 2, 7] -> `0-2, 7`."""
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)
