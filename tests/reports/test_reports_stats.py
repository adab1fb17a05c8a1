"""Statistics against scipy and published values."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from reports.analysis import stats

# Newcombe 1998, "Two-sided confidence intervals for the single proportion", Table I, method 3 (Wilson's score)
NEWCOMBE = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611), (1, 29): (0.0061, 0.1718)}


@pytest.mark.parametrize(("trials", "interval"), NEWCOMBE.items())
def test_wilson_gives_the_published_intervals(trials, interval):
    assert stats.wilson(*trials)[:2] == pytest.approx(interval, abs=5e-5)


def test_iqm_is_the_mean_of_the_middle_half():
    scores = np.array([100.0, 1, 2, 3, 4, 5, 6, -100])
    assert stats.iqm(scores) == pytest.approx(np.mean([2, 3, 4, 5]))
    assert stats.iqm([7.0]) == 7
    table = np.random.default_rng(0).random((5, 12))
    assert stats.iqm(table, axis=1) == pytest.approx([float(stats.iqm(row)) for row in table])


def test_the_bootstrap_agrees_with_scipy_on_one_scene():
    scores = np.random.default_rng(1).lognormal(size=40)
    theirs = scipy_stats.bootstrap(
        (scores,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    low, high, over = stats.interval([scores], stats.mean)
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.06)  # Monte-Carlo error of 2,000 draws
    assert over == "seeds"


def test_scenes_keep_their_sizes_so_that_a_difference_between_them_is_no_uncertainty():
    easy, hard = np.full(5, 30.0), np.full(5, 10.0)
    assert stats.interval([easy, hard], stats.mean) == (20, 20, "seeds")
    low, high, _ = stats.interval([np.concatenate([easy, hard])], stats.mean)
    assert low < 15 < 25 < high


def test_where_a_scene_has_one_seed_scenes_are_resampled():
    single = np.random.default_rng(4).normal(20, 3, 12)
    theirs = scipy_stats.bootstrap(
        (single,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    low, high, over = stats.interval([[score] for score in single], stats.mean)
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.15)
    assert over == "scenes"
    low, high, over = stats.interval([[10.0, 10.1], [35.0], [20.0]], stats.mean)
    assert low < 12 and high > 30
    assert over == "scenes"
    assert stats.interval([[3.0]]) is None


@pytest.mark.parametrize("statistic", [stats.iqm, stats.mean, stats.median])
def test_scenes_of_several_sizes_are_drawn_whole(statistic):
    rng = np.random.default_rng(5)
    scenes = [rng.normal(20, 3, n) for n in (1, 4, 2, 1, 5)]
    draws = np.random.default_rng(0).integers(5, size=(stats.DRAWS, 5))
    one_by_one = [float(statistic(np.concatenate([scenes[k] for k in draw]))) for draw in draws]
    found = stats.interval(scenes, statistic, whole=True)
    assert found[:2] == pytest.approx(np.percentile(one_by_one, [2.5, 97.5]))
    assert found.over == "scenes"


def test_constant_scores_give_an_interval_of_no_width_and_a_seed_gives_the_same_twice():
    assert stats.interval([np.full(6, 3.5)]) == (3.5, 3.5, "seeds")
    scores = [np.random.default_rng(3).random(9)]
    assert stats.interval(scores) == stats.interval(scores)
    assert stats.interval(scores, seed=1) != stats.interval(scores)


@pytest.mark.parametrize("strata", [[], [[]], [[1.0, np.nan]], [[1.0, np.inf]]])
def test_the_bootstrap_refuses_what_has_no_interval(strata):
    with pytest.raises(ValueError, match="interval"):
        stats.interval(strata)
