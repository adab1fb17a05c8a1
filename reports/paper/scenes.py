"""Tables of the GNeRF paper's shape, scenes down, methods across: novel views, pose errors, published beside ours."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.cell import split_label
from bench.scene import SIDE
from reports.analysis import entries as cells
from reports.analysis import leaderboard
from reports.analysis.columns import Column
from reports.analysis.entries import CLEAN, Entry, Setting
from reports.analysis.footnotes import Footnotes
from reports.analysis.leaderboard import Board
from reports.analysis.scorebook import Scorebook
from reports.analysis.table import Head, Number, Row, Table
from reports.paper.published import Library, Published

PUBLISHED_AS = {"psnr": "psnr", "ssim": "ssim", "lpips_alex": "lpips", "iou": "iou",
                "rotation_deg_mean": "rotation", "translation_mean": "translation"}  # fmt: skip
"""What published.toml calls the last part of our column's name."""

VIEWS = "nvs/"
"""Begins the name of a column of held-out views; the stage follows."""


def novel_views(entries: Sequence[Entry], book: Scorebook, library: Library, stage: str) -> list[Table]:
    """Held-out views at one stage; a table for each setting that has a number there."""
    names = tuple(f"nvs/{stage}/{quantity}" for quantity in ("psnr", "ssim", "lpips_alex", "iou"))
    what = f"Novel views, {stage} stage"
    return _by_scene(entries, book, library, names, f"novel_views_{stage}", what, library.missing["novel_views"])


def pose_errors(entries: Sequence[Entry], book: Scorebook, library: Library) -> list[Table]:
    """Mean rotation and translation errors of training views after alignment."""
    names = ("pose/rotation_deg_mean", "pose/translation_mean")
    return _by_scene(entries, book, library, names, "pose_errors", "Pose errors", library.missing["pose_errors"])


def main_methods(entries: Sequence[Entry]) -> list[Entry]:
    """Without variants of a method that is there itself: those have a table of ablations."""
    labels = {entry.method for entry in entries}
    return [entry for entry in entries if split_label(entry.method)[0] not in labels - {entry.method}]


def _by_scene(
    entries: Sequence[Entry], book: Scorebook, library: Library, names: Sequence[str], file: str, what: str,
    missing: str,
) -> list[Table]:  # fmt: skip
    """One table a setting, of the clean captures."""
    clean = main_methods([entry for entry in entries if entry.result.cell.degradation == CLEAN])
    groups = cells.by_setting(clean)
    found = []
    for setting, each in groups.items():
        measured = [name for name in names if any(cells.value(entry.result, name) is not None for entry in each)]
        if measured:
            boards = {
                question.scene: leaderboard.of_question(question, held, book, measured)
                for question, held in cells.by_question(each).items()
            }
            given = {method: cells.describe_given(held) for method, held in cells.by_method(each).items()}
            found.append(_Scenes(setting, boards, given, library).table(file + setting.suffix(groups), what, missing))
    return found


