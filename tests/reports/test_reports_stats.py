"""Statistics against scipy and published values."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from reports.analysis import stats

# Newcombe 1998, "Two-sided confidence intervals for the single proportion", Table I, method 3 (Wilson's score)
NEWCOMBE = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611), (1, 29): (0.0061, 0.1718)}


@pytest.mark.parametrize(("trials", "interval"), NEWCOMBE.items())
def test_wilson_gives_the_published_intervals(trials, interval):
    assert stats.wilson(*trials) == pytest.approx(interval, abs=5e-5)


def test_iqm_is_the_mean_of_the_middle_half():
    scores = np.array([100.0, 1, 2, 3, 4, 5, 6, -100])
    assert stats.iqm(scores) == pytest.approx(np.mean([2, 3, 4, 5]))
    assert stats.iqm([7.0]) == 7
    table = np.random.default_rng(0).random((5, 12))
    assert stats.iqm(table, axis=1) == pytest.approx([float(stats.iqm(row)) for row in table])


def test_the_bootstrap_agrees_with_scipy_on_one_stratum():
    scores = np.random.default_rng(1).lognormal(size=40)
    ours = stats.bootstrap([scores], stats.mean, draws=20_000)
    theirs = scipy_stats.bootstrap(
        (scores,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.03)  # two Monte-Carlo errors of 20,000 draws


def test_strata_keep_their_sizes_so_that_a_difference_between_scenes_is_no_uncertainty():
    easy, hard = np.full(5, 30.0), np.full(5, 10.0)
    assert stats.bootstrap([easy, hard], stats.mean) == (20, 20)
    low, high = stats.bootstrap([np.concatenate([easy, hard])], stats.mean)
    assert low < 15 < 25 < high


def test_constant_scores_give_an_interval_of_no_width_and_a_seed_gives_the_same_twice():
    assert stats.bootstrap([np.full(6, 3.5)]) == (3.5, 3.5)
    scores = [np.random.default_rng(3).random(9)]
    assert stats.bootstrap(scores) == stats.bootstrap(scores)
    assert stats.bootstrap(scores, seed=1) != stats.bootstrap(scores)


@pytest.mark.parametrize("strata", [[], [[]], [[1.0, np.nan]], [[1.0, np.inf]]])
def test_the_bootstrap_refuses_what_has_no_interval(strata):
    with pytest.raises(ValueError, match="bootstrap"):
        stats.bootstrap(strata)


def test_a_success_is_done_and_under_five_degrees():
    done = np.array([True, True, False, True])
    assert stats.solved(done, np.array([4.99, 5.0, 0.1, np.nan])).tolist() == [True, False, False, False]


def test_failures_and_nan_are_charged():
    scores, done = np.array([1.0, np.nan, 2.0]), np.array([True, True, False])
    assert stats.penalised(scores, done, 180).tolist() == [1, 180, 180]
    assert stats.penalised(scores, done, [10, 11, 12]).tolist() == [1, 11, 12]
