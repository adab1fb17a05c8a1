"""What a verdict says: who leads, by how much, how far from the ceiling, and what to read with care."""

from dataclasses import replace

import pytest
from readings import entries_of, said_of, sentences, told
from synthetic_suite import done, ended

from reports.analysis.entries import read
from reports.analysis.findings import finding
from reports.analysis.scorebook import Scorebook


def test_the_verdict_names_the_winner_the_ceiling_and_the_failures(suite):
    entries = read(suite)
    said = said_of(entries, "blocks")
    assert said.startswith("blocks · clean: colmap_nerf leads the 3 methods that see no poses: solves 2 of 2 cells")
    assert "median rotation 0.25 deg" in said
    assert "nerf reaches 33.05 dB, 1.55 dB above" in said
    none = said_of(entries, "blocks-plain")
    assert "no method that sees no poses gave an answer (colmap_nerf collapsed, gnerf out of memory)" in none
    assert any("agreement with COLMAP" in sentence for sentence in sentences(entries))
    assert sum(len(failure.entries) for failure in told(entries).failures) == 4
    assert told(entries).tally.startswith(
        "Of 20 cells: 11 solved, 4 answered, not solved; 4 gave no answer (1 collapsed,"
    )


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"s": (30,)}, {"s": (29,)}, "It is 1.00 dB ahead of b: with one seed each, it may be chance."),
        ({"s": (30, 28)}, {"s": (29, 27)}, "It is 1.00 dB ahead of b: their seeds overlap, it may be chance."),
        ({"s": (30, 29)}, {"s": (28, 27)}, "It is 2.00 dB ahead of b: its worst seed beats the other's best."),
        (
            {"s": (30, 29), "t": (20, 20)}, {"s": (28, 27), "t": (20, 19)},
            "in 1 of 2 scenes its worst seed beats the other's best; too few scenes for a test.",
        ),
        (
            {f"s{k}": (20 + k,) for k in range(6)}, {f"s{k}": (19 - k,) for k in range(6)},
            "in 6 of 6 scenes it is better; not by chance (p = 0.031, Wilcoxon's test over 6 scenes).",
        ),
    ],
)  # fmt: skip
def test_the_verdict_says_by_how_much_and_whether_it_may_be_chance(tmp_path, first, second, said):
    results = [
        done(scene, "clean", method, seed, rotation=1, psnr=psnr)
        for method, scenes in (("a", first), ("b", second))
        for scene, psnrs in scenes.items()
        for seed, psnr in enumerate(psnrs)
    ]
    assert said in sentences(entries_of(tmp_path, results))[0]


def test_a_high_psnr_with_wrong_cameras_does_not_win(tmp_path):
    results = [
        done("s", "clean", "pretty", 0, rotation=90, psnr=35),
        done("s", "clean", "right", 0, rotation=1, psnr=25),
    ]
    assert sentences(entries_of(tmp_path, results))[0].startswith("s · clean: right leads the 2")


def both(folder, *results):
    entries = entries_of(folder, results)
    return "".join(part.text for part in finding("both", entries, Scorebook(entries)))


BLIND = [done(scene, "clean", "blind", 0, rotation=1, psnr=psnr, given=("camera",)) for scene, psnr in
         (("a", 30), ("b", 20))]  # fmt: skip


def oracle(scene, psnr, name="oracle"):
    return done(scene, "clean", name, 0, rotation=0, psnr=psnr, given=("camera", "start"))


def test_an_oracle_is_held_against_the_leader_where_both_were_tried(tmp_path):
    """`b`, where the blind method has 20 dB and nobody knows a ceiling, is no part of the gap."""
    helped = done("a", "clean", "helped", 0, rotation=0.1, psnr=31, given=("camera", "rough_start"))
    said = both(tmp_path / "1", *BLIND, oracle("a", 33), helped)
    assert "25.00 dB on held-out views" in said
    assert "Given the true poses, oracle reaches 33.00 dB in 1 of these 2 scenes, 3.00 dB above there." in said
    assert "helped (1 of 2 scenes; median rotation" in said
    assert "Given the true poses, oracle reaches 33.00 dB elsewhere." in both(tmp_path / "2", *BLIND, oracle("c", 33))


def test_the_best_oracle_is_the_one_that_is_best_there(tmp_path):
    others = [oracle("a", 31, "vast"), oracle("c", 45, "vast"), oracle("a", 35, "near")]
    assert "near reaches 35.00 dB in 1 of these 2 scenes, 5.00 dB above there." in both(tmp_path, *BLIND, *others)


def test_what_a_failure_is_charged_is_no_ceiling(tmp_path):
    lost = replace(ended("a", "clean", "oracle", 0, "failed", "no memory"), given=("camera", "start"))
    assert "oracle reaches 45.00 dB elsewhere." in both(tmp_path, *BLIND, lost, oracle("c", 45))


def test_scenes_where_only_others_were_tried_are_no_gap_in_what_was(tmp_path):
    helped = [done(scene, "clean", "helped", 0, rotation=0.1, psnr=31, given=("camera", "rough_start"))
              for scene in "ab"]  # fmt: skip
    said = both(tmp_path / "1", *BLIND, *helped, oracle("c", 33))
    assert "helped (median rotation" in said
    assert "helped (elsewhere; median" in both(tmp_path / "2", *BLIND, replace(
        helped[0], cell=replace(helped[0].cell, scene="c")))  # fmt: skip


def test_aligned_views_far_below_refined_ones_are_explained(tmp_path):
    good = done("s", "clean", "even", 0, rotation=1, psnr=25)
    split = [done("s", "clean", "tilted", k, rotation=1, psnr=15 + k) for k in range(2)]
    split = [
        replace(each, metrics=each.metrics | {"nvs/refined/psnr": 25.0, "pose/frame_tilt_deg": 1.25}) for each in split
    ]
    (said,) = [
        "".join(p.text for p in c) for c in told(entries_of(tmp_path, [good, *split])).caveats if "tilt" in c[0].text
    ]
    assert said.endswith("tilted on s (15.0, then 25.0 dB; frame tilt 1.2 deg).")  # once, by its worst seed


def test_failures_that_differ_in_their_numbers_alone_are_told_once(tmp_path):
    results = [ended("s", "clean", "m", k, "timeout", f"killed after {900 + k} s") for k in range(3)]
    results.append(ended("s", "clean", "m", 3, "failed", "killed after 9 s"))
    found = told(entries_of(tmp_path, results)).failures
    assert [(each.status, len(each.entries)) for each in found] == [("timeout", 3), ("failed", 1)]
    assert found[0].reason == "killed after 900 s, or the like"
