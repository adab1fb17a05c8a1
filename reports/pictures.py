"""Pictures of a suite as the site shows them: small files beside its pages, written once, named after what they show.

A picture that was not kept, or cannot be read, is a picture without a file: its `problem` stands in its place.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image

from bench.record import ROTATION
from reports import parallel
from reports.analysis import entries as cells
from reports.analysis.columns import column
from reports.analysis.entries import IOU, PSNR, Entry
from reports.analysis.questions import Question
from reports.naming import replace, slug

STAGES = ("aligned", "refined", "registered", "depth")
"""What the judge keeps of a held-out view, in the order shown."""

QUALITY = 92
ERROR_FULL = 0.3
"""Mean absolute error over channels, of 1, that an error map's last colour stands for."""

FILMS = (".gif", ".mp4")
"""Of `unposed render`."""
EMPTY = 0.05
"""The share of a depth picture that must be saturated before that is taken for an empty background."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much a site may keep, so that one of thousands of cells is still small enough to send."""

    side: int  # longest side of a picture, px
    common: int  # held-out views shown for every method
    worst: int  # and of each cell's own worst
    stages: tuple[str, ...] = STAGES
    previews: int = 8  # of what a fit showed while it learnt
    drawn: bool = True  # whether each cell's page draws its cameras and the internals of its method


def budget(cells: int) -> Budget:
    if cells <= 100:
        return Budget(side=400, common=5, worst=4)
    if cells <= 400:
        return Budget(side=200, common=5, worst=3)
    if cells <= 1000:
        return Budget(side=200, common=3, worst=2, stages=("aligned", "refined"))
    if cells <= 4000:
        return Budget(side=200, common=3, worst=1, stages=("aligned",), previews=2)
    return Budget(side=200, common=2, worst=1, stages=("aligned",), previews=0, drawn=False)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """`path` is from the site's root."""

    alt: str
    path: str = ""
    size: tuple[int, int] = (0, 0)  # width, height: the page keeps the place while a picture loads
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class View:
    """One held-out view of one cell, at every stage that was kept."""

    name: str
    truth: Picture
    stages: Mapping[str, Picture]
    scores: Mapping[str, str] = field(default_factory=dict)  # stage -> "23.10 dB"
    common: bool = True  # shown for every method of its question
    worst: bool = False  # among this cell's worst
    main: str = "aligned"  # the stage that stands for it: `refined` where nobody knows the cameras


@dataclass(frozen=True, kw_only=True)
class Album:
    """All pictures of a suite: by question, and by the page of a cell."""

    truth: Mapping[Question, Mapping[str, Picture]]
    shown: Mapping[Question, tuple[Picture, ...]]
    common: Mapping[Question, tuple[str, ...]]  # names of the views shown for every method
    views: Mapping[str, tuple[View, ...]]
    previews: Mapping[str, tuple[Picture, ...]]
    films: Mapping[str, tuple[Picture, ...]]

    def all(self) -> Iterator[Picture]:
        stages = [view.stages for views in self.views.values() for view in views]
        for each in (*self.truth.values(), *stages):
            yield from each.values()
        for each in (*self.shown.values(), *self.previews.values(), *self.films.values()):
            yield from each


