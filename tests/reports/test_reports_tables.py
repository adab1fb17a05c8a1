"""What a table says, and what it must not."""

import math
from dataclasses import replace

import numpy as np
import pytest
from readings import entries_of, said_of, told
from synthetic_suite import HOSTILE, done, ended, suite_results

from bench.record import OUTCOMES, ROTATION
from reports.analysis import entries as cells
from reports.analysis import heat, leaderboard, robustness, stats, tradeoff
from reports.analysis.entries import MEAN_COLOUR, PSNR, read
from reports.analysis.scorebook import Scorebook
from reports.analysis.table import Footnotes
from reports.analysis.verdict import caveats


def board_of(entries, scene, degradation="clean"):
    held = next(e for q, e in cells.by_question(entries).items() if (q.scene, q.degradation) == (scene, degradation))
    return leaderboard.of_question(held, Scorebook(entries))


def numbers(board, method):
    row = row_of(board, method)
    return {head.key: number for head, number in zip(board.heads, row.numbers, strict=True)} | {
        head.column.name: number
        for head, number in zip(board.heads, row.numbers, strict=True)
        if head.population != "successes"
    }


def across(entries):
    return leaderboard.across_scenes(entries, Scorebook(entries))


def test_best_and_second_are_marked_among_methods_that_see_no_poses(suite):
    board = board_of(read(suite), "blocks")
    marks = {row.label: numbers(board, row.label)["nvs/aligned/psnr"].shown.mark for row in board.rows if row.numbers}
    assert marks == {"colmap_nerf": "best", "gnerf": "second", "colmap_nerf[mapper=global]": "", "nerf": ""}
    assert (
        numbers(board, "nerf")["nvs/aligned/psnr"].shown.sort
        > numbers(board, "colmap_nerf")["nvs/aligned/psnr"].shown.sort
    )
    assert [row.given_poses for row in board.rows] == [False] * 4 + [True]
    assert "true poses" in board.rows[-1].given


def test_a_lucky_seed_in_three_is_not_marked(tmp_path):
    results = [
        done("s", "clean", "lucky", 0, rotation=0.1, psnr=40),
        *(ended("s", "clean", "lucky", k, "timeout", "killed") for k in (1, 2)),
        done("s", "clean", "steady", 0, rotation=1, psnr=30),
        done("s", "clean", "slower", 0, rotation=2, psnr=29),
    ]
    board = board_of(entries_of(tmp_path, results), "s")
    assert numbers(board, "lucky")["nvs/aligned/psnr"].shown.mark == ""
    assert numbers(board, "steady")["nvs/aligned/psnr"].shown.mark == "best"


@pytest.mark.parametrize("psnrs", [(30.0,), (30.0, 30.0)])
def test_nothing_is_best_where_nothing_is_worse(tmp_path, psnrs):
    results = [done("s", "clean", f"m{k}", 0, rotation=1, psnr=psnr) for k, psnr in enumerate(psnrs)]
    board = board_of(entries_of(tmp_path, results), "s")
    assert {number.shown.mark for row in board.rows for number in row.numbers} == {""}


def test_a_failure_is_a_row_with_its_status_and_reason(suite):
    rows = {row.label: row for row in board_of(read(suite), "blocks-plain").rows}
    assert rows["colmap_nerf"].tally == (("collapsed", "collapsed"),)
    assert rows["colmap_nerf"].reasons == ("collapsed in fit: no model: too few matches",)
    assert numbers(board_of(read(suite), "blocks-plain"), "colmap_nerf")[ROTATION].shown.text == "180.00"
    gnerf = next(row for row in board_of(read(suite), "blocks").rows if row.label == "gnerf")
    assert gnerf.tally == (("solved", "3 solved"), ("answered", "2 answered, not solved"), ("timeout", "1 timeout"))
    assert gnerf.reasons == ("seed 5 timeout in fit: killed after 900 s",)


