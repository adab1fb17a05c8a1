"""Curves, areas and breaking points, against sums done by hand."""

import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_suite import done, ended, write_cell

from bench.record import table
from bench.stress.breaking_points import BreakingPoint, Trial, keep
from reports.analysis import families, robustness
from reports.analysis.robustness import METRICS, PSNR, REGISTERED, ROTATION, SUCCESS, Curve, Point
from reports.build import build


def cell(method, degradation, seed, rotation, psnr=20.0, scene="s"):
    """Done with this rotation error; None: a collapse."""
    if rotation is None:
        return ended(scene, degradation, method, seed, "collapsed", "no answer")
    return done(scene, degradation, method, seed, rotation=rotation, psnr=psnr)


def a_suite():
    """Two seeds: whole when clean and at 1, one of them lost at 3, both at 5."""
    rotations = {"clean": (1.0, 2.0), "jpeg@1": (1.0, 4.0), "jpeg@3": (2.0, None), "jpeg@5": (40.0, None)}
    psnrs = {"clean": 30.0, "jpeg@1": 28.0, "jpeg@3": 24.0, "jpeg@5": 20.0}
    return [
        cell("m", degradation, seed, rotation, psnrs[degradation])
        for degradation, each in rotations.items()
        for seed, rotation in enumerate(each)
    ]


def curve_of(results, metric, method="m"):
    (found,) = [c for c in robustness.curves(table(results)) if (c.metric, c.method) == (metric, method)]
    return found


def values(curve):
    return {point.severity: point.value for point in curve.points}


def test_the_success_rate_falls_and_breaks_where_fewer_than_half_succeed():
    curve = curve_of(a_suite(), SUCCESS)
    assert values(curve) == {0: 1.0, 1: 1.0, 3: 0.5, 5: 0.0}
    assert curve.breaks == 5  # one of two is one half
    assert curve.area == pytest.approx((1 * 1 + 2 * 0.75 + 2 * 0.25) / 5)
    assert curve.relative == curve.area
    assert (curve.family, curve.scenes, curve.seeds, curve.even) == ("digital", ("s",), (0, 1), True)


def test_a_failure_is_charged_180_degrees_and_the_mean_colour_image():
    rotation, psnr = (curve_of(a_suite(), metric) for metric in (ROTATION, PSNR))
    assert values(rotation) == {0: 1.5, 1: 2.5, 3: 91.0, 5: 110.0}
    assert values(psnr) == {0: 30.0, 1: 28.0, 3: (24 + 12.5) / 2, 5: (20 + 12.5) / 2}
    assert rotation.area == pytest.approx((2 + 2 * 46.75 + 2 * 100.5) / 5)
    assert rotation.relative == pytest.approx((2 + 2 * 46.75 + 2 * 100.5) / 5 / 1.5)
    assert psnr.clean == 30


def test_what_gave_no_answer_registered_no_view():
    curve = curve_of(a_suite(), REGISTERED)
    # medians of two seeds, each with 90 % of the views until one of them is lost from severity 3 on
    assert values(curve) == {0: 0.9, 1: 0.9, 3: 0.45, 5: 0.45}


def test_where_all_cells_of_a_severity_failed_the_scene_says_what_its_mean_colour_is_worth():
    results = [cell("m", "clean", 0, 1.0, 30.0), cell("m", "jpeg@5", 0, None)]
    assert values(curve_of(results, PSNR)) == {0: 30.0, 5: 12.5}
    alone = [cell("m", "jpeg@4", 0, None), cell("m", "jpeg@5", 0, None)]
    curve = curve_of(alone, PSNR)
    assert all(math.isnan(value) for value in values(curve).values())
    assert (curve.clean, curve.relative) == (None, None)


def test_clean_cells_of_other_scenes_and_seeds_do_not_count():
    others = [cell("m", "clean", 7, 90.0), cell("m", "clean", 0, 90.0, scene="elsewhere")]
    assert curve_of([*a_suite(), *others], ROTATION) == curve_of(a_suite(), ROTATION)


def test_a_severity_run_in_some_of_the_cells_alone_is_no_point():
    curve = curve_of(a_suite()[:-1], SUCCESS)
    assert (set(values(curve)), curve.partial, curve.even) == ({0, 1, 3}, (5,), True)


def test_where_no_severity_was_run_in_all_cells_the_curve_is_said_to_be_uneven():
    curve = curve_of([cell("m", "jpeg@1", 0, 1.0), cell("m", "jpeg@2", 1, 1.0)], SUCCESS)
    assert (set(values(curve)), curve.partial, curve.even) == ({1, 2}, (), False)


def test_skipped_cells_change_nothing():
    skipped = ended("s", "jpeg@3", "m", 5, "skipped", "needs more")
    assert curve_of([*a_suite(), skipped], SUCCESS) == curve_of(a_suite(), SUCCESS)


def test_a_method_that_fails_when_clean_breaks_at_0_and_one_that_never_does_at_none():
    results = [cell("bad", "clean", 0, None), cell("bad", "jpeg@1", 0, None)]
    results += [cell("good", "clean", 0, 0.0), cell("good", "jpeg@5", 0, 1.0)]
    assert curve_of(results, SUCCESS, "bad").breaks == 0
    assert curve_of(results, SUCCESS, "good").breaks is None
    assert curve_of(results, ROTATION, "good").relative is None  # nothing to be relative to
    (family,) = families.families(table(results))
    assert {row.method: row.breaks for row in family.rows} == {"bad": "clean", "good": "none up to 5"}


