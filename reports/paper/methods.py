"""Tables with methods down: a summary over scenes, ablations, and how each method bears a degradation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bench.cell import split_label
from bench.degrade import CLEAN
from bench.record import ROTATION
from reports.analysis.columns import column
from reports.analysis.entries import IOU, PSNR, REGISTERED, counted
from reports.analysis.leaderboard import Board
from reports.analysis.questions import Setting
from reports.analysis.robustness import SUCCESS, Curve, Level, by_kind, show, show_area
from reports.analysis.table import Footnotes, Head, Number, Row, Table
from reports.naming import slug
from reports.paper.published import Library

COLUMNS = (
    ROTATION, "pose/auc_15", IOU, PSNR, "nvs/refined/psnr", "nvs/half/psnr", "nvs/registered/psnr", "cost/fit_seconds",
)  # fmt: skip
"""What fits on a page; the report has the rest."""

INTERVALS = (
    "IQM over cells with its 95 % bootstrap interval, of seeds within scenes, or over scenes where it says so; success "
    "with Wilson's. Penalised: a cell without an answer is charged 180 deg, an IoU of 0, the PSNR of the mean colour"
)


def summary(boards: Sequence[Board]) -> list[Table]:
    """The leaderboard of every setting and degradation."""
    settings = {board.setting for board in boards}
    return [_aggregated(board, f"summary_{_file(board, settings)}", "Summary", board.rows) for board in boards]


def ablations(boards: Sequence[Board], library: Library) -> list[Table]:
    """Variants of a method, by the options in its label, beside the method itself; of the clean captures."""
    settings = {board.setting for board in boards}
    found = []
    for board in boards:
        bases = sorted({split_label(row.label)[0] for row in board.rows if split_label(row.label)[1]})
        for base in bases if board.degradation == CLEAN else ():
            rows = [row for row in board.rows if split_label(row.label)[0] == base]
            made = _aggregated(board, f"ablation_{base}_{_file(board, settings)}", f"Ablation of {base}", rows)
            found.append(replace(made, remarks=(library.missing["ablation"],)) if base == "gnerf" else made)
    return found


def _file(board: Board, settings: Iterable[Setting]) -> str:
    return slug(board.degradation.replace("@", "_")) + board.setting.suffix(settings)


def _aggregated(board: Board, file: str, what: str, rows: Sequence[Row]) -> Table:
    notes = Footnotes()
    shown = [k for k, head in enumerate(board.heads) if head.column and head.column.name in COLUMNS]
    against = f", {board.setting.agreement}" if board.setting.agreement else ""
    return Table(
        name=file, detailed=True,
        caption=f"{what}, {board.degradation}{against}. Protocol {board.setting.protocol}, {board.setting.effort}; "
        f"{counted(len(board.scenes), 'scene')}; {INTERVALS}.",
        heads=(Head(text="n"), Head(text="success\n(%) ↑"), *(board.heads[k] for k in shown)),
        rows=tuple(
            replace(row, numbers=_numbers(row, shown, notes), apart=row.apart and row is not rows[0]) for row in rows
        ),
        notes=notes.lines,
    )  # fmt: skip


def _numbers(row: Row, shown: Sequence[int], notes: Footnotes) -> tuple[Number, ...]:
    why = (notes.letter(f"{row.label}: {row.failed} of {row.n} cells failed"),) if row.failed else ()
    why += (notes.letter(f"{row.label}: {row.skipped} cells skipped"),) if row.skipped else ()
    first = Number.plain(str(row.n), failed=row.failed > 0, notes=why)
    if row.rate is None or row.success is None:
        return first, Number(), *(Number() for _ in shown)
    success = Number.plain(f"{100 * row.rate:.0f}", f"[{100 * row.success.low:.0f}, {100 * row.success.high:.0f}]")
    numbers = [row.numbers[k] if row.numbers else Number(why="no cell gave an answer") for k in shown]
    return first, success, *(replace(number, notes=_notes(number, row, notes)) for number in numbers)


def _notes(number: Number, row: Row, notes: Footnotes) -> tuple[str, ...]:
    texts = [f"{row.label}: {number.why}"] if number.why else [f"over {number.n} cells"] if number.n != row.n else []
    texts += [f"{row.label}: {number.flagged} cells flagged"] if number.flagged else []
    return tuple(map(notes.letter, texts))


def bearing(curves: Sequence[Curve], library: Library) -> list[Table]:
    """One a setting and kind of degradation: success and quality by severity, area, breaking point."""
    groups = by_kind(curves)
    settings = {setting for setting, _ in groups}
    found = []
    for (setting, kind), held in groups.items():
        severities = sorted({level.severity for curve in held for level in curve.levels})
        names = [name for name in (SUCCESS, ROTATION, PSNR, IOU) if any(curve.points(name) for curve in held)]
        if any(point.value < 1 for curve in held for _, point in curve.points(REGISTERED)):
            names.insert(1, REGISTERED)
        titles = {SUCCESS: "success ↑"} | {name: f"{column(name).heading} {column(name).arrow}" for name in names[1:]}
        heads = [Head(group=titles[name], text=f"{severity:g}") for name in names for severity in severities]
        heads += [Head(group="success", text="area ↑"), Head(group="success", text="breaks between")]
        numbers = {level.n for curve in held for level in curve.levels}
        n = ("" if len(numbers) == 1 else f"{min(numbers)} to ") + counted(max(numbers), "cell")
        lost = ", and counted as 0 % in registered" if REGISTERED in names else ""
        scenes = counted(len({scene for curve in held for scene in curve.scenes}), "scene")
        notes = Footnotes()
        rows = tuple(_bearing(curve, names, severities, notes) for curve in held)
        found.append(
            Table(
                name=f"robustness_{slug(kind)}{setting.suffix(settings)}", detailed=True, heads=tuple(heads),
                caption=f"Robustness to {kind}, by severity (0: clean). {setting.title}; {scenes}, {n} a "
                f"severity; medians with their 95 % bootstrap interval, success with Wilson's; failures charged{lost}. "
                "A method breaks between the last severity at which half of its "
                "cells succeed and the first at which fewer do. Below an area: what it would be if the curve were as "
                "low, or as high, between two severities as at either of them.",
                rows=rows, notes=notes.lines, remarks=(library.missing["noise"],) if kind == "gaussian_noise" else (),
            )
        )  # fmt: skip
    return found


def _bearing(curve: Curve, names: Sequence[str], severities: Sequence[float], notes: Footnotes) -> Row:
    levels = {level.severity: level for level in curve.levels}
    numbers = [_level(levels.get(severity), name, notes) for name in names for severity in severities]
    area, _, bounds = show_area(curve, SUCCESS).partition(" ")
    numbers += [Number.plain(area, bounds), Number.plain(str(curve.broken))]
    return Row(label=curve.method, given=curve.given, given_poses=curve.given_poses, numbers=tuple(numbers))


def _level(level: Level | None, name: str, notes: Footnotes) -> Number:
    if level is None or name not in level.points:
        return Number()
    text, _, interval = show(name, level.points[name]).partition(" [")
    short = level.n - level.solved if name == SUCCESS else 0
    why = (notes.letter(f"{short} of {level.n} cells did not succeed"),) if short else ()
    return Number.plain(text, f"[{interval}" if interval else "", notes=why, failed=short > 0)


def noise(library: Library) -> list[Table]:
    """What others published under image noise: severities of their own, so nothing of ours stands beside it."""
    return [
        Table(
            name=f"published_noise_{each.method.lower()}",
            caption=f"Published: {each.method} on {each.scene} under image noise, rotation error (deg). Given "
            f"{each.given}. Source ({each.read}): {each.source}.",
            heads=tuple(Head(group="standard deviation", text=str(sigma), source="published") for sigma in each.sigma),
            rows=(Row(label=each.method, numbers=tuple(Number.plain(str(value)) for value in each.rotation)),),
        )
        for each in library.noise
    ]