def test_few_seeds_show_their_range_and_five_an_interval(suite):
    board = board_of(read(suite), "blocks")
    assert numbers(board, "colmap_nerf")["nvs/aligned/psnr"].shown.spread == "[31.00 … 32.00]"
    assert numbers(board, "colmap_nerf")["pose/registered"].shown.spread == "all equal"
    interval = numbers(board, "gnerf")["nvs/aligned/psnr"].shown.spread
    low, high = (float(text) for text in interval.strip("[]").split(", "))
    assert 12.5 <= low < 24.5 < high <= 27  # one of six failed, and is charged 12.5
    assert numbers(board, "gnerf")["nvs/aligned/psnr successes"].shown.spread == "[25.00 … 27.00]"


def test_an_absent_metric_has_its_reason_and_a_flag_its_note(suite):
    board = board_of(read(suite), "blocks")
    notes = dict(board.notes)
    absent = numbers(board, "nerf")["nvs/aligned/lpips_alex"]
    assert absent.shown.text == "—"
    assert [notes[letter] for letter in absent.notes] == ["no LPIPS: no AlexNet backbone: pass --lpips PATH"]
    flagged = numbers(board, "colmap_nerf[mapper=global]")["nvs/aligned/psnr"]
    assert flagged.flagged
    assert any("seed 1" in notes[letter] and "constant image" in notes[letter] for letter in flagged.notes)
    assert not numbers(board, "colmap_nerf[mapper=global]")["pose/rotation_deg_median"].flagged


def test_a_stage_that_is_wholly_absent_says_why(tmp_path):
    result = done("s", "clean", "poses_only", 0, rotation=1, psnr=30)
    kept = {name: value for name, value in result.metrics.items() if not name.startswith("nvs/aligned")}
    result = replace(result, metrics=kept, absent={"nvs/aligned": "the method returned no field"})
    board = board_of(entries_of(tmp_path, [result]), "s")
    number = numbers(board, "poses_only")["nvs/aligned/psnr"]
    assert dict(board.notes)[number.notes[0]] == "no PSNR: the method returned no field"


def test_what_is_not_finite_is_shown_flagged_and_never_best(suite):
    shown = numbers(board_of(read(suite), HOSTILE), "gnerf")
    assert (shown["pose/rotation_deg_median"].shown.text, shown["nvs/aligned/psnr"].shown.text) == ("180.00", "∞")
    assert shown["pose/rotation_deg_median"].flagged
    assert (shown["pose/translation_relative"].shown.text, shown["pose/translation_relative"].shown.sort) == (
        "NaN",
        None,
    )


def test_silhouettes_show_iou_in_place_of_colour_scores(suite):
    board = board_of(read(suite), "blocks", "silhouette")
    assert numbers(board, "gnerf")["nvs/aligned/iou"].shown.text == "0.830"


def test_efforts_protocols_and_colmap_references_never_share_a_table(tmp_path):
    base = done("s", "clean", "m", 0, rotation=1, psnr=30)
    results = [
        base,
        replace(base, cell=replace(base.cell, seed=1, effort="full")),
        replace(base, cell=replace(base.cell, seed=2), protocol="posefree/2"),
        replace(base, cell=replace(base.cell, seed=3), reference="colmap"),
    ]
    entries = entries_of(tmp_path, results)
    assert len(cells.by_question(entries)) == 4
    assert [bool(table.setting.agreement) for table in across(entries)] == [False, False, False, True]
    assert len(heat.heats(entries, Scorebook(entries))) == 4


def test_stages_never_share_a_column(suite):
    for table in across(read(suite)):
        heads = [(head.column.name, head.population) for head in table.heads]
        assert len(set(heads)) == len(heads)
        assert all(len(row.numbers) == len(heads) for row in table.rows if row.n)


def test_a_failed_oracle_is_still_an_oracle(tmp_path):
    given = ("camera", "start")
    results = [
        done("a", "clean", "nerf", 0, rotation=0, psnr=33, given=given),
        replace(ended("b", "clean", "nerf", 0, "failed", "no scene"), given=(), stage="load"),
    ]
    row = board_of(entries_of(tmp_path, results), "b").rows[0]
    assert row.given_poses
    assert row.given == "not run"


