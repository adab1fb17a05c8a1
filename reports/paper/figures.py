"""Figures for a paper, of the same tables as the site's: robustness, heat map, cost against quality, ranks, renders."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import NDArray

from reports.analysis import entries as cells
from reports.analysis.columns import column
from reports.analysis.entries import IOU, PSNR, Entry
from reports.analysis.heat import Heat
from reports.analysis.paired import Ranks
from reports.analysis.robustness import BROKEN_BELOW, SUCCESS, Curve
from reports.analysis.tradeoff import Costs
from reports.paper import matplotlib_style
from reports.pictures import ERROR_FULL, pictures_of, read, score, spread, typical
from reports.site.chart import one_two_five

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Picture = NDArray[np.uint8]

VIEWS = 4  # of a row of renders
KINDS = 4  # of degradation in a row of panels
ROWS = 2  # of kinds on a page
SQUARES = 14  # of a heat map's row, at most


def robustness(curves: Sequence[Curve], colours: Mapping[str, int]) -> Iterator[Figure]:
    """Success rate above held-out quality for each kind of degradation, all of one setting: pages of eight kinds."""
    kinds = list(dict.fromkeys(curve.kind for curve in curves))
    for k in range(0, len(kinds), ROWS * KINDS):
        yield _kinds(kinds[k : k + ROWS * KINDS], curves, colours)


def _kinds(kinds: Sequence[str], curves: Sequence[Curve], colours: Mapping[str, int]) -> Figure:
    across = min(len(kinds), KINDS)
    figure, axes = matplotlib_style.panels(2 * math.ceil(len(kinds) / across), across, 1.75)
    above, below = ([panel for row in axes[half::2] for panel in row] for half in (0, 1))
    for k, (kind, upper, lower) in enumerate(zip(kinds, above, below, strict=False)):  # the last row may be short
        held = [curve for curve in curves if curve.kind == kind]
        name = IOU if any(curve.points(IOU) for curve in held) else PSNR  # of silhouettes, of images
        _severities(upper, held, SUCCESS, colours)
        _severities(lower, held, name, colours)
        upper.set_title(kind)
        upper.axhline(BROKEN_BELOW, color="#b3400a", linewidth=0.6, linestyle=":")
        upper.set_ylim(-0.05, 1.05)
        lower.set_xlim(upper.get_xlim())
        lower.set_xlabel("severity (0: clean)")
        upper.set_ylabel("success rate" if k % across == 0 else "")
        lower.set_ylabel(f"held-out {column(name).heading}")
    for empty in (*above[len(kinds) :], *below[len(kinds) :]):
        empty.remove()
    matplotlib_style.legend(figure, above[: len(kinds)])
    return figure


def _severities(axes: Axes, curves: Sequence[Curve], name: str, colours: Mapping[str, int]) -> None:
    for k, curve in enumerate(curves):
        held = curve.points(name)
        if not held:
            continue
        aside = 0.03 * (k - (len(curves) - 1) / 2)
        ink = matplotlib_style.ink(colours[curve.method])
        x = np.array([severity for severity, _ in held]) + aside
        y = np.array([point.value for _, point in held])
        ends = np.array([(point.interval or (point.value,) * 2)[:2] for _, point in held])  # (n, 2)
        reach = np.abs(ends.T - y)
        axes.errorbar(x, y, yerr=reach, elinewidth=0.5, capsize=1.5, capthick=0.5, label=curve.method, **ink)
        holds, breaks = curve.broken
        if name == SUCCESS and breaks is not None:
            span = np.array([breaks if holds is None else holds, breaks]) + aside
            level = BROKEN_BELOW + 0.03 * (k - (len(curves) - 1) / 2)
            axes.plot(span, [level] * 2, color=ink["color"], linewidth=2, alpha=0.5)
            axes.plot(span.mean(), level, marker="x", markersize=6, color=ink["color"])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def heat(table: Heat) -> Figure:
    """Success rates; cells that failed are hatched. A wide one goes on in further panels, of equal squares."""
    n = len(table.columns)
    down = math.ceil(n / SQUARES)
    wide = math.ceil(n / down)
    figure, axes = matplotlib_style.panels(down, 1, 0.5 + 0.3 * len(table.rows))
    for k, (panel,) in enumerate(axes):
        _squares(panel, table, range(k * wide, min((k + 1) * wide, n)), wide)
    return figure


def _squares(axes: Axes, table: Heat, shown: range, wide: int) -> None:
    """Some columns of a heat map, on axes with room for `wide`."""
    from matplotlib.patches import Rectangle

    axes.grid(visible=False)
    for y, row in enumerate(table.rows):
        for x, square in enumerate(row.squares[k] for k in shown):
            shade = square.shade.get("success")
            face = "white" if shade is None else _blend(shade)
            hatch = {"": None, "some": "///", "all": "//////"}[square.hatch]
            axes.add_patch(
                Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, facecolor=face, edgecolor="#b3400a" if hatch else face,
                          hatch=hatch, linewidth=0)
            )  # fmt: skip
            text = square.texts.get("success", "skipped" if square.query else "·")
            axes.text(x, y, text, ha="center", va="center", fontsize=7, bbox={"facecolor": "white", "alpha": 0.7,
                      "linewidth": 0, "pad": 1})  # fmt: skip
    labels = [" ".join(table.columns[k]).strip() for k in shown]
    axes.set_xticks(range(len(labels)), labels, rotation=30, ha="right")
    axes.set_yticks(range(len(table.rows)), [f"{row.method}{' *' if row.given_poses else ''}" for row in table.rows])
    axes.set_xlim(-0.5, wide - 0.5)
    axes.set_ylim(len(table.rows) - 0.5, -0.5)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _blend(share: float) -> tuple[float, ...]:
    cold, warm = np.array([246, 234, 217]) / 255, np.array([47, 127, 181]) / 255
    return tuple(float(v) for v in cold + share * (warm - cold))


def tradeoff(costs: Costs, colours: Mapping[str, int]) -> Figure:
    """Seconds of a fit against PSNR; hollow: given poses, true, rough or submitted."""
    figure, [[axes]] = matplotlib_style.panels(1, 1, 2.4)
    for point in costs.points:
        ink = matplotlib_style.ink(colours[point.method])
        (left, right), (low, high) = point.seconds_range[:2], point.psnr_range[:2]
        axes.errorbar(
            point.seconds, point.psnr, xerr=_reach(point.seconds, left, right), yerr=_reach(point.psnr, low, high),
            elinewidth=0.6, marker=ink["marker"], color=ink["color"], label=point.method, linestyle="none",
            markerfacecolor="white" if point.given_poses else ink["color"], markersize=5,
        )  # fmt: skip
    axes.set_xscale("log")
    marks = one_two_five(*axes.get_xlim())
    axes.set_xticks(marks, [f"{mark:g}" for mark in marks])
    axes.set_xlim(marks[0], marks[-1])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("wall time of a fit (s), median")
    axes.set_ylabel("held-out PSNR (dB), aligned")
    matplotlib_style.legend(figure, [axes])
    return figure


def _reach(value: float, low: float, high: float) -> list[list[float]]:
    return [[max(value - low, 0.0)], [max(high - value, 0.0)]]


def ranks(held: Ranks) -> Figure:
    """A critical-difference diagram."""
    k, half = len(held.methods), (len(held.methods) + 1) // 2
    figure, [[axes]] = matplotlib_style.panels(1, 1, 0.8 + 0.18 * half)
    axes.axis("off")
    axes.plot([1, k], [0, 0], color="black", linewidth=0.8)
    for rank in range(1, k + 1):
        axes.plot([rank, rank], [0, 0.12], color="black", linewidth=0.8)
        axes.text(rank, 0.22, str(rank), ha="center", va="bottom", fontsize=7)
    axes.plot([1, 1 + held.difference], [0.85, 0.85], color="black", linewidth=1)
    axes.text(1 + held.difference / 2, 0.92, f"CD = {held.difference:.2f}", ha="center", va="bottom", fontsize=7)
    for i, (a, b) in enumerate(held.groups):
        axes.plot([held.ranks[a] - 0.03, held.ranks[b] + 0.03], [-0.18 - 0.12 * i] * 2, color="black", linewidth=2.2)
    below = -0.35 - 0.12 * len(held.groups)
    for i, (method, rank) in enumerate(zip(held.methods, held.ranks, strict=True)):
        left = i < half
        y = below - 0.3 * (i if left else k - 1 - i)
        end = 0.8 if left else k + 0.2
        axes.plot([rank, rank, end], [0, y, y], color="black", linewidth=0.6)
        axes.text(
            end + (-0.05 if left else 0.05), y, f"{method}  {rank:.2f}", ha="right" if left else "left", va="center"
        )
    axes.set_xlim(0, k + 1)
    return figure


def renders(entries: Sequence[Entry], colours: Mapping[str, int]) -> Figure | None:
    """Held-out truth, each method's aligned renders and their errors, of one question; None where none were kept."""
    truth = pictures_of(entries[0].folder.parent.parent / "truth")
    names = [sorted(truth)[k] for k in spread(len(truth), VIEWS)]
    pictures = [_read(truth[name]) for name in names]
    rows = [("truth", "black", pictures, names)]
    for method, each in cells.by_method(entries).items():
        entry = typical([e for e in each if e.done and (e.folder / "renders").is_dir()])
        if entry is None:
            continue
        shown = [_read(entry.folder / "renders" / f"{name}.aligned.png") for name in names]
        errors = [_error(a, b) for a, b in zip(pictures, shown, strict=True)]
        colour = matplotlib_style.COLOURS[colours[method] % len(matplotlib_style.COLOURS)]
        scores = [score(entry.result.per_view.get(name, {})) for name in names]
        rows.append((f"{method}\nseed {entry.cell.seed}", colour, shown, scores))
        rows.append(("error", colour, errors, [""] * len(names)))
    known = [picture for _, _, row, _ in rows for picture in row if picture is not None]
    if len(rows) == 1 or not known:
        return None
    return _montage(rows, max(p.shape[0] for p in known), max(p.shape[1] for p in known))


