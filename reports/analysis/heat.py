"""A suite in one small matrix: methods down, degradations or scenes across, failures hatched."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from reports.analysis import aggregates, scores, stats
from reports.analysis.columns import column
from reports.analysis.scores import CLEAN, PSNR, ROTATION, STATUSES, Entry, Question, Setting

Hatch = Literal["", "some", "all"]
MEASURES = {"success": "success rate", "rotation": "rotation error", "psnr": "held-out PSNR"}


@dataclass(frozen=True, kw_only=True)
class Square:
    """`shade` is 0 (worst) to 1 (best) by measure, None where there is no number; `query` finds its cells."""

    n: int
    texts: Mapping[str, str] = field(default_factory=dict)
    shade: Mapping[str, float | None] = field(default_factory=dict)
    hatch: Hatch = ""  # whether some or all of its cells gave no answer
    lost: float = 0.0  # the share of those
    detail: str = ""  # how its cells ended
    query: Mapping[str, str] = field(default_factory=dict)
    page: str = ""  # of its only cell


@dataclass(frozen=True, kw_only=True)
class HeatRow:
    method: str
    given: str
    told: bool
    squares: tuple[Square, ...]


@dataclass(frozen=True, kw_only=True)
class Heat:
    setting: Setting
    across: str  # "degradation" or "scene"
    scope: str  # what all squares share: "3 scenes", "clean"
    columns: tuple[tuple[str, str], ...]  # (kind, severity) of degradations, (scene, "") of scenes
    rows: tuple[HeatRow, ...]


def heats(entries: Sequence[Entry]) -> list[Heat]:
    """For each setting, methods by degradations; and where there are several scenes, methods by scenes as they are."""
    levels = scores.mean_colour(entries)
    found = []
    for setting, each in scores.by_setting(entries).items():
        n = len(scores.by_scene(each))
        found.append(
            _heat(
                setting, "degradation", f"{n} scene{'s' if n > 1 else ''}",
                each, lambda entry: entry.result.cell.degradation, list(scores.by_degradation(each)), levels,
            )
        )  # fmt: skip
        clean = [entry for entry in each if entry.result.cell.degradation == CLEAN]
        scenes = list(scores.by_scene(clean))
        if len(scenes) > 1:
            found.append(
                _heat(setting, "scene", CLEAN, clean, lambda entry: entry.result.cell.scene, scenes, levels)
            )  # fmt: skip
    return found


def _heat(
    setting: Setting, across: str, scope: str, entries: Sequence[Entry], key: Callable[[Entry], str],
    columns: Sequence[str], levels: dict[Question, float],
) -> Heat:  # fmt: skip
    rows = []
    for method, each in scores.by_method(entries).items():
        held: dict[str, list[Entry]] = {name: [] for name in columns}
        for entry in each:
            held[key(entry)].append(entry)
        common = {"method": method} | ({"degradation": CLEAN} if across == "scene" else {})
        squares = tuple(_square(found, common | {across: name}, levels) for name, found in held.items())
        rows.append(
            HeatRow(
                method=method, given=scores.describe_given(each), told=scores.is_told(each), squares=squares
            )
        )  # fmt: skip
    titles = [_split(name) if across == "degradation" else (name, "") for name in columns]
    return Heat(setting=setting, across=across, scope=scope, columns=tuple(titles), rows=tuple(rows))


def _split(degradation: str) -> tuple[str, str]:
    kind, _, severity = degradation.partition("@")
    return kind, severity


def _square(entries: Sequence[Entry], query: Mapping[str, str], levels: dict[Question, float]) -> Square:
    if not entries:
        return Square(n=0, detail="not in this run")
    tried = scores.tried(entries)
    page = entries[0].page if len(entries) == 1 else ""
    if not tried:
        reason = entries[0].result.reason or "no reason was recorded"
        return Square(n=0, detail=f"skipped: {reason}", query=query, page=page)
    success = scores.success(tried)
    failed = [entry for entry in tried if entry.failed]
    rotation, psnr = (_iqm(tried, name, levels) for name in (ROTATION, PSNR))
    ended = ", ".join(
        f"{sum(entry.result.status == status for entry in tried)} {name}"
        for status, name in STATUSES.items()
        if any(entry.result.status == status for entry in tried)
    )
    return Square(
        n=len(tried),
        texts={
            "success": f"{int(success.sum())}/{len(tried)}",
            "rotation": "—" if math.isnan(rotation) else f"{column(ROTATION).show(rotation)}°",
            "psnr": "—" if math.isnan(psnr) else column(PSNR).show(psnr),
        },
        shade={
            "success": float(success.mean()),
            "rotation": _shade(math.log10(max(rotation, 0.05)), math.log10(90), math.log10(0.1)),
            "psnr": _shade(psnr, 10, 35),
        },
        hatch="all" if len(failed) == len(tried) else "some" if failed else "",
        lost=len(failed) / len(tried),
        detail=f"{int(success.sum())} of {len(tried)} succeeded; {ended}",
        query=query,
        page=page,
    )


def _iqm(entries: Sequence[Entry], name: str, levels: dict[Question, float]) -> float:
    """Of penalised scores; NaN where there is none, or a charge is not known."""
    _, values = aggregates.charge(entries, name, levels)
    return float(stats.iqm(values)) if len(values) and np.isfinite(values).all() else math.nan


def _shade(value: float, worst: float, best: float) -> float | None:
    return None if math.isnan(value) else min(max((value - worst) / (best - worst), 0.0), 1.0)