@pytest.mark.parametrize("gift", ["start", "some_start", "rough_start", "estimate"])
def test_a_method_that_was_given_poses_in_any_form_is_not_ranked_among_the_blind(tmp_path, gift):
    results = [
        done("s", "clean", "helped", 0, rotation=0.01, psnr=40, given=("camera", gift)),
        done("s", "clean", "right", 0, rotation=1, psnr=30, given=("camera", "prior")),
        done("s", "clean", "worse", 0, rotation=2, psnr=25, given=("camera",)),
    ]
    entries = entries_of(tmp_path, results)
    board = board_of(entries, "s")
    marks = {row.label: numbers(board, row.label)["nvs/aligned/psnr"].shown.mark for row in board.rows}
    assert marks == {"right": "best", "worse": "", "helped": ""}
    (table,) = across(entries)
    assert {each.mark for each in aggregate_of(table, "helped", "nvs/aligned/psnr").figures.values()} == {""}
    said = said_of(entries, "s")
    assert said.startswith("s · clean: right leads the 2 methods that see no poses: ")
    assert ("Given the true poses, helped reaches 40.00 dB" in said) == (gift == "start")
    assert ("Given poses, so not ranked: helped (" in said) == (gift != "start")
    assert ("helped (submitted; " in said) == (gift == "estimate")


def test_a_pretrained_estimator_of_poses_is_a_tier_between_the_ranked_and_the_helped(tmp_path):
    """However good it is; features that other data taught are ranked, and said so."""
    features = done("s", "clean", "features", 0, rotation=1, psnr=30, given=("camera",))
    results = [
        done("s", "clean", "helped", 0, rotation=0.01, psnr=50, given=("camera", "rough_start")),
        done("s", "clean", "network", 0, rotation=0.01, psnr=40, given=("camera", "pretrained")),
        replace(features, pretrained_on=("MegaDepth",)),
        done("s", "clean", "alone", 0, rotation=2, psnr=25, given=("camera",)),
    ]
    entries = entries_of(tmp_path, results)
    board = board_of(entries, "s")
    assert [(row.label, row.rank) for row in board.rows] == [
        ("features", 1), ("alone", 2), ("network", None), ("helped", None)]  # fmt: skip
    assert row_of(board, "network").given == "intrinsics + a pretrained pose estimator"
    said = said_of(entries, "s")
    assert "features leads the 2 methods that see no poses" in said
    assert "Poses by a pretrained estimator, so not ranked: network (" in said
    assert "Given poses, so not ranked: helped (" in said
    assert "Trained on other data before: features." in " ".join(
        part.text for sentence in caveats(entries) for part in sentence
    )


def row_of(table, method):
    return next(row for row in table.rows if row.label == method)


def aggregate_of(table, method, name, cells=""):
    heads = [(head.column.name, head.population) for head in table.heads]
    return row_of(table, method).numbers[heads.index((name, cells))]


def test_failures_are_charged_180_degrees_and_the_mean_colour_image(suite):
    clean = next(table for table in across(read(suite)) if table.degradation == "clean")
    row = row_of(clean, "colmap_nerf")
    # blocks 0.2, 0.3 deg at 31, 32 dB; blocks-plain collapsed, the hostile scene failed: 180 deg, 12.5 dB each
    assert (row.n, row.solved, row.failed, row.skipped) == (4, 2, 2, 0)
    rotation = aggregate_of(clean, "colmap_nerf", ROTATION, "penalised")
    psnr = aggregate_of(clean, "colmap_nerf", PSNR, "penalised")
    assert rotation.figures["mean"].text == f"{(0.2 + 0.3 + 180 + 180) / 4:.2f}"
    assert psnr.figures["mean"].text == f"{(31 + 32 + 12.5 + 12.5) / 4:.2f}"
    assert psnr.figures["mean"].spread == f"± {np.std([31, 32, 12.5, 12.5], ddof=1):.2f}"
    assert psnr.figures["median"].spread == "[12.50 … 32.00]"
    alone = aggregate_of(clean, "colmap_nerf", PSNR, "successes")
    assert (alone.figures["iqm"].text, alone.n) == ("31.50", 2)
    skipped = row_of(clean, "inerf")
    assert (skipped.n, skipped.skipped, skipped.rate) == (0, 1, None)


