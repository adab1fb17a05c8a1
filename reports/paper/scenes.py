"""Tables of the GNeRF paper's shape, scenes down, methods across: novel views, pose errors, published beside ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from bench.cell import split_label
from bench.degrade import CLEAN
from bench.regime import parse_regime
from reports.analysis import entries as cells
from reports.analysis import leaderboard
from reports.analysis.columns import STAGES, Column
from reports.analysis.entries import Entry
from reports.analysis.leaderboard import Board
from reports.analysis.questions import Setting
from reports.analysis.scorebook import Scorebook
from reports.analysis.table import Footnotes, Head, Number, Row, Table
from reports.paper.published import Library, Published

PUBLISHED_AS = {"psnr": "psnr", "ssim": "ssim", "lpips_alex": "lpips", "iou": "iou",
                "rotation_deg_mean": "rotation", "translation_mean": "translation"}  # fmt: skip
"""What published.toml calls the last part of our column's name."""

VIEWS = "nvs/"
"""Begins the name of a column of held-out views; the stage follows."""


def tables(entries: Sequence[Entry], book: Scorebook, library: Library) -> Iterator[Table]:
    """Of the clean captures, one a setting that has a number there: held-out views stage by stage; then the mean
    rotation and translation errors of training views after alignment."""
    groups = cells.by_setting(main_methods([entry for entry in entries if entry.cell.degradation == CLEAN]))
    kinds = [(f"novel_views_{stage}", f"Novel views, {stage} stage", f"{VIEWS}{stage}/") for stage in STAGES]
    for file, what, prefix in [*kinds, ("pose_errors", "Pose errors", "pose/")]:
        names = [f"{prefix}{quantity}" for quantity in PUBLISHED_AS]
        for setting, each in groups.items():
            measured = [name for name in names if any(cells.value(entry.result, name) is not None for entry in each)]
            if not measured:
                continue
            boards = {
                question.scene: leaderboard.of_question(held, book, measured)
                for question, held in cells.by_question(each).items()
            }
            given = {method: cells.describe_given(held) for method, held in cells.by_method(each).items()}
            missing = library.missing["pose_errors" if prefix == "pose/" else "novel_views"]
            yield _Scenes(setting, boards, given, library).table(file + setting.suffix(groups), what, missing)


def main_methods(entries: Sequence[Entry]) -> list[Entry]:
    """Without variants of a method that is there itself: those have a table of ablations."""
    labels = {entry.cell.method for entry in entries}
    return [entry for entry in entries if split_label(entry.cell.method)[0] not in labels - {entry.cell.method}]


