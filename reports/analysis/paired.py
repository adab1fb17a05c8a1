"""Whether one method is better than another: paired differences over the same questions, and what n allows to be said.

A block is a scene: each method has one score in it, the median over its seeds with failures charged. Ranks and the
critical difference follow Demsar 2006, "Statistical comparisons of classifiers over multiple data sets", sec. 3.1-3.2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import cast

import numpy as np
from scipy.stats import friedmanchisquare, rankdata, studentized_range, wilcoxon

from bench.record import ROTATION
from reports.analysis import entries as cells
from reports.analysis import stats
from reports.analysis.columns import Column, column
from reports.analysis.entries import PSNR, Entry, counted
from reports.analysis.questions import Setting
from reports.analysis.scorebook import Scorebook

ALPHA = 0.05
RANKED_FROM = 6
"""Blocks below which no ranks are compared: the chi-square approximation does not hold for fewer."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """`first` minus `second` over blocks; `better` counts the blocks in which `first` is ahead."""

    first: str
    second: str
    n: int  # blocks in which they differ: what the test rests on
    ties: int  # and in which they do not
    median: float
    interval: stats.Interval | None  # of the mean difference, bootstrap over blocks
    mean: float
    better: int
    worse: int
    lead: float  # sum of the signed ranks: above 0 where `first` is ahead, whatever a few charged failures do to means
    p: float  # Wilcoxon's signed rank test, two-sided
    holm: float  # the same, corrected for all pairs of the table


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Mean rank of each method over blocks (1 is best), and how far two must lie apart to differ."""

    methods: tuple[str, ...]  # best first
    ranks: tuple[float, ...]
    n: int
    statistic: float  # Friedman's chi-square
    p: float
    difference: float  # Nemenyi's critical difference at 5 %

    @property
    def groups(self) -> tuple[tuple[int, int], ...]:
        """Runs (first, last) of methods that do not differ, none within another."""
        found: list[tuple[int, int]] = []
        for first in range(len(self.ranks)):
            last = max(k for k in range(len(self.ranks)) if self.ranks[k] - self.ranks[first] <= self.difference)
            if last > first and not any(a <= first and last <= b for a, b in found):
                found.append((first, last))
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All pairs of methods that see no poses, in one column, each over the blocks that both were tried in.

    `blocks` are those of any pair; a method that shares none is in no pair, and a warning names it. Ranks are
    of all others at once, and so over the blocks that all of these were tried in.
    """

    setting: Setting
    degradation: str
    column: Column
    blocks: tuple[str, ...]
    differences: tuple[Difference, ...]
    ranks: Ranks | None
    warnings: tuple[str, ...]


def comparisons(entries: Sequence[Entry], book: Scorebook) -> list[Comparison]:
    """Of rotation and of PSNR, for each setting and degradation that has two methods to compare."""
    found = []
    for setting, each in cells.by_setting(entries).items():
        for degradation, held in cells.by_degradation(each).items():
            for name in (ROTATION, PSNR):
                table = _scores(held, name, book)
                if any(table[a].keys() & table[b].keys() for a, b in combinations(table, 2)):
                    found.append(_compare(setting, degradation, column(name), table))
    return found


def _scores(entries: Sequence[Entry], name: str, book: Scorebook) -> dict[str, dict[str, float]]:
    """Method -> scene -> median over seeds; a scene without a finite score is left out."""
    blind = [entry for entry in entries if not entry.given_poses]
    table = {
        method: {scene: book.penalised(held, name).at(stats.median) for scene, held in cells.by_scene(each).items()}
        for method, each in cells.by_method(blind).items()
    }
    kept = {method: {k: v for k, v in row.items() if math.isfinite(v)} for method, row in table.items()}
    return {method: row for method, row in kept.items() if row}


def _compare(setting: Setting, degradation: str, shown: Column, table: Mapping[str, Mapping[str, float]]) -> Comparison:
    """`table`: method -> block -> score."""
    low = shown.better == "low"
    differences, blocks = [], set[str]()
    for a, b in combinations(table, 2):
        if shared := sorted(table[a].keys() & table[b].keys()):
            values = np.array([table[a][block] - table[b][block] for block in shared])
            differences.append(difference(a, b, values, low=low))
            blocks.update(shared)
    corrected = holm([each.p for each in differences])
    paired = {method for each in differences for method in (each.first, each.second)}
    warnings = [f"{each} shares no scene with another method, and is left out." for each in table if each not in paired]
    table = {method: row for method, row in table.items() if method in paired}
    n, pairs = max(each.n for each in differences), len(differences)  # n: without ties, which the test drops
    if least(n) > ALPHA / pairs:
        most = "At most " if n < len(blocks) else ""
        differing = " in which they differ" if any(each.ties for each in differences) else ""
        warnings.append(
            f"{most}{counted(n, 'scene')}{differing} and {counted(pairs, 'comparison')}: "
            f"no difference, however large, can reach p < {ALPHA:g}; "
            f"{enough(pairs)} scenes could."
        )
    common = sorted(set.intersection(*(set(row) for row in table.values())))
    ranks = None
    if len(common) >= RANKED_FROM and len(table) > 2:
        matrix = np.array([[row[block] for block in common] for row in table.values()])
        ranks = rank(tuple(table), matrix if low else -matrix)
    elif len(table) > 2:
        warnings.append(
            f"Ranks are compared from {RANKED_FROM} scenes on that all were tried in; here {len(common) or 'none'}."
        )
    return Comparison(
        setting=setting, degradation=degradation, column=shown, ranks=ranks, warnings=tuple(warnings),
        blocks=tuple(sorted(blocks)),
        differences=tuple(replace(each, holm=p) for each, p in zip(differences, corrected, strict=True)),
    )  # fmt: skip


def difference(first: str, second: str, values: stats.Scores, *, low: bool) -> Difference:
    """Of one pair: `values` (blocks,) are first minus second, `low` says that less is better."""
    ahead = -values if low else values
    unequal = ahead[ahead != 0]  # as Wilcoxon's test, which drops ties
    return Difference(
        first=first, second=second, n=len(unequal), ties=len(values) - len(unequal),
        median=float(np.median(values)), mean=float(np.mean(values)),
        interval=stats.interval(values[:, None].tolist(), stats.mean),
        better=int((ahead > 0).sum()), worse=int((ahead < 0).sum()),
        lead=float((np.sign(unequal) * rankdata(np.abs(unequal))).sum()),
        p=signed_rank(values), holm=math.nan,
    )  # fmt: skip


def signed_rank(values: stats.Scores) -> float:
    """Two-sided p of Wilcoxon's signed rank test; 1 where all differences are zero."""
    values = np.asarray(values, float)
    if not np.any(values):
        return 1.0
    _, p = cast(tuple[float, float], wilcoxon(values))  # exact where n is small
    return float(p)