def test_the_two_kinds_of_column_stand_side_by_side_only_where_a_cell_did_not_succeed(tmp_path):
    good = [done("s", "clean", "m", k, rotation=1, psnr=30 + k) for k in range(2)]
    table = across(entries_of(tmp_path / "a", good))[0]
    assert {head.population for head in table.heads} == {""}
    table = across(entries_of(tmp_path / "b", [*good, ended("s", "clean", "m", 2, "failed", "x")]))[0]
    assert [head.population for head in table.heads if head.column.name == PSNR] == ["penalised", "successes"]


def test_without_a_mean_colour_image_a_failure_leaves_no_penalised_psnr(tmp_path):
    base = done("s", "clean", "m", 1, rotation=1, psnr=30)
    kept = replace(base, metrics={k: v for k, v in base.metrics.items() if k != MEAN_COLOUR})
    table = across(entries_of(tmp_path, [kept, ended("s", "clean", "m", 0, "failed", "broke")]))[0]
    assert aggregate_of(table, "m", ROTATION, "penalised").figures["mean"].text == "90.50"
    psnr = aggregate_of(table, "m", PSNR, "penalised")
    assert not psnr.figures
    assert "mean-colour" in psnr.why


def test_scenes_without_a_second_seed_are_resampled_and_the_interval_says_so(tmp_path):
    """Nine scenes from 10 to 35 dB, one of them with two seeds: an interval of [22.0, 22.1] was printed."""
    psnrs = np.linspace(10, 35, 9)
    results = [done(f"s{k}", "clean", "m", 0, rotation=1, psnr=psnr) for k, psnr in enumerate(psnrs)]
    results.append(done("s4", "clean", "m", 1, rotation=1, psnr=psnrs[4] + 0.1))
    spread = aggregate_of(across(entries_of(tmp_path, results))[0], "m", PSNR).figures["iqm"].spread
    low, high = (float(text) for text in spread.removesuffix(" over scenes").strip("[]").split(", "))
    assert spread.endswith(" over scenes")
    assert low < 19 and high > 26


def test_an_interval_is_of_the_iqm_and_scenes_are_its_strata(tmp_path):
    results = [
        done(scene, "clean", "m", k, rotation=1, psnr=psnr) for scene, psnr in (("a", 30), ("b", 10)) for k in range(4)
    ]
    table = across(entries_of(tmp_path, results))[0]
    assert aggregate_of(table, "m", PSNR).figures["iqm"].spread == "all equal"  # a difference between scenes only


def test_best_follows_the_statistic_that_is_shown(tmp_path):
    results = [
        *(done("s", "clean", "steady", k, rotation=1, psnr=20) for k in range(3)),
        *(done("s", "clean", "lucky", k, rotation=1, psnr=psnr) for k, psnr in enumerate((19, 19, 40))),
    ]
    table = across(entries_of(tmp_path, results))[0]
    marks = {m: aggregate_of(table, m, PSNR).figures for m in ("steady", "lucky")}
    assert (marks["steady"]["median"].mark, marks["lucky"]["median"].mark) == ("best", "")
    assert (marks["steady"]["mean"].mark, marks["lucky"]["mean"].mark) == ("", "best")


def test_the_heat_map_hatches_what_failed_and_leads_to_its_cells(suite):
    entries = read(suite)
    by_degradation, by_scene = (h for h in heat.heats(entries, Scorebook(entries)) if not h.setting.agreement)
    rows = {row.method: row for row in by_degradation.rows}
    assert by_degradation.columns == (("clean", ""), ("silhouette", ""))
    clean, silhouette = rows["gnerf"].squares
    assert (clean.n, clean.hatch, clean.texts["success"]) == (8, "some", "3/8")
    assert (silhouette.hatch, silhouette.page != "") == ("", True)
    scenes = dict(zip(by_scene.columns, {row.method: row for row in by_scene.rows}["colmap_nerf"].squares, strict=True))
    assert scenes["blocks-plain", ""].hatch == "all"
    assert scenes["blocks", ""].query == {"method": "colmap_nerf", "degradation": "clean", "scene": "blocks"}
    assert scenes["blocks", ""].shade["success"] == 1
    assert rows["inerf"].squares[0].detail == "skipped: needs start poses"


