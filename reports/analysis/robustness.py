"""How methods bear a degradation: a curve over its severities, the area under it, where it breaks (posefree/1, sec. 6).

Works on the table of results (`bench.record.table`) alone. A curve is of one method and one kind, over all scenes and
seeds in which the kind was run; severity 0 is the clean cells of those same scenes and seeds. A severity that was run
in some of them alone (a bisection asks each scene for others) is no point of the curve: it would be another mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.degrade import CLEAN, KINDS
from bench.task import Effort
from reports.analysis import stats
from reports.analysis.scores import IOU, MEAN_COLOUR, PSNR, REGISTERED, ROTATION

if TYPE_CHECKING:
    import pandas as pd

SUCCESS = "success"
METRICS = (SUCCESS, ROTATION, REGISTERED, PSNR)
"""What a curve is drawn of: the success rate, and penalised medians."""

QUESTION = ["scene", "degradation", "effort", "protocol", "reference"]
TOGETHER = ["agreement", "effort", "protocol"]  # numbers of two of these never meet
TABLE = (
    "family", "kind", "method", "metric", "effort", "protocol", "agreement", "scenes", "seeds", "even", "partial",
    "clean", "area", "relative", "breaks", "curve", "successes",
)  # fmt: skip
"""Columns of `robustness.csv`."""

NOTHING = 1e-6  # a rotation error of rounding alone
OTHER = "other"  # a kind that this version does not know


@dataclass(frozen=True, kw_only=True)
class Point:
    """One severity: `value` is the success rate, or the median with failures charged; they registered no view."""

    severity: float
    value: float
    successes: int
    n: int
    interval: stats.Interval | None = None  # 95 %: Wilson's, or the bootstrap's with scenes as strata


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One metric of one method under one kind; points by severity."""

    family: str
    kind: str
    method: str
    metric: str
    effort: Effort
    protocol: str
    agreement: bool
    scenes: tuple[str, ...]
    seeds: tuple[int, ...]
    even: bool  # every severity rests on the same scenes and seeds
    partial: tuple[float, ...]  # severities left out, run in some of these scenes and seeds alone
    points: tuple[Point, ...]

    @property
    def clean(self) -> float | None:
        """The value at severity 0."""
        return self.points[0].value if self.points and self.points[0].severity == 0 else None

    @property
    def area(self) -> float | None:
        """Under the curve, over the width of the severities run: its mean height. None for a single point."""
        if len(self.points) < 2:
            return None
        x, y = ([getattr(point, name) for point in self.points] for name in ("severity", "value"))
        return float(np.trapezoid(y, x) / (x[-1] - x[0]))

    @property
    def relative(self) -> float | None:
        """Area over the clean value: 1 for what the degradation does nothing to. None where clean is 0 or unknown."""
        if self.area is None or self.clean is None or abs(self.clean) < NOTHING:
            return None
        return self.area / self.clean

    @property
    def breaks(self) -> float | None:
        """The first severity at which the success rate falls below one half; None where it never does."""
        return next((point.severity for point in self.points if 2 * point.successes < point.n), None)


def curves(results: pd.DataFrame, metrics: Iterable[str] = METRICS) -> list[Curve]:
    """All curves that a table of results holds, by family, kind and method. Skipped cells are not in them."""
    tried = _scored(results)
    found = []
    for one in tried.loc[tried.kind != CLEAN, [*TOGETHER, "kind", "method"]].drop_duplicates().to_dict("records"):
        kind, shared = one["kind"], {name: one[name] for name in (*TOGETHER, "method")}
        mine = tried[np.logical_and.reduce([tried[name] == value for name, value in shared.items()])]
        cells = mine[mine.kind == kind]
        whole = mine[mine.kind.isin([CLEAN, kind]) & _pairs(mine).isin(_pairs(cells))]
        groups, partial = _whole(dict(list(whole.groupby("severity", sort=True))), set(_pairs(cells)))
        for metric in metrics:
            points = [_point(severity, group, metric) for severity, group in groups.items()]
            if metric.startswith("nvs/") and _changes_scene(kind):
                points = [point for point in points if point and point.severity > 0]  # of other images altogether
            found.append(
                Curve(
                    **shared, kind=kind, family=KINDS[kind].family if kind in KINDS else OTHER, metric=metric,
                    scenes=tuple(sorted(set(cells.scene))), seeds=tuple(sorted(set(cells.seed))),
                    even=len({frozenset(_pairs(group)) for group in groups.values()}) == 1, partial=partial,
                    points=tuple(point for point in points if point),
                )
            )  # fmt: skip
    order = {name: k for k, name in enumerate((*KINDS, *sorted({curve.kind for curve in found} - KINDS.keys())))}
    return sorted(found, key=lambda c: (c.agreement, c.effort, c.protocol, order[c.kind], c.method))


