"""Tables of the GNeRF paper's shape, scenes down, methods across: novel views, pose errors, published beside ours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.cell import split_label
from bench.scene import SIDE
from reports.analysis import scores, tables
from reports.analysis.columns import COLUMNS, Column
from reports.analysis.footnotes import Footnotes
from reports.analysis.scores import CLEAN, Entry, Setting
from reports.analysis.tables import Board, Number
from reports.paper.published import Library, Published
from reports.paper.table import Cell, Head, Row, Table

PUBLISHED_AS = {"psnr": "psnr", "ssim": "ssim", "lpips_alex": "lpips", "iou": "iou",
                "rotation_deg_mean": "rotation", "translation_mean": "translation"}  # fmt: skip
"""What published.toml calls the last part of our column's name."""

VIEWS = "nvs/"
"""Begins the name of a column of held-out views; the stage follows."""


def novel_views(entries: Sequence[Entry], library: Library, stage: str) -> list[Table]:
    """Held-out views at one stage; a table for each setting that has a number there."""
    names = tuple(f"nvs/{stage}/{quantity}" for quantity in ("psnr", "ssim", "lpips_alex", "iou"))
    what = f"Novel views, {stage} stage"
    return _by_scene(entries, library, names, f"novel_views_{stage}", what, library.missing["novel_views"])


def pose_errors(entries: Sequence[Entry], library: Library) -> list[Table]:
    """Mean rotation and translation errors of training views after alignment."""
    names = ("pose/rotation_deg_mean", "pose/translation_mean")
    return _by_scene(entries, library, names, "pose_errors", "Pose errors", library.missing["pose_errors"])


def main_methods(entries: Sequence[Entry]) -> list[Entry]:
    """Without variants of a method that is there itself: those have a table of ablations."""
    labels = {entry.method for entry in entries}
    return [entry for entry in entries if split_label(entry.method)[0] not in labels - {entry.method}]


def _by_scene(
    entries: Sequence[Entry], library: Library, names: Sequence[str], file: str, what: str, missing: str
) -> list[Table]:
    """One table a setting, of the clean captures."""
    clean = main_methods([entry for entry in entries if entry.result.cell.degradation == CLEAN])
    groups = scores.by_setting(clean)
    found = []
    for setting, each in groups.items():
        boards = {q.scene: tables.leaderboard(q, held, names) for q, held in scores.by_question(each).items()}
        measured = {name for name in names for entry in each if scores.value(entry.result, name) is not None}
        shown = [COLUMNS[name] for name in names if name in measured]
        if shown:
            made = _Scenes(setting, boards, list(scores.by_method(each)), shown, library)
            found.append(made.table(file + setting.suffix(groups), what, missing, scores.given_by_method(each)))
    return found