def test_methods_are_compared_over_the_scenes_that_all_were_tried_in(tmp_path):
    results = [
        done("easy", "clean", "a", 0, rotation=1, psnr=33),
        done("easy", "clean", "b", 0, rotation=1, psnr=34),
        done("hard", "clean", "b", 0, rotation=1, psnr=20),
    ]
    entries = entries_of(tmp_path, results)
    said = "".join(part.text for part in told(entries).findings[0])
    assert said.startswith("2 scenes · clean (the 1 of 2 scenes that all were tried in): b leads the 2 methods")
    assert {figure.mark for row in across(entries)[0].rows for each in row.numbers
            for figure in each.figures.values()} == {""}  # fmt: skip
    apart = [entry for entry in entries if (entry.cell.scene, entry.cell.method) != ("easy", "b")]
    assert "share no scene, so none leads" in "".join(part.text for part in told(apart).findings[0])


def test_no_failure_is_cheaper_than_an_answer(tmp_path):
    """A timeout under `contrast@5` was charged 11.61 dB in the leaderboard, 7.55 in the curve, and beat a 9.00."""
    answered = done("s", "contrast@5", "answers", 0, rotation=50, psnr=9.0)
    shown = replace(
        answered, metrics=answered.metrics | {MEAN_COLOUR: 7.55}
    )  # of the images shown, as posefree/1 had it
    entries = entries_of(tmp_path, [
        done("s", "clean", "answers", 0, rotation=1, psnr=30), shown,
        ended("s", "contrast@5", "gives up", 0, "timeout", "killed"),
    ])  # fmt: skip
    book = Scorebook(entries)
    spoilt = [entry for entry in entries if entry.cell.degradation != "clean"]
    assert {e.cell.method: book.penalised([e], PSNR).values.tolist() for e in spoilt} == {
        "answers": [12.5],
        "gives up": [12.5],
    }
    assert {e.cell.method: book.penalised([e], ROTATION).values.tolist() for e in spoilt} == {
        "answers": [50],
        "gives up": [180],
    }
    (curve,) = [c for c in robustness.curves(entries, book) if c.method == "gives up"]
    assert dict(curve.points(PSNR))[5].value == 12.5
    board = across(entries)[1]
    assert aggregate_of(board, "gives up", PSNR, "penalised").shown.text == "12.50"


def test_a_render_that_failed_is_charged_and_a_method_without_a_field_is_not(tmp_path):
    """A method that crashed four of six renders was ranked above an honest one."""
    good = done("s", "clean", "m", 0, rotation=1, psnr=30)
    poses = {name: value for name, value in good.metrics.items() if not name.startswith("nvs/aligned")}
    crashed = replace(good, metrics=poses, stage="judge", reason="render: killed", absent={"nvs": "the render failed"})
    bare = replace(good, metrics=poses, absent={"nvs/aligned": "the method returned no field"})
    named = [
        replace(each, cell=replace(each.cell, method=name)) for each, name in ((crashed, "crashes"), (bare, "bare"))
    ]
    entries = entries_of(tmp_path, [good, *named])
    book = Scorebook(entries)
    assert {e.cell.method: book.penalised([e], PSNR).values.tolist() for e in entries} == {
        "m": [30], "crashes": [12.5], "bare": [],
    }  # fmt: skip
    assert {e.cell.method: book.penalised([e], ROTATION).values.tolist() for e in entries}["crashes"] == [1]