@dataclass
class _Scenes:
    """One table in the making."""

    setting: Setting
    boards: Mapping[str, Board]  # scene -> its leaderboard
    given: Mapping[str, str]  # method -> in words
    library: Library

    def __post_init__(self) -> None:
        self.notes = Footnotes()
        kept = {head.key: head for board in self.boards.values() for head in board.heads}
        self.columns = sorted(kept.values(), key=lambda head: list(kept).index(head.key))
        self.beside = [p for p in self.library.published if any(self._has(p, head.column) for head in self.columns)]

    def table(self, file: str, what: str, missing: str) -> Table:
        heads = tuple(self._heads())
        rows = [Row(label=scene, numbers=tuple(self._row(scene))) for scene in self.boards]
        if len(rows) > 1:
            rows.append(Row(label=f"mean of {len(rows)} scenes", numbers=tuple(self._means()), apart=True))
        seeds = sorted({row.seeds for board in self.boards.values() for row in board.rows})
        against = ", agreement with COLMAP" if self.setting.agreement else ""
        caption = (
            f"{what}{against}. Protocol {self.setting.protocol}, {self.setting.effort} (longest side "
            f"{SIDE[self.setting.effort]} px); median over seeds {'; '.join(seeds)}, with their range or, from five "
            "seeds on, the 95 % bootstrap interval of the median. Best and second among the methods that see no poses."
        )
        remarks = (missing,) if any(published.ours == "gnerf" for published in self.beside) else ()
        remarks += ("A gap is ours minus published.",) if any(head.source == "gap" for head in heads) else ()
        return Table(name=file, caption=caption, stub="scene", heads=heads, rows=tuple(rows), notes=tuple(self.notes),
                     remarks=remarks)  # fmt: skip

    def _heads(self) -> Iterator[Head]:
        for head in self.columns:
            assert head.column
            group = " ".join(filter(None, [head.column.heading, head.population, head.column.arrow]))
            for method, given in self.given.items():
                yield Head(group=group, text=method, notes=(self.notes.letter(f"{method}: given {given}"),))
            for published in self._published(head):
                views = head.column.name.startswith(VIEWS)
                why = f"; {published.stage_note}" if published.stage_note and views else ""
                note = (self.notes.letter(f"{published.method}: {published.note}{why}"),)
                yield Head(group=group, text=published.method, notes=note, source="published")
                if self._gap(published, head.column):
                    yield Head(group=group, text=f"gap to {published.method}", source="gap")

    def _row(self, scene: str) -> Iterator[Number]:
        for head in self.columns:
            assert head.column
            for method in self.given:
                yield self._ours(scene, method, head)
            for published in self._published(head):
                value = published.value(scene, _name(head.column, published))
                yield Number() if value is None else Number.plain(str(value))
                if self._gap(published, head.column):
                    ours = self._number(scene, published.ours, head).sort
                    gap = None if value is None or ours is None else ours - float(value)
                    yield Number() if gap is None else Number.plain(_signed(gap, head.column))

    def _means(self) -> Iterator[Number]:
        """Of ours, where every scene has a number; of the published, over the same scenes, by arithmetic."""
        for head in self.columns:
            assert head.column
            for method in self.given:
                yield _mean([self._number(scene, method, head).sort for scene in self.boards], head.column)
            for published in self._published(head):
                values = [published.value(scene, _name(head.column, published)) for scene in self.boards]
                yield _mean([None if value is None else float(value) for value in values], head.column)
                if self._gap(published, head.column):
                    yield Number.plain("")

    def _ours(self, scene: str, method: str, head: Head) -> Number:
        board = self.boards[scene]
        row = next((row for row in board.rows if row.label == method), None)
        if row is None:
            return Number(notes=(self.notes.letter(f"{method}: not run on {scene}"),))
        why = [self.notes.letter(f"{method}, {scene}: {'; '.join(row.reasons)}")] if row.reasons else []
        number, texts = self._number(scene, method, head), dict(board.notes)
        why += [self.notes.letter(f"{scene}: {texts[letter]}") for letter in number.notes]
        return replace(number, failed=row.failed > 0, tuned=bool(row.tuned_on), notes=tuple(why))

    def _number(self, scene: str, method: str, head: Head) -> Number:
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
        return column is not None and any(
            published.value(scene, _name(column, published)) is not None for scene in self.boards
        )

    def _gap(self, published: Published, column: Column) -> bool:
        """Whether a difference means something: the same method, quantity and size of image."""
        if _name(column, published) not in published.comparable or published.ours not in self.given:
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


def _mean(values: Sequence[float | None], column: Column) -> Number:
    known = [value for value in values if value is not None]
    return Number.plain(column.show(float(np.mean(known)))) if known and len(known) == len(values) else Number()


def _signed(value: float, column: Column) -> str:
    return ("+" if value > 0 else "") + column.show(value) if math.isfinite(value) else "—"