def make(entries: Sequence[Entry], site: Path) -> Album:
    """Write the pictures of all cells below `site/pictures`."""
    plan = budget(len(entries))
    questions = cells.by_question(entries)

    def framed(held: Sequence[Entry]) -> _Frame:
        return _frame(held, site, plan)

    frames = dict(zip(questions, parallel.each(framed, list(questions.values()), len(entries)), strict=True))

    def views(entry: Entry) -> tuple[tuple[View, ...], tuple[Picture, ...], tuple[Picture, ...]]:
        return _views(entry, frames[entry.question], site, plan)

    made = dict(zip((entry.page for entry in entries), parallel.each(views, entries), strict=True))
    return Album(
        truth={question: frame.truth for question, frame in frames.items()},
        shown={question: frame.shown for question, frame in frames.items()},
        common={question: frame.common for question, frame in frames.items()},
        views={page: views for page, (views, _, _) in made.items()},
        previews={page: previews for page, (_, previews, _) in made.items()},
        films={page: films for page, (_, _, films) in made.items()},
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """What the cells of one question share, and which views are shown of each."""

    common: tuple[str, ...]
    worst: Mapping[str, tuple[str, ...]]  # by page, of those cells that rendered any
    truth: Mapping[str, Picture]
    shown: tuple[Picture, ...]


def _frame(held: Sequence[Entry], site: Path, plan: Budget) -> _Frame:
    """Chooses the views of one question, and writes their truth and some of what methods saw."""
    question, home = held[0].question, held[0].folder.parent.parent
    files = pictures_of(home / "truth")
    kept = {entry.page: _kept(entry) for entry in held}
    names = sorted(files.keys() | set[str]().union(*kept.values()))
    common = tuple(names[k] for k in spread(len(names), plan.common))
    worst = {entry.page: _worst(entry, names, plan.worst) for entry in held if kept[entry.page]}
    wanted = sorted({name for views in worst.values() for name in views} | set(common))
    folder = f"pictures/{slug(f'{question.scene}/{question.degradation}')}"
    return _Frame(
        common=common, worst=worst,
        truth={
            name: _write(files.get(name), site, f"{folder}/{slug(name)}.jpg", f"truth of {name}", plan.side)
            for name in wanted
        },
        shown=tuple(
            _write(path, site, f"{folder}/shown-{slug(name)}.jpg", f"training view {name} as methods saw it", plan.side)
            for name, path in list(pictures_of(home / "shown").items())[: plan.common]
        ),
    )  # fmt: skip


def spread(n: int, most: int) -> list[int]:
    """At most `most` indices of `n`, evenly chosen, none at the very ends."""
    return list(range(n)) if n <= most else [round((k + 0.5) * n / most - 0.5) for k in range(most)]


def view_quality(row: Mapping[str, float], stage: str = "aligned") -> tuple[str, float] | None:
    """IoU of a silhouette, PSNR otherwise: the column and its value for one view."""
    for name in (IOU, PSNR):
        name = name.replace("aligned", stage)
        if name in row:
            return name, float(row[name])
    return None


def _worst(entry: Entry, held: Sequence[str], most: int) -> tuple[str, ...]:
    """Names of the views that this cell renders worst, the worst first."""
    scored = []
    for name in held:
        found = view_quality(entry.result.per_view.get(name, {}), _main(entry))
        if found is not None:
            scored.append((-math.inf if math.isnan(found[1]) else found[1], name))
    return tuple(name for _, name in sorted(scored)[:most])


def _views(
    entry: Entry, frame: _Frame, site: Path, plan: Budget
) -> tuple[tuple[View, ...], tuple[Picture, ...], tuple[Picture, ...]]:
    """The common views and this cell's worst, where it rendered any; what its fit showed while it learnt; films."""
    folder = f"pictures/{entry.slug}"
    label = f"{entry.cell.method}, seed {entry.cell.seed}"
    views, main, worst = [], _main(entry), frame.worst.get(entry.page, ())
    for name in dict.fromkeys([*frame.common, *worst]) if entry.done and entry.page in frame.worst else ():
        row = entry.result.per_view.get(name, {})
        stages, words = {}, {}
        for stage in dict.fromkeys([main, *(stage for stage in plan.stages if stage != "aligned")]):
            path = entry.folder / "renders" / f"{name}.{stage}.png"
            if not path.exists() and stage != main:
                continue
            words[stage] = score(row, stage)
            alt = f"{label}: {name} {stage}" + (f", {words[stage]}" if words[stage] else "")
            found = path if path.exists() else None
            stages[stage] = _write(found, site, f"{folder}/{slug(name)}.{stage}.jpg", alt, plan.side)
        shared, bad = name in frame.common, name in worst
        views.append(
            View(name=name, truth=frame.truth[name], stages=stages, scores=words, common=shared, worst=bad, main=main)
        )
    kept = sorted((entry.folder / "previews").glob("*.png"), key=_step)
    previews = tuple(
        _write(path, site, f"{folder}/fit-{slug(path.stem)}.jpg", f"{label}: {_words(path)}", plan.side)
        for path in (kept[k] for k in spread(len(kept), plan.previews))
    )
    films = []
    for path in sorted(each for each in entry.folder.glob("*.*") if each.suffix in FILMS and "depth" in plan.stages):
        films.append(Picture(alt=f"{label}: {path.stem}, colours beside depth", path=f"{folder}/{slug(path.name)}"))
        replace(site / films[-1].path, path.read_bytes())
    return tuple(views), previews, tuple(films)


def score(row: Mapping[str, float], stage: str = "aligned") -> str:
    """`23.10 dB`, of one view; empty where there is none."""
    found = view_quality(row, stage)
    return column(found[0]).said(found[1]) if found else ""


def _step(path: Path) -> tuple[int, str]:
    digits = re.search(r"(\d+)$", path.stem)
    return int(digits[1]) if digits else 0, path.stem


def _words(path: Path) -> str:
    """`phase_A.000150` -> `phase A, step 150`."""
    name, _, step = path.stem.rpartition(".")
    return f"{name.replace('_', ' ')}, step {int(step)}" if name and step.isdigit() else path.stem


def _kept(entry: Entry) -> set[str]:
    return {path.name.partition(".")[0] for path in (entry.folder / "renders").glob(f"*.{_main(entry)}.png")}


def _main(entry: Entry) -> str:
    """The stage whose renders stand for a cell: nothing can be aligned with cameras that nobody knows."""
    return "refined" if entry.question.reference == "none" else "aligned"


def pictures_of(folder: Path) -> dict[str, Path]:
    """By view."""
    return {path.stem: path for path in sorted(folder.glob("*.png"))}


def read(path: Path) -> Image.Image | None:
    """In grey or in colour; None where there is none that can be read."""
    try:
        with Image.open(path) as opened:
            return opened.convert("L" if opened.mode == "L" else "RGB")
    except (OSError, SyntaxError):  # PIL raises SyntaxError for a broken PNG chunk
        return None


def _write(source: Path | None, site: Path, path: str, alt: str, side: int) -> Picture:
    if source is None:
        return Picture(alt=alt, problem="not kept")
    image = read(source)
    if image is None:
        return Picture(alt=alt, problem=f"{source.name} cannot be read")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    if ".depth." in path:
        image = _with_contrast(image)
    buffer = io.BytesIO()
    image.save(buffer, format="jpeg", quality=QUALITY, subsampling=0)  # full colour: error maps are drawn from these
    replace(site / path, buffer.getvalue())
    return Picture(alt=alt, path=path, size=image.size)


def _with_contrast(depth: Image.Image) -> Image.Image:
    """Near is bright: each pixel by its rank among those that show something, in colours; the background is black."""
    grey = np.asarray(depth.convert("L"))
    empty = (grey == 255) & (np.mean(grey == 255) > EMPTY)
    known = np.sort(grey[~empty])
    ranks = np.searchsorted(known, grey, side="right") / max(len(known), 1)
    return Image.fromarray(mpl.colormaps["magma"](np.where(empty, 0.0, ranks), bytes=True)[..., :3])


def typical(entries: Sequence[Entry]) -> Entry | None:
    """The seed in the middle: neither the best nor the worst stands for a method. Of those done, where any is.

    By PSNR (by IoU for silhouettes), and by rotation error where nothing was rendered.
    """

    def quality(entry: Entry) -> float:
        found = [cells.value(entry.result, name) for name in (IOU, PSNR)]
        rotation = cells.value(entry.result, ROTATION)
        found.append(None if rotation is None else -rotation)
        return next((each for each in found if each is not None and np.isfinite(each)), -np.inf)

    done = [entry for entry in entries if entry.done]
    ordered = sorted(done or entries, key=lambda entry: (quality(entry), entry.cell.seed))
    return ordered[(len(ordered) - 1) // 2] if ordered else None