def test_withholding_a_field_never_pays(tmp_path):
    """A method that showed its field where it was good alone was ranked above one that always did."""
    honest = [done("s", "clean", "honest", k, rotation=1, psnr=psnr) for k, psnr in enumerate((30, 30, 14, 14))]
    shows = [done("s", "clean", "withholds", k, rotation=1, psnr=29) for k in range(4)]
    bare = {name: value for name, value in shows[0].metrics.items() if not name.startswith("nvs/aligned")}
    withheld = [replace(each, metrics=bare, absent={"nvs/aligned": "no field"}) for each in shows[2:]]
    entries = entries_of(tmp_path, [*honest, *shows[:2], *withheld])
    book = Scorebook(entries)
    scored = {m: book.penalised([e for e in entries if e.cell.method == m], PSNR) for m in ("honest", "withholds")}
    assert sorted(scored["withholds"].values.tolist()) == [12.5, 12.5, 29, 29]
    assert scored["honest"].at(stats.iqm) > scored["withholds"].at(stats.iqm)


def test_a_frame_in_doubt_is_explained_where_the_aligned_views_stand(tmp_path):
    flag = (
        "pose: centres and rotations tell two frames, 1.80 deg apart (the residuals explain 0.20); the frame is that of"
    )
    sure = done("s", "clean", "sure", 0, rotation=1, psnr=25)
    tilted = replace(sure, cell=replace(sure.cell, method="tilted"), flags=(flag,))
    both = [replace(each, metrics={**each.metrics, "pose/frame_tilt_deg": 1.8}) for each in (sure, tilted)]
    board = board_of(entries_of(tmp_path, both), "s")
    shown = numbers(board, "tilted")
    assert shown["pose/frame_tilt_deg"].shown.text == "1.80"
    assert any("two frames" in dict(board.notes)[letter] for letter in shown["nvs/aligned/psnr"].notes)
    assert not shown["nvs/refined/psnr"].notes
    assert "pose/frame_tilt_deg" not in numbers(board_of(entries_of(tmp_path / "sure", both[:1]), "s"), "sure")


def test_what_solved_nothing_is_neither_bold_nor_ranked_nor_follows(tmp_path):
    results = [
        done("s", "clean", "right", 0, rotation=1, psnr=25), done("s", "clean", "also", 0, rotation=2, psnr=24),
        replace(done("s", "clean", "pretty", 0, rotation=151, psnr=35), cost={"fit_seconds": 1.0, "peak_rss_mb": 1.0}),
    ]  # fmt: skip
    entries = entries_of(tmp_path, results)
    board = board_of(entries, "s")
    assert {number.shown.mark for number in row_of(board, "pretty").numbers} == {""}
    assert [(row.label, row.rank) for row in board.rows] == [("right", 1), ("also", 2), ("pretty", None)]
    assert "pretty" not in said_of(entries, "s")
    assert {point.method: point.best for point in tradeoff.costs(entries, Scorebook(entries))[0].points}[
        "pretty"
    ] is False
    assert row_of(board, "pretty").tally == (("answered", "answered, not solved"),)


def test_an_effort_that_is_too_short_is_no_failure_of_the_method(tmp_path):
    result = done("s", "clean", "slow", 0, rotation=105, psnr=15)
    flagged = replace(result, flags=("too short to converge: 90 iterations",))
    quick = entries_of(tmp_path / "quick", [flagged])
    assert row_of(board_of(quick, "s"), "slow").tally == (("answered", "answered, not solved"),)
    entries = entries_of(tmp_path / "smoke", [replace(flagged, cell=replace(flagged.cell, effort="smoke"))])
    assert row_of(board_of(entries, "s"), "slow").tally == (("short", "too short to converge"),)
    assert said_of(entries, "s").endswith("this effort is too short for slow to converge.")


def test_times_of_fits_on_different_machines_are_not_ranked_together(tmp_path):
    fast = done("s", "clean", "fast", 0, rotation=1, psnr=25)
    results = [
        replace(fast, cost={"fit_seconds": 10.0, "threads": 8}), done("s", "clean", "slow", 0, rotation=1, psnr=26),
    ]  # fmt: skip
    entries = entries_of(tmp_path, results)
    assert numbers(board_of(entries, "s"), "fast")["cost/fit_seconds"].shown.mark == ""
    assert all(point.best for point in tradeoff.costs(entries, Scorebook(entries))[0].points)
    alike = [replace(each, cost={"fit_seconds": each.cost["fit_seconds"], "threads": 2}) for each in results]
    assert numbers(board_of(entries_of(tmp_path, alike), "s"), "fast")["cost/fit_seconds"].shown.mark == "best"


