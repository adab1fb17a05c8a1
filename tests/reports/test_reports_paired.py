"""Paired comparisons against scipy, published examples, and arithmetic by hand."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import friedmanchisquare, wilcoxon
from synthetic_suite import done, ended, write_cell

from reports.analysis import paired
from reports.analysis.entries import read
from reports.analysis.scorebook import Scorebook
from reports.build import build

# Demsar 2006, Table 6: AUC of four variants of C4.5 on 14 data sets. The paper ranks the two 0.975 of the 13th apart.
DEMSAR = np.array([
    [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967],
    [0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931],
    [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875],
    [1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
    [0.972, 0.981, 0.9751, 0.975], [0.957, 0.978, 0.946, 0.970],
]).T  # fmt: skip
NAMES = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")


def comparisons(folder):
    entries = read(folder)
    return paired.comparisons(entries, Scorebook(entries))


def test_mean_ranks_and_the_critical_difference_are_those_of_the_published_example():
    ranks = paired.rank(NAMES, -DEMSAR)
    found = dict(zip(ranks.methods, ranks.ranks, strict=True))
    published = {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}
    assert found == pytest.approx(published, abs=5e-4)
    assert ranks.difference == pytest.approx(1.25, abs=5e-3)
    assert ranks.groups == ((0, 3),)  # "the difference between the best and the worst is already smaller than that"


def test_friedmans_statistic_is_scipys_and_without_ties_the_published_formula():
    theirs = friedmanchisquare(*DEMSAR)
    ours = paired.rank(NAMES, -DEMSAR)
    assert (ours.statistic, ours.p) == pytest.approx((theirs.statistic, theirs.pvalue))
    k, n = 4, 14
    by_hand = 12 * n / (k * (k + 1)) * (sum(r * r for r in ours.ranks) - k * (k + 1) ** 2 / 4)
    assert by_hand == pytest.approx(9.28, abs=5e-3)  # the paper's value, which ignores ties
    assert ours.statistic > by_hand


def test_one_failure_among_many_wins_does_not_turn_the_verdict():
    values = np.array([-0.1] * 11 + [178.0]) - 0.001 * np.arange(12)
    found = paired.difference("a", "b", values, low=True)
    assert (found.better, found.worse, found.p < 0.05) == (11, 1, True)
    assert found.mean > 0 and found.lead > 0


def test_the_lead_is_of_the_ranks_that_the_test_is_of_which_drops_ties():
    values = np.concatenate([np.zeros(9), -np.arange(1.0, 5), [5.0, 6, 7]])
    found = paired.difference("a", "b", values, low=False)
    less, more = (wilcoxon(values, alternative=side).pvalue for side in ("less", "greater"))
    assert found.lead == 18 - 10  # by hand; ranked with the ties it would be 45 - 46
    assert more < less


def test_methods_that_tie_everywhere_do_not_differ():
    ranks = paired.rank(("a", "b", "c"), np.full((3, 6), 180.0))
    assert (ranks.statistic, ranks.p, ranks.groups) == (0, 1, ((0, 2),))


def test_a_method_that_ran_elsewhere_takes_nothing_from_the_others(tmp_path):
    for k in range(8):
        for method in ("a", "b"):
            write_cell(
                tmp_path, done(f"s{k}", "clean", method, 0, rotation=1 + k, psnr=30 + (method == "a")), files=False
            )
    write_cell(tmp_path, done("elsewhere", "clean", "c", 0, rotation=1, psnr=30), files=False)
    found = comparisons(tmp_path)
    psnr = next(each for each in found if each.column.name == "nvs/aligned/psnr")
    assert [(each.first, each.second, each.n) for each in psnr.differences] == [("a", "b", 8)]
    assert psnr.blocks == tuple(f"s{k}" for k in range(8))
    assert psnr.warnings == ("c shares no scene with another method, and is left out.",)


def test_ranks_of_methods_without_a_scene_in_common_are_said_to_be_none(tmp_path):
    for method, tried in (("a", (0, 1, 2, 3)), ("b", (0, 1, 2)), ("c", (3,))):
        for k in tried:
            write_cell(tmp_path, done(f"s{k}", "clean", method, 0, rotation=1 + k, psnr=ord(method)), files=False)
    found = comparison(tmp_path, "nvs/aligned/psnr")
    assert [(each.first, each.second, each.n) for each in found.differences] == [("a", "b", 3), ("a", "c", 1)]
    assert found.warnings == (
        "At most 3 scenes and 2 comparisons: no difference, however large, can reach p < 0.05; 7 scenes could.",
        "Ranks are compared from 6 scenes on that all were tried in; here none.",
    )


def test_the_page_names_the_winner_by_the_ranks_where_a_failure_turns_the_mean(tmp_path):
    for k in range(12):
        write_cell(tmp_path, done(f"s{k}", "clean", "worse", 0, rotation=2 + k / 10, psnr=20), files=False)
        better = done(f"s{k}", "clean", "ahead", 0, rotation=1, psnr=20)
        write_cell(tmp_path, better if k else replace(better, status="failed", metrics={}), files=False)
    (only,) = comparison(tmp_path, "pose/rotation_deg_median").differences
    assert (only.first, only.mean > 0, only.holm < 0.05) == ("ahead", True, True)
    page = (build(tmp_path).parent / "statistics.html").read_text()
    assert "ahead is better" in page and "worse is better" not in page


def test_nemenyis_critical_values_are_those_of_the_published_table():
    # Demsar 2006, Table 5a, alpha = 0.05, for 2 to 10 classifiers
    published = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    found = [paired.critical_difference(k, 1) / np.sqrt(k * (k + 1) / 6) for k in range(2, 11)]
    assert found == pytest.approx(published, abs=1.1e-3)


def test_groups_join_neighbours_that_do_not_differ_and_none_lies_within_another():
    ranks = paired.Ranks(
        methods=("a", "b", "c", "d"), ranks=(1.0, 1.9, 2.8, 4.3), n=9, statistic=0, p=1, difference=1.0
    )  # fmt: skip
    assert ranks.groups == ((0, 1), (1, 2))


def test_holms_correction_by_hand():
    # sorted .01 .02 .03 .04 times 4 3 2 1, kept from falling: .04 .06 .06 .06
    assert paired.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert paired.holm([0.5, 0.9]) == [1.0, 1.0]
    assert paired.holm([]) == []


def test_the_least_p_is_what_wilcoxon_gives_for_differences_that_all_agree():
    for n in range(2, 12):
        assert paired.least(n) == pytest.approx(wilcoxon(np.arange(1, n + 1)).pvalue)
    assert [paired.enough(pairs) for pairs in (1, 3, 10)] == [6, 7, 9]


def test_no_difference_at_all_has_p_one():
    assert paired.signed_rank(np.zeros(7)) == 1.0


@pytest.fixture
def six_scenes(tmp_path):
    """`good` is 1 dB better than `bad` in each of six scenes; an oracle stands beside them."""
    for k in range(6):
        for method, psnr in (("bad", 20.0 + k), ("good", 21.0 + 1.01 * k)):
            for seed in range(3):
                write_cell(tmp_path, done(f"s{k}", "clean", method, seed, rotation=1 + seed, psnr=psnr), files=False)
        write_cell(
            tmp_path, done(f"s{k}", "clean", "nerf", 0, rotation=0, psnr=40, given=("camera", "start")), files=False
        )
    return tmp_path


def comparison(folder, name):
    return next(each for each in comparisons(folder) if each.column.name == name)


def test_a_consistent_difference_over_six_scenes_is_told_and_oracles_are_left_out(six_scenes):
    found = comparison(six_scenes, "nvs/aligned/psnr")
    (only,) = found.differences
    assert (only.first, only.second, only.n, only.better, only.worse) == ("bad", "good", 6, 0, 6)
    assert only.mean == pytest.approx(-1.025)
    assert only.interval is not None
    assert only.interval.low < -1.025 < only.interval.high < 0
    assert only.p == only.holm == pytest.approx(2 / 2**6)
    assert found.warnings == ()


def test_a_scene_that_a_method_failed_in_counts_with_the_charge(six_scenes):
    for seed in range(3):
        write_cell(six_scenes, ended("s0", "clean", "good", seed, "failed", "broke"), files=False)
    (only,) = comparison(six_scenes, "pose/rotation_deg_median").differences
    assert (only.n, only.ties, only.better, only.worse) == (1, 5, 1, 0)  # equal in the five others
    assert only.mean == pytest.approx((2 - 180) / 6)


def test_too_few_scenes_are_warned_of(tmp_path):
    for k in range(3):
        for m in ("a", "b", "c"):
            write_cell(tmp_path, done(f"s{k}", "clean", m, 0, rotation=ord(m) - 96, psnr=20), files=False)
    found = comparison(tmp_path, "pose/rotation_deg_median")
    assert found.ranks is None
    assert found.warnings == (
        "3 scenes and 3 comparisons: no difference, however large, can reach p < 0.05; 7 scenes could.",
        "Ranks are compared from 6 scenes on that all were tried in; here 3.",
    )