def _whole(
    groups: Mapping[float, pd.DataFrame], pairs: set[tuple[str, int]]
) -> tuple[dict[float, pd.DataFrame], tuple[float, ...]]:
    """The cells of each severity that was run in all of `pairs`, and of clean; and the severities left out. All are
    kept, unevenly, where none was run in all."""
    complete = {severity for severity, group in groups.items() if set(_pairs(group)) == pairs}
    kept = {severity: group for severity, group in groups.items() if severity in complete | {0}}
    if not any(severity > 0 for severity in complete):
        return dict(groups), ()
    return kept, tuple(severity for severity in groups if severity not in kept)


def _pairs(cells: pd.DataFrame) -> pd.Series:
    """(scene, seed) of each cell."""
    return cells[["scene", "seed"]].apply(tuple, axis=1)


def _scored(results: pd.DataFrame) -> pd.DataFrame:
    """The cells tried, with columns `success` and `floor`: the PSNR that a failure is charged, of the mean-colour image
    of its question; where no cell of the question states it, of its scene's other severities, or of the scene."""
    frame = results.reindex(columns=list(dict.fromkeys([*results.columns, *METRICS[1:], IOU, MEAN_COLOUR])))
    floor = frame.groupby(QUESTION)[MEAN_COLOUR].transform("median")
    scene = [name for name in QUESTION if name != "degradation"]
    floor = floor.fillna(frame.groupby([*scene, "kind"])[MEAN_COLOUR].transform("median"))
    another = frame.kind.map(_changes_scene)
    floor = floor.fillna(frame[~another].groupby(scene)[MEAN_COLOUR].transform("median").where(~another))
    frame = frame.assign(
        agreement=frame.reference == "colmap",
        success=stats.solved((frame.status == "done").to_numpy(), frame[ROTATION].to_numpy(float)),
        floor=floor,
    )
    return frame[frame.status != "skipped"]


def _changes_scene(kind: str) -> bool:
    return kind in KINDS and KINDS[kind].changes_scene


def _point(severity: Any, cells: pd.DataFrame, metric: str) -> Point | None:
    """None where no cell can have this metric (a method without a field has no PSNR)."""
    success = cells.success.to_numpy()
    successes, n = int(success.sum()), len(cells)
    if metric == SUCCESS:
        value, interval = float(success.mean()), stats.wilson(successes, n)
    else:
        scores, scenes = _charged(cells, metric)
        if not len(scores):
            return None
        strata = [scores[scenes == scene] for scene in sorted(set(scenes))]
        spread = max(map(len, strata)) > 1 and bool(np.isfinite(scores).all())
        value = float(stats.median(scores))
        interval = stats.bootstrap(strata, stats.median) if spread else None
    return Point(severity=float(severity), value=value, successes=successes, n=n, interval=interval)


def _charged(cells: pd.DataFrame, metric: str) -> tuple[stats.Scores, Any]:
    """Scores of the cells that count, and their scenes. posefree/1 charges failures in rotation and PSNR alone; what
    gave no answer registered no view."""
    done, found = (cells.status == "done").to_numpy(), cells[metric].to_numpy(float)
    penalties = {ROTATION: stats.FAILED_ROTATION_DEG, REGISTERED: 0.0, PSNR: cells.floor.to_numpy(float)}
    penalty = penalties.get(metric, np.nan)
    match metric:
        case _ if metric == ROTATION:
            counts = np.ones(len(cells), dtype=bool)
        case _ if metric in (REGISTERED, PSNR):
            counts = ~(done & np.isnan(found))
        case _:
            counts = ~np.isnan(found)
    return stats.penalised(found, done, penalty)[counts], cells.scene.to_numpy()[counts]


def table(results: pd.DataFrame) -> pd.DataFrame:
    """`robustness.csv`: one row a curve, its points as `severity:value` and `severity:successes/n`."""
    import pandas as pd

    rows = [
        {
            "family": curve.family, "kind": curve.kind, "method": curve.method, "metric": curve.metric,
            "effort": curve.effort, "protocol": curve.protocol, "agreement": curve.agreement,
            "scenes": " ".join(curve.scenes), "seeds": " ".join(map(str, curve.seeds)), "even": curve.even,
            "partial": " ".join(f"{severity:g}" for severity in curve.partial),
            "clean": curve.clean, "area": curve.area, "relative": curve.relative, "breaks": curve.breaks,
            "curve": " ".join(f"{point.severity:g}:{point.value:.6g}" for point in curve.points),
            "successes": " ".join(f"{point.severity:g}:{point.successes}/{point.n}" for point in curve.points),
        }
        for curve in curves(results)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(TABLE))
