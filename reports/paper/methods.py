"""Tables with methods down: a summary over scenes, ablations, and how each method bears a degradation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.cell import split_label
from reports.analysis.aggregates import Across, AcrossRow, Aggregate
from reports.analysis.aggregates import Head as Aggregated
from reports.analysis.columns import SHORT, column
from reports.analysis.footnotes import Footnotes
from reports.analysis.robustness import SUCCESS
from reports.analysis.scores import CLEAN, IOU, PSNR, REGISTERED, ROTATION, Setting
from reports.analysis.severities import Curve, Level
from reports.naming import slug
from reports.paper.published import Library
from reports.paper.table import Cell, Head, Row, Table

COLUMNS = (
    ROTATION, "pose/auc_15", IOU, PSNR, "nvs/refined/psnr", "nvs/half/psnr", "nvs/registered/psnr", "cost/fit_seconds",
)  # fmt: skip
"""What fits on a page; the report has the rest."""

INTERVALS = "IQM over cells with its stratified bootstrap interval (95 %); success with Wilson's"


def summary(across: Sequence[Across]) -> list[Table]:
    """The leaderboard of every setting and degradation."""
    settings = {table.setting for table in across}
    return [_aggregated(table, f"summary_{_file(table, settings)}", "Summary", table.rows) for table in across]


def ablations(across: Sequence[Across], library: Library) -> list[Table]:
    """Variants of a method, by the options in its label, beside the method itself; of the clean captures."""
    settings = {table.setting for table in across}
    found = []
    for table in across:
        bases = sorted({split_label(row.method)[0] for row in table.rows if split_label(row.method)[1]})
        for base in bases if table.degradation == CLEAN else ():
            rows = [row for row in table.rows if split_label(row.method)[0] == base]
            made = _aggregated(table, f"ablation_{base}_{_file(table, settings)}", f"Ablation of {base}", rows,
                               library.missing["ablation"] if base == "gnerf" else "")  # fmt: skip
            found.append(made)
    return found


def _file(table: Across, settings: Iterable[Setting]) -> str:
    return slug(table.degradation.replace("@", "_")) + table.setting.suffix(settings)


def _aggregated(table: Across, file: str, what: str, rows: Sequence[AcrossRow], remark: str = "") -> Table:
    notes = Footnotes()
    shown = [k for k, head in enumerate(table.heads) if head.column.name in COLUMNS]
    heads = [Head(group="", text="n"), Head(group="", text="success\n(%) ↑"), *(_head(table.heads[k]) for k in shown)]
    against = ", agreement with COLMAP" if table.setting.agreement else ""
    caption = (
        f"{what}, {table.degradation}{against}. Protocol {table.setting.protocol}, {table.setting.effort}; "
        f"{len(table.scenes)} scene{'s' if len(table.scenes) > 1 else ''}; {INTERVALS}. Penalised: a failed cell is "
        "charged 180 deg and the PSNR of the mean-colour image."
    )
    first_told = next((row.method for row in rows[1:] if row.told and not rows[0].told), None)
    return Table(
        name=file, caption=caption, stub="method", heads=tuple(heads), detailed=True,
        rows=tuple(
            Row(label=row.method, detail=row.given, cells=_cells(row, shown, notes), apart=row.method == first_told)
            for row in rows
        ),
        notes=tuple(notes), remarks=(remark,) if remark else (),
    )  # fmt: skip


def _head(head: Aggregated) -> Head:
    group = SHORT.get(head.column.group, head.column.group)
    lines = (head.column.label, head.cells, f"{head.column.unit} {head.column.arrow}".strip())
    return Head(group=group, text="\n".join(filter(None, lines)))


def _cells(row: AcrossRow, shown: Sequence[int], notes: Footnotes) -> tuple[Cell, ...]:
    why = (notes.letter(f"{row.method}: {row.failed} of {row.n} cells failed"),) if row.failed else ()
    why += (notes.letter(f"{row.method}: {row.skipped} cells skipped"),) if row.skipped else ()
    first = Cell(text=str(row.n), failed=row.failed > 0, notes=why)
    if row.rate is None or row.interval is None:
        return first, Cell(text="—"), *(Cell(text="—") for _ in shown)
    low, high = (100 * end for end in row.interval)
    success = Cell(text=f"{100 * row.rate:.0f}", spread=f"[{low:.0f}, {high:.0f}]")
    return first, success, *(_aggregate(row.aggregates[k], row, notes) for k in shown)


def _aggregate(aggregate: Aggregate, row: AcrossRow, notes: Footnotes) -> Cell:
    if not aggregate.figures:
        return Cell(text="—", notes=(notes.letter(f"{row.method}: {aggregate.why}"),))
    figure = aggregate.figures["iqm"]
    short = (notes.letter(f"over {aggregate.n} cells"),) if aggregate.n != row.n else ()
    flags = (notes.letter(f"{row.method}: {aggregate.flagged} cells flagged"),) if aggregate.flagged else ()
    return Cell(text=figure.text, spread=figure.spread, mark=figure.mark, notes=(*short, *flags))


def bearing(curves: Sequence[Curve], library: Library) -> list[Table]:
    """One a setting and kind of degradation: success and quality by severity, area, breaking point."""
    settings = {curve.setting for curve in curves}
    found = []
    for setting, kind in dict.fromkeys((curve.setting, curve.kind) for curve in curves):
        held = [curve for curve in curves if (curve.setting, curve.kind) == (setting, kind)]
        severities = sorted({level.severity for curve in held for level in curve.levels})
        names = [name for name in (SUCCESS, ROTATION, PSNR, IOU) if any(_has(curve, name) for curve in held)]
        if any(_lost(curve) for curve in held):
            names.insert(1, REGISTERED)
        titles = {SUCCESS: "success (%) ↑"} | {
            name: f"{column(name).heading} {column(name).arrow}" for name in names[1:]
        }
        heads = [Head(group=titles[name], text=f"{severity:g}") for name in names for severity in severities]
        heads += [Head(group="success", text="area ↑"), Head(group="success", text="breaks at")]
        scenes = sorted({scene for curve in held for scene in curve.scenes})
        numbers = [level.n for curve in held for level in curve.levels]
        few, many = min(numbers), max(numbers)
        cells = f"{few if few == many else f'{few} to {many}'} cell{'s' if many > 1 else ''}"
        lost = ", and counted as 0 % in registered" if REGISTERED in names else ""
        notes = Footnotes()
        found.append(
            Table(
                name=f"robustness_{slug(kind)}{setting.suffix(settings)}",
                caption=f"Robustness to {kind}, by severity (0: clean). {setting.title}; {len(scenes)} "
                f"scene{'s' if len(scenes) > 1 else ''}, {cells} a severity; "
                "medians with their stratified bootstrap interval (95 %), success with Wilson's; failures charged "
                f"in rotation and PSNR{lost}. A method breaks at the first severity at which fewer than half of its "
                "cells succeed.",
                stub="method", heads=tuple(heads), detailed=True,
                rows=tuple(_bearing(curve, names, severities, notes) for curve in held), notes=tuple(notes),
                remarks=(library.missing["noise"],) if kind == "gaussian_noise" else (),
            )
        )  # fmt: skip
    return found


def _has(curve: Curve, name: str) -> bool:
    return any(name in level.points for level in curve.levels)


def _lost(curve: Curve) -> bool:
    """Whether it registered fewer than all views somewhere."""
    return any(level.points[REGISTERED].value < 1 for level in curve.levels if REGISTERED in level.points)


def _bearing(curve: Curve, names: Sequence[str], severities: Sequence[float], notes: Footnotes) -> Row:
    levels = {level.severity: level for level in curve.levels}
    cells = [_level(levels.get(severity), name, notes) for name in names for severity in severities]
    breaking = "—" if curve.breaking is None else f"{curve.breaking:g}"
    cells += [Cell(text=curve.shown_area), Cell(text=breaking)]
    return Row(label=curve.method, detail=curve.given, cells=tuple(cells))


def _level(level: Level | None, name: str, notes: Footnotes) -> Cell:
    """A success rate below 1 is a dagger with the number of cells."""
    if level is None or name not in level.points:
        return Cell(text="—")
    point = level.points[name]

    def text(value: float) -> str:
        return f"{100 * value:.0f}" if name == SUCCESS else column(name).show(value)

    interval = f"[{text(point.interval.low)}, {text(point.interval.high)}]" if point.interval else ""
    short = point.n - point.successes if name == SUCCESS else 0
    why = (notes.letter(f"{short} of {point.n} cells did not succeed"),) if short else ()
    return Cell(text=text(point.value), spread=interval, notes=why, failed=short > 0)


def noise(library: Library) -> list[Table]:
    """What others published under image noise: severities of their own, so nothing of ours stands beside it."""
    found = []
    for each in library.noise:
        found.append(
            Table(
                name=f"published_noise_{each.method.lower()}",
                caption=f"Published: {each.method} on {each.scene} under image noise, rotation error (deg). Given "
                f"{each.given}. Source ({each.read}): {each.source}.",
                stub="method", notes=(),
                heads=tuple(
                    Head(group="standard deviation", text=str(sigma), source="published") for sigma in each.sigma
                ),
                rows=(Row(label=each.method, cells=tuple(Cell(text=str(v)) for v in each.rotation)),),
            )
        )  # fmt: skip
    return found
