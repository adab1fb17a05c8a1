"""Two suites side by side: pairs, changes, and when a continuous check must fail."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from synthetic_suite import done, ended, write_cell

from bench.cli import main
from reports import compare as comparing
from reports import comparison_text


def write(folder, *results):
    for result in results:
        write_cell(folder, result, files=False)
    return str(folder)


def cells(psnr=30.0, rotation=1.0, method="m", seeds=range(4)):
    return [done("s", "clean", method, k, rotation=rotation, psnr=psnr + k) for k in seeds]


def compared(a, b):
    return comparing.compare(comparing.side(a), comparing.side(b))


def change(found, name):
    return next(each for each in found.changes if each.column.name == name)


@pytest.fixture
def before(tmp_path):
    return write(tmp_path / "before", *cells())


def test_a_suite_beside_itself_has_not_changed(before):
    found = compared(before, before)
    assert found.regressions == ()
    assert all(each.mean == 0 and each.better == each.worse == 0 for each in found.changes)
    assert comparison_text.lines(found)[-1] == "nothing got worse"


def test_changes_are_of_pairs_and_not_of_means(tmp_path, before):
    after = write(tmp_path / "after", *cells(psnr=31.5, seeds=[0, 3]))
    found = compared(before, after)
    psnr = change(found, "nvs/aligned/psnr")
    assert (len(found.pairs), len(found.cells["lacking"]), found.only_b) == (2, 2, 0)
    assert (psnr.n, psnr.mean, psnr.better) == (2, pytest.approx(1.5), 2)
    assert psnr.interval[:2] == pytest.approx((1.5, 1.5))


def test_a_run_that_died_half_way_is_no_success(tmp_path, before):
    found = compared(before, write(tmp_path / "after", *cells(seeds=[0])))
    assert found.regressions == ("3 cells not in B",)
    assert found.cells["lacking"] == [(f"s/clean/m/seed{k}", "solved in A") for k in (1, 2, 3)]
    said = comparison_text.lines(found)
    assert f"only in A; {comparing.SMALLER} (3):" in said
    assert "  s/clean/m/seed3  solved in A" in said
    more = write(tmp_path / "more", *cells(), done("t", "clean", "m", 0, rotation=1, psnr=30))
    assert compared(more, before).regressions == ("1 cell not in B",)
    assert compared(f"{more}/s", before).regressions == ()  # what the text advises
    assert compared(write(tmp_path / "less", *cells(seeds=[0])), before).regressions == ()


@pytest.mark.parametrize("lost", [float("nan"), None])
def test_a_number_that_is_lost_is_a_regression_and_is_named(tmp_path, before, lost):
    poorer = [
        replace(each, metrics={k: v if k != "nvs/aligned/psnr" else lost for k, v in each.metrics.items()
                               if k != "nvs/aligned/psnr" or lost is not None})
        for each in cells()
    ]  # fmt: skip
    found = compared(before, write(tmp_path / "after", *poorer))
    assert found.regressions == ("4 cells without a number that A has",)
    assert found.cells["newly_missing"][0] == ("s/clean/m/seed0", "PSNR aligned")
    assert "without a number that A has (4):" in comparison_text.lines(found)


def test_a_perfect_render_has_not_lost_its_number(tmp_path, before):
    assert compared(before, write(tmp_path / "after", *cells(psnr=float("inf")))).regressions == ()


def test_what_another_method_lacks_by_its_nature_is_not_lost(tmp_path):
    poses = [
        replace(each, metrics={k: v for k, v in each.metrics.items() if not k.startswith("nvs/")})
        for each in cells(method="poses")
    ]
    folder = write(tmp_path / "both", *cells(), *poses)
    assert compared(f"{folder}:m", f"{folder}:poses").cells["newly_missing"] == []


def test_a_step_over_the_threshold_within_the_tolerance_is_no_change(tmp_path):
    a, b = (write(tmp_path / str(value), *cells(rotation=value, seeds=[0])) for value in (4.9999, 5.0001))
    assert (compared(a, b).regressions, compared(b, a).cells["newly_solved"]) == ((), [])


def test_a_loss_beyond_tolerance_and_chance_is_a_regression_and_a_gain_is_not(tmp_path, before):
    worse = compared(before, write(tmp_path / "worse", *cells(psnr=29.5)))
    assert [each.partition(" −")[0] for each in worse.regressions] == ["PSNR aligned", "PSNR refined", "PSNR half"]
    assert compared(before, write(tmp_path / "better", *cells(psnr=30.5))).regressions == ()
    assert compared(before, write(tmp_path / "noise", *cells(psnr=29.95))).regressions == ()


def test_a_change_that_could_be_chance_is_no_regression(tmp_path, before):
    mixed = [done("s", "clean", "m", k, rotation=1, psnr=30 + k + d) for k, d in enumerate((-2, 1.5, -1.5, 1))]
    found = compared(before, write(tmp_path / "mixed", *mixed))
    assert change(found, "nvs/aligned/psnr").mean < -0.1
    assert found.regressions == ()


def test_one_scene_each_is_drawn_over_scenes(tmp_path):
    a, b = (
        write(tmp_path / name, *(done(f"s{k}", "clean", "m", 0, rotation=1, psnr=p + k / 10) for k in range(5)))
        for name, p in (("a", 30.0), ("b", 29.0))
    )
    found = change(compared(a, b), "nvs/aligned/psnr")
    assert found.interval[:2] == pytest.approx((-1, -1))
    assert found.interval.over == "scenes"
    assert found.lost


def test_a_cell_that_fails_or_is_no_longer_solved_is_named(tmp_path, before):
    after = write(
        tmp_path / "after",
        *cells(seeds=[0]), ended("s", "clean", "m", 1, "timeout", "killed"),
        done("s", "clean", "m", 2, rotation=40, psnr=32), *cells(seeds=[3]),
    )  # fmt: skip
    found = compared(before, after)
    assert found.cells["newly_failing"] == [("s/clean/m/seed1", "timeout in fit: killed")]
    assert found.cells["newly_unsolved"] == [("s/clean/m/seed2", "1.00 -> 40.00 deg")]
    assert found.regressions[:2] == ("1 cell newly without an answer", "1 cell no longer solved")
    back = compared(after, before)
    assert back.cells["newly_answered"][0][0] == "s/clean/m/seed1"
    assert back.cells["newly_solved"][0][0] == "s/clean/m/seed2"
    assert back.regressions == ()


def test_time_and_memory_are_told_and_are_no_regression(tmp_path, before):
    slow = [replace(cell, cost={"fit_seconds": 900.0, "peak_rss_mb": 9000.0}) for cell in cells()]
    found = compared(before, write(tmp_path / "slow", *slow))
    assert change(found, "cost/fit_seconds").worse == 4
    assert found.regressions == ()


def test_two_methods_are_paired_by_what_they_were_asked(tmp_path):
    suite = write(tmp_path / "s", *cells(method="a"), *cells(method="b", psnr=33))
    found = compared(f"{suite}:a", f"{suite}:b")
    assert [pair.name for pair in found.pairs] == [f"s/clean/seed{k}" for k in range(4)]
    assert change(found, "nvs/aligned/psnr").mean == pytest.approx(3)


def test_two_protocols_stand_beside_each_other_and_neither_is_called_worse(tmp_path, before):
    worse = [replace(cell, protocol="posefree/2") for cell in cells(psnr=20)]
    found = compared(before, write(tmp_path / "other", *worse))
    assert change(found, "nvs/aligned/psnr").mean == -10
    assert found.regressions == ()
    said = comparison_text.lines(found)
    assert "4 cells, posefree/1, git" in said[0] and "4 cells, posefree/2, git" in said[1]
    assert said[-1] == "judged by two protocols, posefree/1 and posefree/2: no difference is a loss"


def test_efforts_are_never_paired(tmp_path, before):
    other = [replace(each, cell=replace(each.cell, effort="full")) for each in cells()]
    with pytest.raises(ValueError, match="no cell in common"):
        compared(before, write(tmp_path / "other", *other))


def test_degradations_of_one_seed_are_no_seeds(tmp_path):
    """One scene, one seed, six degradations: an interval `of seeds` called a change of chance worse."""
    kinds = ["clean", *(f"jpeg@{k}" for k in range(1, 6))]
    a, b = (
        write(tmp_path / name, *(done("s", kind, "m", 0, rotation=1, psnr=30 - drop) for kind in kinds))
        for name, drop in (("a", 0.0), ("b", 0.5))
    )
    found = change(compared(a, b), "nvs/aligned/psnr")
    assert (found.n, found.interval) == (6, None)


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ("{0}", "nowhere", "nowhere is not a folder"),
        ("{0}:x", "{0}:m", "has no method 'x'; it has m"),
        ("{0}:m", "{0}", "on both sides"),
    ],
)
def test_bad_input_is_one_sentence(before, a, b, words):
    ended = CliRunner().invoke(main, ["compare", a.format(before), b.format(before)])
    assert ended.exit_code == 2
    assert words in ended.output
    assert ended.output.count("\n") == 1


def test_a_check_fails_only_where_it_was_asked_to(tmp_path, before):
    worse = write(tmp_path / "worse", *cells(psnr=25))
    call = CliRunner().invoke
    assert call(main, ["compare", before, worse]).exit_code == 0
    assert call(main, ["compare", before, worse, "--fail-on-regression"]).exit_code == 1
    assert call(main, ["compare", worse, before, "--fail-on-regression"]).exit_code == 0
    told = json.loads(call(main, ["compare", before, worse, "--json"]).output)
    assert told["changes"]["nvs/aligned/psnr"]["mean"] == pytest.approx(-5)
    assert told["changes"]["nvs/aligned/psnr"]["lost"]