@dataclass
class _Scenes:
    """One table in the making."""

    setting: Setting
    boards: Mapping[str, Board]  # scene -> its leaderboard
    methods: Sequence[str]
    columns: Sequence[Column]
    library: Library

    def __post_init__(self) -> None:
        self.notes = Footnotes()
        self.beside = [p for p in self.library.published if any(self._published(p, c) for c in self.columns)]

    def table(self, file: str, what: str, missing: str, given: Mapping[str, str]) -> Table:
        heads = tuple(head for column in self.columns for head in self._heads(column, given))
        rows = [Row(label=scene, cells=self._row(scene)) for scene in self.boards]
        if len(rows) > 1:
            rows.append(Row(label=f"mean of {len(rows)} scenes", cells=self._means(), apart=True))
        seeds = sorted({row.seeds for board in self.boards.values() for row in board.rows})
        against = ", agreement with COLMAP" if self.setting.agreement else ""
        caption = (
            f"{what}{against}. Protocol {self.setting.protocol}, {self.setting.effort} (longest side "
            f"{SIDE[self.setting.effort]} px); median over seeds {'; '.join(seeds)}, with their range or, from five "
            "seeds on, the 95 % bootstrap interval of the median. Best and second among the methods that see no poses."
        )
        remarks = (missing,) if any(published.ours == "gnerf" for published in self.beside) else ()
        remarks += ("A gap is ours minus published.",) if any(head.source == "gap" for head in heads) else ()
        return Table(
            name=file, caption=caption, stub="scene", heads=heads, rows=tuple(rows), notes=tuple(self.notes),
            remarks=remarks,
        )  # fmt: skip

    def _heads(self, column: Column, given: Mapping[str, str]) -> list[Head]:
        group = f"{column.heading} {column.arrow}"
        heads = [
            Head(group=group, text=method, notes=(self.notes.letter(f"{method}: given {given[method]}"),))
            for method in self.methods
        ]
        for published in self._beside(column):
            why = f"; {published.stage_note}" if published.stage_note and column.name.startswith(VIEWS) else ""
            note = (self.notes.letter(f"{published.method}: {published.note}{why}"),)
            heads.append(Head(group=group, text=published.method, notes=note, source="published"))
            if self._gap(published, column):
                heads.append(Head(group=group, text=f"gap to {published.method}", source="gap"))
        return heads

    def _row(self, scene: str) -> tuple[Cell, ...]:
        cells = []
        for column in self.columns:
            cells += [self._ours(scene, method, column) for method in self.methods]
            for published in self._beside(column):
                value = published.value(scene, _name(column, published))
                cells.append(Cell(text="—" if value is None else str(value)))
                if self._gap(published, column):
                    ours = self._value(scene, published.ours, column)
                    gap = "—" if value is None or ours is None else _signed(ours - float(value), column)
                    cells.append(Cell(text=gap))
        return tuple(cells)

    def _ours(self, scene: str, method: str, column: Column) -> Cell:
        board = self.boards[scene]
        row = next((row for row in board.rows if row.method == method), None)
        if row is None:
            return Cell(text="—", notes=(self.notes.letter(f"{method}: not run on {scene}"),))
        failed = any(status not in ("done", "skipped") for status, _ in row.tally)
        why = tuple(self.notes.letter(f"{method}, {scene}: {'; '.join(row.reasons)}") for _ in row.reasons[:1])
        if not row.numbers:
            return Cell(text="" if failed else "—", failed=failed, notes=why)
        number = self._number(board, method, column)
        if number is None:
            return Cell(text="—", failed=failed, notes=why)
        texts = dict(board.footnotes)
        notes = tuple(self.notes.letter(f"{scene}: {texts[letter]}") for letter in number.notes)
        return Cell(text=number.text, spread=number.spread, mark=number.mark, failed=failed, notes=(*why, *notes))

    def _means(self) -> tuple[Cell, ...]:
        """Of ours, where every scene has a number; of the published, over the same scenes, by arithmetic."""
        cells = []
        for column in self.columns:
            for method in self.methods:
                values = [self._value(scene, method, column) for scene in self.boards]
                known = [value for value in values if value is not None]
                cells.append(Cell(text=column.show(float(np.mean(known))) if len(known) == len(values) else "—"))
            for published in self._beside(column):
                values = [published.value(scene, _name(column, published)) for scene in self.boards]
                numbers = [float(value) for value in values if value is not None]
                whole = len(numbers) == len(values)
                cells.append(Cell(text=column.show(float(np.mean(numbers))) if whole else "—"))
                if self._gap(published, column):
                    cells.append(Cell(text=""))
        return tuple(cells)

    def _value(self, scene: str, method: str, column: Column) -> float | None:
        number = self._number(self.boards[scene], method, column)
        return number.sort if number else None

    @staticmethod
    def _number(board: Board, method: str, column: Column) -> Number | None:
        names = [each.name for each in board.columns]
        row = next((row for row in board.rows if row.method == method and row.numbers), None)
        return row.numbers[names.index(column.name)] if row and column.name in names else None

    def _beside(self, column: Column) -> list[Published]:
        return [published for published in self.beside if self._published(published, column)]

    def _published(self, published: Published, column: Column) -> bool:
        return any(published.value(scene, _name(column, published)) is not None for scene in self.boards)

    def _gap(self, published: Published, column: Column) -> bool:
        """Whether a difference means something: the same method, quantity and size of image."""
        if _name(column, published) not in published.comparable or published.ours not in self.methods:
            return False
        if published.side not in (None, SIDE[self.setting.effort]):
            self.notes.letter(f"{published.method}: no gap, for ours is at {SIDE[self.setting.effort]} px")
            return False
        return True


def _name(column: Column, published: Published) -> str:
    """Of the like numbers in published.toml; none for novel views of another stage than those are like."""
    where, _, quantity = column.name.rpartition("/")
    alike = not column.name.startswith(VIEWS) or where == f"{VIEWS}{published.stage}"
    return PUBLISHED_AS.get(quantity, "") if alike else ""


def _signed(value: float, column: Column) -> str:
    return ("+" if value > 0 else "") + column.show(value) if math.isfinite(value) else "—"
