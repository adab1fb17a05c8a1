"""What is said of many scores: one-line functions of arrays, their intervals, and what a failure is charged.

Scores are float64 arrays, one value a cell; `done` and `solved` are boolean arrays beside them.
Aggregation follows posefree/1 section 6 and Agarwal et al. 2021, "Deep RL at the edge of the statistical precipice".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, trim_mean

from bench.record import SOLVED_BELOW_DEG

Scores = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEVEL = 0.95
FAILED_ROTATION_DEG = 180.0


class Interval(NamedTuple):
    low: float
    high: float


class Statistic(Protocol):
    def __call__(self, scores: ArrayLike, axis: int = 0) -> Scores: ...


def mean(scores: ArrayLike, axis: int = 0) -> Scores:
    return np.mean(np.asarray(scores, float), axis=axis)


def median(scores: ArrayLike, axis: int = 0) -> Scores:
    return np.median(np.asarray(scores, float), axis=axis)


def iqm(scores: ArrayLike, axis: int = 0) -> Scores:
    """Interquartile mean: of what is left when a quarter, rounded down, is cut at each end."""
    return np.asarray(trim_mean(np.asarray(scores, float), proportiontocut=0.25, axis=axis))


def bootstrap(
    strata: Sequence[ArrayLike], statistic: Statistic = iqm, *, level: float = LEVEL, draws: int = 2000, seed: int = 0
) -> Interval:
    """Percentile interval of `statistic` over all scores, resampled within each stratum (scene) by itself.

    The same scores and seed give the same interval; constant scores give an interval of no width.
    Raises ValueError where there is no score, or one that is not finite.
    """
    groups = [np.asarray(scores, float) for scores in strata if np.size(scores)]
    if not groups:
        raise ValueError("bootstrap: no scores")
    if not all(np.isfinite(scores).all() for scores in groups):
        raise ValueError("bootstrap: scores must be finite; charge failures first (`penalised`)")
    rng = np.random.default_rng(seed)
    resampled = [scores[rng.integers(len(scores), size=(draws, len(scores)))] for scores in groups]  # each (draws, n)
    estimates = statistic(np.concatenate(resampled, axis=1), axis=1)  # (draws,)
    tail = 50 * (1 - level)
    low, high = np.percentile(estimates, [tail, 100 - tail])
    return Interval(float(low), float(high))


def wilson(successes: int, n: int, *, level: float = LEVEL) -> Interval:
    """Wilson's score interval of a proportion. Raises ValueError for n < 1."""
    if n < 1:
        raise ValueError("wilson: no trials")
    interval = binomtest(successes, n).proportion_ci(confidence_level=level, method="wilson")
    return Interval(float(interval.low), float(interval.high))


def solved(done: Mask, rotation_deg: Scores) -> Mask:
    """Success: done, and the median rotation error below 5 deg. A NaN is no success."""
    return done & (np.nan_to_num(rotation_deg, nan=np.inf) < SOLVED_BELOW_DEG)


def penalised(scores: Scores, done: Mask, penalty: ArrayLike) -> Scores:
    """Every score, with `penalty` (one, or one a score) where the cell failed or its score is not a number."""
    return np.where(done & ~np.isnan(scores), scores, penalty)