def test_two_gpus_of_one_name_are_alike_and_two_of_other_names_are_not(tmp_path):
    cards = {"cuda:0": "NVIDIA H100", "cuda:1": "NVIDIA H100", "cuda:2": "NVIDIA L4", "cuda": None, "cpu": None}
    results = [
        replace(done("s", "clean", "m", k, rotation=1, psnr=25), provenance={"device": device, "card": card})
        for k, (device, card) in enumerate(cards.items())
    ]
    machines = [entry.machine[0] for entry in entries_of(tmp_path, results)]
    assert machines == ["NVIDIA H100", "NVIDIA H100", "NVIDIA L4", "cuda", "cpu"]


def test_the_scene_that_a_method_was_tuned_on_bears_a_dagger(tmp_path):
    result = replace(done("s", "clean", "m", 0, rotation=1, psnr=25), tuned_on=("s",))
    entries = entries_of(tmp_path, [result, replace(result, cell=replace(result.cell, scene="other"))])
    assert row_of(board_of(entries, "s"), "m").tuned_on == ("s",)
    assert row_of(board_of(entries, "other"), "m").tuned_on == ()
    assert row_of(across(entries)[0], "m").tuned_on == ("s",)
    assert any(
        "Tuned with the truth of the scene in view: m on s" in "".join(p.text for p in c) for c in told(entries).caveats
    )


def test_a_failure_is_charged_what_any_cell_of_the_same_images_states(tmp_path):
    """Held-out images are the clean ones under every degradation but silhouettes."""
    entries = entries_of(tmp_path, [
        done("s", "clean", "m", 0, rotation=1, psnr=30), ended("s", "jpeg@1", "m", 0, "failed", "broke"),
        ended("s", "silhouette@1", "m", 0, "failed", "broke"), ended("other", "clean", "m", 0, "failed", "broke"),
    ])  # fmt: skip
    levels = {(e.cell.scene, e.cell.degradation): Scorebook(entries).level(e) for e in entries}
    assert {cell: level for cell, level in levels.items() if not math.isnan(level)} == {
        ("s", "clean"): 12.5, ("s", "jpeg@1"): 12.5,
    }  # fmt: skip


def test_where_a_charge_is_not_known_neither_heat_nor_cost_shows_a_mean(tmp_path):
    known = done("a", "clean", "m", 0, rotation=1, psnr=30)
    entries = entries_of(tmp_path, [known, ended("b", "clean", "m", 0, "failed", "broke")])
    square = heat.heats(entries, Scorebook(entries))[0].rows[0].squares[0]
    assert (square.texts["success"], square.texts["psnr"]) == ("1/2", "—")
    assert tradeoff.costs(entries, Scorebook(entries)) == []


def test_a_fit_that_failed_before_it_cost_anything_is_charged_in_the_cost_figure(tmp_path):
    lost = ended("a", "clean", "m", 1, "failed", "broke")
    entries = entries_of(tmp_path, [done("a", "clean", "m", 0, rotation=1, psnr=30), replace(lost, cost={})])
    (point,) = tradeoff.costs(entries, Scorebook(entries))[0].points
    assert (point.n, point.psnr) == (2, pytest.approx((30 + 12.5) / 2))


def test_seeds_are_listed_as_ranges_and_notes_lettered_past_z():
    assert cells.ranges([7, 0, 1, 2, 9, 10]) == "0-2, 7, 9, 10"
    notes = Footnotes()
    assert [notes.letter(str(k)) for k in (*range(28), 0)][-4:] == ["z", "aa", "ab", "a"]


def test_every_status_and_a_nan_occur_in_the_suite_of_these_tests():
    results = suite_results()
    assert {result.status for result in results} == set(OUTCOMES) - {"solved", "answered", "short"}
    assert any(math.isnan(value) for result in results for value in result.metrics.values())
    assert np.isinf([value for result in results for value in result.metrics.values()]).any()
