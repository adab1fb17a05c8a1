"""What is said of many scores: one-line functions of arrays, and their intervals.

Scores are float64 arrays, one value a cell. Aggregation follows posefree/2 section 8 and Agarwal et al. 2021, "Deep RL
at the edge of the statistical precipice".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, trim_mean

Scores = NDArray[np.float64]

LEVEL = 0.95
DRAWS = 2000


class Interval(NamedTuple):
    low: float
    high: float
    over: Literal["seeds", "scenes", ""] = ""  # what was resampled: seeds within each scene, or whole scenes


Statistic = Callable[..., Any]
"""Of scores, along an axis."""

mean, median = np.mean, np.median


def iqm(scores: ArrayLike, axis: int = 0) -> Scores:
    """Interquartile mean: of what is left when a quarter, rounded down, is cut at each end."""
    return np.asarray(trim_mean(np.asarray(scores, float), proportiontocut=0.25, axis=axis))


def interval(
    strata: Sequence[ArrayLike], statistic: Statistic = iqm, *, whole: bool = False, seed: int = 0
) -> Interval | None:  # fmt: skip
    """95 % percentile bootstrap interval of `statistic` over all scores, `strata` being those of each scene.

    Seeds are resampled within each scene where every scene has two or more: the interval is then of these scenes.
    Else, or where `whole` asks for it, whole scenes are, for a scene that cannot vary would make the interval too
    narrow; None for a single score.
    The same scores give the same interval; equal scores give one of no width.
    Raises ValueError where there is no score, or one that is not finite.
    """
    groups = [np.asarray(scores, float) for scores in strata if np.size(scores)]
    if not groups:
        raise ValueError("interval: no scores")
    if not all(np.isfinite(scores).all() for scores in groups):
        raise ValueError("interval: scores must be finite; charge failures first (reports.analysis.scorebook)")
    if min(map(len, groups)) > 1 and not whole:
        places = _drawn(tuple(map(len, groups)), seed)
        drawn = [scores[chosen] for scores, chosen in zip(groups, places, strict=True)]  # each (draws, n)
        return _percentiles(statistic(np.concatenate(drawn, axis=1), axis=1), "seeds")
    if len(groups) == 1:
        return None
    padded = np.full((len(groups), max(map(len, groups))), np.nan)  # no score is NaN
    for row, scores in zip(padded, groups, strict=True):
        row[: len(scores)] = scores
    chosen = np.random.default_rng(seed).integers(len(groups), size=(DRAWS, len(groups)))
    drawn = padded[chosen].reshape(DRAWS, -1)
    held = ~np.isnan(drawn)
    numbers = held.sum(axis=1)  # of scores in each draw: the statistic is called once for each number
    alike = [drawn[numbers == n][held[numbers == n]].reshape(-1, n) for n in np.unique(numbers)]
    return _percentiles(np.concatenate([statistic(rows, axis=1) for rows in alike]), "scenes")


@lru_cache(maxsize=8)  # a table asks for the same few sizes thousands of times
def _drawn(sizes: tuple[int, ...], seed: int) -> tuple[NDArray[np.int64], ...]:
    """For each stratum, which of its scores are drawn, (DRAWS, n)."""
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(n, size=(DRAWS, n)) for n in sizes)


def _percentiles(estimates: ArrayLike, over: Literal["seeds", "scenes"]) -> Interval:
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(np.asarray(estimates), [tail, 100 - tail])
    return Interval(float(low), float(high), over)


def wilson(successes: int, n: int) -> Interval:
    """Wilson's 95 % score interval of a proportion. Raises ValueError for n < 1."""
    if n < 1:
        raise ValueError("wilson: no trials")
    found = binomtest(successes, n).proportion_ci(confidence_level=LEVEL, method="wilson")
    return Interval(float(found.low), float(found.high))