def _montage(rows: Sequence[tuple[str, str, Sequence[Picture | None], Sequence[str]]], high: int, wide: int) -> Figure:
    """All pictures on one canvas: a row's name at its left, a word above each of its pictures."""
    step_y, step_x = round(high * 1.12), round(wide * 1.03)  # room for the words
    canvas = np.full((len(rows) * step_y, len(rows[0][2]) * step_x, 3), 255, np.uint8)
    figure, [[axes]] = matplotlib_style.panels(1, 1, 1.15 * len(rows), width=1.03 * len(rows[0][2]) + 0.4)
    for y, (name, colour, row, words) in enumerate(rows):
        top = y * step_y + step_y - high
        axes.text(-0.04 * wide, top + high / 2, name, rotation=90, ha="right", va="center", color=colour, fontsize=6)
        for x, (picture, word) in enumerate(zip(row, words, strict=True)):
            axes.text(x * step_x + wide / 2, top - 0.01 * high, word, ha="center", va="bottom", fontsize=5)
            if picture is not None:
                canvas[top : top + picture.shape[0], x * step_x : x * step_x + picture.shape[1]] = picture
    axes.imshow(canvas, interpolation="nearest")
    axes.axis("off")
    return figure


def _read(path: Path) -> Picture | None:
    """(H, W, 3), or None where there is none that can be read."""
    image = read(path)
    return None if image is None else np.asarray(image.convert("RGB"))


def _error(truth: Picture | None, render: Picture | None) -> Picture | None:
    """Mean absolute difference over channels, in the colours of the site's error maps."""
    if truth is None or render is None or truth.shape != render.shape:
        return None
    error = np.abs(truth.astype(float) - render.astype(float)).mean(axis=2) / 255  # (H, W)
    return mpl.colormaps["magma"](np.clip(error / ERROR_FULL, 0, 1), bytes=True)[..., :3]