class _Scenes:
    """One table in the making."""

    def __init__(
        self, setting: Setting, boards: Mapping[str, Board], given: Mapping[str, str], library: Library
    ) -> None:
        """`boards`: scene -> its leaderboard; `given`: method -> in words."""
        self.setting, self.boards, self.given, self.notes = setting, boards, given, Footnotes()
        self.columns = {head.key: head for board in boards.values() for head in board.heads}.values()
        self.beside = [p for p in library.published if any(self._has(p, head.column) for head in self.columns)]

    def table(self, file: str, what: str, missing: str) -> Table:
        columns = list(self._columns())
        heads = tuple(head for head, _ in columns)
        rows = [Row(label=scene, numbers=tuple(number(scene) for _, number in columns)) for scene in self.boards]
        if len(rows) > 1:
            means = tuple(_mean([row.numbers[k] for row in rows], head) for k, head in enumerate(heads))
            rows.append(Row(label=f"mean of {len(rows)} scenes", numbers=means, apart=True))
        seeds = sorted({row.seeds for board in self.boards.values() for row in board.rows})
        against = f", {self.setting.agreement}" if self.setting.agreement else ""
        caption = (
            f"{what}{against}. Protocol {self.setting.protocol}, {self.setting.effort} "
            f"(longest side {parse_regime(self.setting.effort).words}); median over seeds {'; '.join(seeds)}, with "
            "their range or, from five seeds on, the 95 % bootstrap interval of the median. Best and second among the "
            "methods that see no poses."
        )
        remarks = (missing,) if any(published.ours == "gnerf" for published in self.beside) else ()
        remarks += ("A gap is ours minus published.",) if any(head.source == "gap" for head in heads) else ()
        return Table(name=file, caption=caption, stub="scene", heads=heads, rows=tuple(rows), notes=self.notes.lines,
                     remarks=remarks)  # fmt: skip

    def _columns(self) -> Iterator[tuple[Head, Callable[[str], Number]]]:
        """The head of each column, and its number in a scene: ours, then those published, with the gap between."""
        for shown in self.columns:
            assert shown.column
            group = " ".join(filter(None, [shown.column.heading, shown.population, shown.column.arrow]))
            head = Head(text="", group=group, column=shown.column)
            for method, given in self.given.items():
                note = self.notes.letter(f"{method}: given {given}")
                yield replace(head, text=method, notes=(note,)), partial(self._ours, shown, method)
            for published in self._published(shown):
                views = shown.column.name.startswith(VIEWS)
                why = f"; {published.stage_note}" if published.stage_note and views else ""
                note = self.notes.letter(f"{published.method}: {published.note}{why}")
                theirs = partial(_theirs, published, shown.column)
                yield replace(head, text=published.method, notes=(note,), source="published"), theirs
                if self._comparable(published, shown.column):
                    text = f"gap to {published.method}"
                    yield replace(head, text=text, source="gap"), partial(self._gap, shown, published)

    def _ours(self, head: Head, method: str, scene: str) -> Number:
        board = self.boards[scene]
        row = next((row for row in board.rows if row.label == method), None)
        if row is None:
            return Number(notes=(self.notes.letter(f"{method}: not run on {scene}"),))
        why = [self.notes.letter(f"{method}, {scene}: {'; '.join(row.reasons)}")] if row.reasons else []
        number, texts = self._number(head, method, scene), dict(board.notes)
        why += [self.notes.letter(f"{scene}: {texts[letter]}") for letter in number.notes]
        return replace(number, failed=row.failed > 0, tuned=bool(row.tuned_on), notes=tuple(why))

    def _gap(self, head: Head, published: Published, scene: str) -> Number:
        assert head.column
        ours = self._number(head, published.ours, scene).shown.sort
        theirs = _theirs(published, head.column, scene).shown.sort
        return Number() if ours is None or theirs is None else Number.plain(head.column.signed(ours - theirs))

    def _number(self, head: Head, method: str, scene: str) -> Number:
        """Of a board in which nothing failed, the one number of both populations."""
        board = self.boards[scene]
        row = next((row for row in board.rows if row.label == method and row.numbers), None)
        keys = {each.key: k for k, each in enumerate(board.heads)}
        place = keys.get(head.key, keys.get(head.column.name) if head.column else None)
        return Number() if row is None or place is None else row.numbers[place]

    def _published(self, head: Head) -> list[Published]:
        """They say of no failures, and so stand beside successes alone."""
        return [] if head.population == "penalised" else [p for p in self.beside if self._has(p, head.column)]

    def _has(self, published: Published, column: Column | None) -> bool:
        return column is not None and any(_theirs(published, column, scene).figures for scene in self.boards)

    def _comparable(self, published: Published, column: Column) -> bool:
        """Whether a difference means something: the same method, quantity and size of image."""
        if _name(column, published) not in published.comparable or published.ours not in self.given:
            return False
        regime = parse_regime(self.setting.effort)
        if regime.restates or published.side not in (None, regime.pixels):
            self.notes.letter(f"{published.method}: no gap, for ours is at {regime.words}")
            return False
        return True


def _name(column: Column, published: Published) -> str:
    """Of the like numbers in published.toml; none for novel views of another stage than those are like."""
    where, _, quantity = column.name.rpartition("/")
    alike = not column.name.startswith(VIEWS) or where == f"{VIEWS}{published.stage}"
    return PUBLISHED_AS.get(quantity, "") if alike else ""


def _theirs(published: Published, column: Column, scene: str) -> Number:
    value = published.value(scene, _name(column, published))
    return Number() if value is None else Number.plain(str(value), sort=float(value))


def _mean(numbers: Sequence[Number], head: Head) -> Number:
    """Where every scene has a number; of the published, over the same scenes, by arithmetic."""
    known = [number.shown.sort for number in numbers if number.shown.sort is not None]
    if head.source == "gap":
        return Number.plain("")
    assert head.column
    return Number.plain(head.column.show(float(np.mean(known)))) if len(known) == len(numbers) else Number()