def holm(ps: Sequence[float]) -> list[float]:
    """p values corrected for their number by Holm's step-down rule (Holm 1979), in the order given."""
    order = sorted(range(len(ps)), key=lambda k: ps[k])
    corrected, so_far = [0.0] * len(ps), 0.0
    for place, k in enumerate(order):
        so_far = max(so_far, (len(ps) - place) * ps[k])
        corrected[k] = min(1.0, so_far)
    return corrected


def least(n: int) -> float:
    """The smallest two-sided p that Wilcoxon's test can give for n blocks without ties."""
    return 2.0 ** (1 - n)


def enough(pairs: int) -> int:
    """Blocks from which one of `pairs` comparisons can reach 5 % after Holm's correction."""
    return next(n for n in range(1, 64) if least(n) <= ALPHA / pairs)


def rank(methods: Sequence[str], matrix: stats.Scores) -> Ranks:
    """Friedman's test and Nemenyi's critical difference of `matrix` (methods, blocks), less being better."""
    k, n = matrix.shape
    ranked = rankdata(matrix, axis=0)  # (methods, blocks); ties share their mean rank
    mean = ranked.mean(axis=1)
    # Demsar 2006, sec. 3.2.1, corrected for ties; not a number where all tie everywhere
    statistic, p = friedmanchisquare(*matrix) if np.ptp(ranked) else (0.0, 1.0)
    order = np.argsort(mean, kind="stable").tolist()
    return Ranks(
        methods=tuple(str(methods[i]) for i in order), ranks=tuple(float(mean[i]) for i in order), n=n,
        statistic=float(statistic), p=float(p), difference=critical_difference(k, n),
    )  # fmt: skip


def critical_difference(methods: int, blocks: int, alpha: float = ALPHA) -> float:
    """Nemenyi's: mean ranks further apart than this differ at `alpha` (Demsar 2006, eq. in sec. 3.2.2, Table 5a)."""
    q = studentized_range.ppf(1 - alpha, methods, np.inf) / math.sqrt(2)
    return float(q * math.sqrt(methods * (methods + 1) / (6 * blocks)))