def test_efforts_protocols_and_kinds_of_truth_never_meet():
    results = a_suite()
    results += [replace(each, cell=replace(each.cell, effort="full")) for each in results]
    results += [replace(each, reference="colmap") for each in results]
    results += [replace(each, protocol="posefree/2") for each in results]
    found = [curve for curve in robustness.curves(table(results)) if curve.metric == SUCCESS]
    assert len(found) == 8
    assert {values_of for curve in found if (values_of := tuple(values(curve).values()))} == {(1.0, 1.0, 0.5, 0.0)}
    assert [curve.agreement for curve in found] == [False] * 4 + [True] * 4


def test_images_of_silhouettes_are_not_compared_with_those_of_the_clean_scene():
    results = [cell("m", "clean", 0, 1.0, 30.0), cell("m", "silhouette@1", 0, 1.0), cell("m", "silhouette@3", 0, 2.0)]
    assert values(curve_of(results, PSNR)) == {1: 20.0, 3: 20.0}
    assert list(values(curve_of(results, ROTATION))) == [0, 1, 3]


def test_a_method_without_a_field_has_no_curve_of_images():
    poses = [replace(each, metrics={ROTATION: 1.0}) for each in a_suite() if each.status == "done"]
    curve = curve_of(poses, PSNR)
    assert (curve.points, curve.area, curve.clean) == ((), None, None)
    (family,) = families.families(table(poses))
    assert family.rows[0].areas[METRICS.index(PSNR)] == ("—", "—")


def test_families_stand_in_their_order_and_a_kind_nobody_knows_comes_last():
    results = [
        cell("m", degradation, 0, 1.0)
        for degradation in ("clean", "zigzag@1", "jpeg@1", "low_texture@1", "focal_error@1", "flat@1")
    ]
    found = families.families(table(results))
    assert [each.family for each in found] == ["texture", "digital", "camera", "other"]
    assert [row.kind for row in found[0].rows] == ["low_texture", "flat"]


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1)), min_size=2, max_size=8, unique_by=lambda pair: pair[0]))
def test_the_area_is_a_mean_height(pairs):
    points = tuple(Point(severity=x, value=y, successes=0, n=1) for x, y in sorted(pairs))
    curve = Curve(
        family="f", kind="k", method="m", metric=SUCCESS, effort="quick", protocol="p", agreement=False, scenes=(),
        seeds=(), even=True, partial=(), points=points,
    )  # fmt: skip
    x, y = np.array(sorted(pairs)).T
    dense = np.interp(np.linspace(x[0], x[-1], 20001), x, y)
    assert curve.area is not None
    assert min(y) - 1e-9 <= curve.area <= max(y) + 1e-9
    if np.diff(x).min() > 0.01:
        assert curve.area == pytest.approx(dense.mean(), abs=2e-3)


def test_the_csv_has_a_row_for_every_curve(tmp_path):
    for result in a_suite():
        write_cell(tmp_path, result, files=False)
    frame = pd.read_csv(build(tmp_path).parent / "robustness.csv").set_index("metric")
    assert list(frame.index) == [SUCCESS, ROTATION, REGISTERED, PSNR]
    row = frame.loc[SUCCESS].to_dict()
    assert [row[name] for name in ("family", "kind", "breaks")] == ["digital", "jpeg", 5]
    assert row["curve"] == "0:1 1:1 3:0.5 5:0"
    assert row["successes"] == "0:2/2 1:2/2 3:1/2 5:0/2"
    assert row["area"] == pytest.approx(0.6)


def test_the_report_prints_areas_beside_what_they_are_relative_to(tmp_path):
    for result in a_suite():
        write_cell(tmp_path, result, files=False)
    folder = build(tmp_path).parent
    line = next(line for line in (folder / "report.md").read_text().splitlines() if line.startswith("| jpeg | m |"))
    assert re.split(r" *\| *", line.strip("| "))[2:5] == ["5", "0.60", "0.60"]
    assert "0.60 × clean" in (folder / "index.html").read_text()


def test_the_report_shows_breaking_points_found_by_bisection(tmp_path):
    for result in a_suite():
        write_cell(tmp_path, result, files=False)
    trials = (
        Trial(severity=0, successes=2, cells=2, rotation_deg=1.5),
        Trial(severity=5, successes=0, cells=2, rotation_deg=110),
    )
    row = BreakingPoint(
        scene="<i>s</i>", kind="jpeg", method="m", effort="quick", seeds=(0, 1), tolerance=5.0, verdict="0-5",
        holds=0.0, breaks=5.0, reason=None, cells=4, saved=0, trials=trials,
    )  # fmt: skip
    keep(tmp_path, [row])
    folder = build(tmp_path).parent
    (line,) = (line for line in (folder / "report.md").read_text().splitlines() if "0-5" in line)
    assert line.endswith("| jpeg | m | quick | 0-5 | 0 1 | 4 | 0 | 0: 2/2, 5: 0/2 |")
    page = (folder / "index.html").read_text()
    assert "0: 2/2, 5: 0/2" in page and "<i>s</i>" not in page


def test_a_suite_of_clean_cells_alone_says_nothing_of_robustness(tmp_path):
    write_cell(tmp_path, cell("m", "clean", 0, 1.0), files=False)
    folder = build(tmp_path).parent
    assert "Robustness" not in (folder / "report.md").read_text()
    assert pd.read_csv(folder / "robustness.csv").empty
