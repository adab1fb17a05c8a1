"""Curves, areas and breaking points, against sums done by hand."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_suite import done, ended, write_cell

from bench.record import ROTATION
from bench.stress.breaking_points import BreakingPoint, Trial, keep
from reports.analysis import robustness
from reports.analysis.entries import PSNR, REGISTERED, Entry
from reports.analysis.findings import bearing
from reports.analysis.questions import Setting
from reports.analysis.robustness import SUCCESS, Break, Curve, Level, Point
from reports.analysis.scorebook import Scorebook
from reports.build import build
from reports.site import figures


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


def curves(results):
    entries = [Entry(folder=Path(), result=result, given_poses=False) for result in results]
    return robustness.curves(entries, Scorebook(entries))


def curve_of(results, method="m"):
    (found,) = [curve for curve in curves(results) if curve.method == method]
    return found


def values(curve, name):
    return {severity: point.value for severity, point in curve.points(name)}


def test_the_success_rate_falls_and_breaks_where_fewer_than_half_succeed():
    curve = curve_of(a_suite())
    assert values(curve, SUCCESS) == {0: 1.0, 1: 1.0, 3: 0.5, 5: 0.0}
    assert curve.broken == Break(3, 5)  # one of two is one half
    assert str(curve.broken) == "3–5"
    assert curve.area(SUCCESS).value == pytest.approx((1 * 1 + 2 * 0.75 + 2 * 0.25) / 5)
    assert curve.relative(SUCCESS) == curve.area(SUCCESS).value
    assert (curve.family, curve.scenes, curve.seeds, curve.even) == ("digital", ("s",), (0, 1), True)


def test_an_area_claims_nothing_of_severities_that_were_not_run():
    """Between 1 and 3, and between 3 and 5, the success rate may be anything from one end to the other."""
    area = curve_of(a_suite()).area(SUCCESS)
    assert area.low == pytest.approx((1 * 1 + 2 * 0.5 + 2 * 0.0) / 5)
    assert area.high == pytest.approx((1 * 1 + 2 * 1.0 + 2 * 0.5) / 5)
    assert robustness.show_area(curve_of(a_suite()), SUCCESS) == "0.60 [0.40, 0.80]"


def test_a_failure_is_charged_180_degrees_and_the_mean_colour_image():
    curve = curve_of(a_suite())
    assert values(curve, ROTATION) == {0: 1.5, 1: 2.5, 3: 91.0, 5: 110.0}
    assert values(curve, PSNR) == {0: 30.0, 1: 28.0, 3: (24 + 12.5) / 2, 5: (20 + 12.5) / 2}
    assert curve.area(ROTATION).value == pytest.approx((2 + 2 * 46.75 + 2 * 100.5) / 5)
    assert curve.relative(ROTATION) == pytest.approx((2 + 2 * 46.75 + 2 * 100.5) / 5 / 1.5)
    assert curve.clean(PSNR) == 30


def test_what_gave_no_answer_registered_no_view():
    # medians of two seeds, each with 90 % of the views until one of them is lost from severity 3 on
    assert values(curve_of(a_suite()), REGISTERED) == {0: 0.9, 1: 0.9, 3: 0.45, 5: 0.45}


def test_where_all_cells_of_a_severity_failed_the_scene_says_what_its_mean_colour_is_worth():
    results = [cell("m", "clean", 0, 1.0, 30.0), cell("m", "jpeg@5", 0, None)]
    assert values(curve_of(results), PSNR) == {0: 30.0, 5: 12.5}
    alone = curve_of([cell("m", "jpeg@4", 0, None), cell("m", "jpeg@5", 0, None)])
    assert (values(alone, PSNR), alone.clean(PSNR), alone.relative(PSNR)) == ({}, None, None)


def test_clean_cells_of_other_scenes_and_seeds_do_not_count():
    others = [cell("m", "clean", 7, 90.0), cell("m", "clean", 0, 90.0, scene="elsewhere")]
    assert curve_of([*a_suite(), *others]) == curve_of(a_suite())


def test_a_severity_run_in_some_of_the_cells_alone_is_no_point():
    curve = curve_of(a_suite()[:-1])
    assert (set(values(curve, SUCCESS)), curve.partial, curve.even) == ({0, 1, 3}, (5,), True)
    assert curve.remark == "left out, run in some scenes and seeds alone: 5"


def test_where_no_severity_was_run_in_all_cells_the_curve_is_said_to_be_uneven():
    curve = curve_of([cell("m", "jpeg@1", 0, 1.0), cell("m", "jpeg@2", 1, 1.0)])
    assert (set(values(curve, SUCCESS)), curve.partial, curve.even) == ({1, 2}, (), False)


def test_skipped_cells_change_nothing():
    skipped = ended("s", "jpeg@3", "m", 5, "skipped", "needs more")
    assert curve_of([*a_suite(), skipped]) == curve_of(a_suite())


def test_where_a_method_breaks_is_never_said_more_exactly_than_it_was_asked():
    results = [cell("bad", "clean", 0, None), cell("bad", "jpeg@1", 0, None), cell("late", "jpeg@2", 0, None)]
    results += [cell("good", "clean", 0, 0.0), cell("good", "jpeg@5", 0, 1.0)]
    assert {c.method: str(c.broken) for c in curves(results)} == {"bad": "clean", "good": "> 5", "late": "≤ 2"}
    assert curve_of(results, "good").relative(ROTATION) is None  # nothing to be relative to


def test_efforts_protocols_and_kinds_of_truth_never_meet():
    results = a_suite()
    results += [replace(each, cell=replace(each.cell, effort="full")) for each in results]
    results += [replace(each, reference="colmap") for each in results]
    results += [replace(each, protocol="posefree/2") for each in results]
    found = curves(results)
    assert len(found) == 8
    assert {tuple(values(curve, SUCCESS).values()) for curve in found} == {(1.0, 1.0, 0.5, 0.0)}
    assert [bool(curve.setting.agreement) for curve in found] == [False] * 4 + [True] * 4


def test_images_of_silhouettes_are_not_compared_with_those_of_the_clean_scene():
    results = [cell("m", "clean", 0, 1.0, 30.0), cell("m", "silhouette@1", 0, 1.0), cell("m", "silhouette@3", 0, 2.0)]
    assert values(curve_of(results), PSNR) == {1: 20.0, 3: 20.0}
    assert list(values(curve_of(results), ROTATION)) == [0, 1, 3]


def test_a_silhouette_that_nobody_rendered_has_an_iou_of_nothing():
    masks = cell("m", "silhouette@1", 0, 1.0)
    masks = replace(masks, metrics=masks.metrics | {"nvs/aligned/iou": 0.8})
    curve = curve_of([masks, cell("m", "silhouette@3", 0, None)])
    assert (values(curve, "nvs/aligned/iou"), values(curve, PSNR)) == ({1: 0.8, 3: 0.0}, {})


def test_a_method_without_a_field_has_no_curve_of_images():
    poses = [replace(each, metrics={ROTATION: 1.0}) for each in a_suite() if each.status == "done"]
    curve = curve_of(poses)
    assert (curve.points(PSNR), curve.area(PSNR), curve.clean(PSNR)) == ([], None, None)
    assert robustness.show_area(curve, PSNR) == "—"


def test_families_stand_in_their_order_and_a_kind_nobody_knows_comes_last():
    results = [
        cell("m", degradation, 0, 1.0)
        for degradation in ("clean", "zigzag@1", "jpeg@1", "low_texture@1", "focal_error@1", "flat@1")
    ]
    found = robustness.by_family(curves(results))
    assert [family for _, family in found] == ["texture", "digital", "camera", "other"]
    assert [curve.kind for curve in next(iter(found.values()))] == ["low_texture", "flat"]


def a_curve(points):
    """Of success rates by severity."""
    return Curve(
        setting=Setting(agreement="", effort="quick", protocol="p"), family="f", kind="k", method="m", given="",
        given_poses=False, scenes=(), seeds=(), even=True, partial=(),
        levels=tuple(Level(severity=x, n=1, solved=0, points={SUCCESS: Point(y)}) for x, y in sorted(points)),
    )  # fmt: skip


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1)), min_size=2, max_size=8, unique_by=lambda pair: pair[0]))
def test_the_area_is_a_mean_height_and_lies_within_its_bounds(pairs):
    area = a_curve(pairs).area(SUCCESS)
    x, y = np.array(sorted(pairs)).T
    assert area is not None
    assert min(y) - 1e-9 <= area.low <= area.value + 1e-9 <= area.high + 2e-9 <= max(y) + 3e-9
    if np.diff(x).min() > 0.01:
        dense = np.interp(np.linspace(x[0], x[-1], 20001), x, y)
        assert area.value == pytest.approx(dense.mean(), abs=2e-3)


def test_the_verdict_says_between_which_severities_and_how_many_views_were_left():
    said = "".join(part.text for part in bearing([curve_of(a_suite())]))
    assert said == "jpeg, severity to 5: m breaks between severity 3 and 5, where it registers 45 % of the views."


def test_the_chart_crosses_out_the_gap_in_which_a_method_breaks():
    (kind,) = figures.robustness([curve_of(a_suite())])
    (series,) = kind.charts[SUCCESS].series
    assert [mark.kind for mark in series.marks] == ["dot"] * 4 + ["break"]
    *dots, cross = series.marks
    assert cross.says == "m breaks between severity 3 and 5"
    assert cross.x == pytest.approx((dots[2].x + dots[3].x) / 2)
    assert [mark.y for mark in dots] == sorted(mark.y for mark in dots)


def test_the_csv_has_a_row_for_every_curve(tmp_path):
    for result in a_suite():
        write_cell(tmp_path, result, files=False)
    frame = pd.read_csv(build(tmp_path).parent / "robustness.csv").set_index("metric")
    assert list(frame.index) == [SUCCESS, ROTATION, REGISTERED, PSNR]
    row = frame.loc[SUCCESS].to_dict()
    assert [row[name] for name in ("family", "kind", "holds", "breaks")] == ["digital", "jpeg", 3, 5]
    assert row["curve"] == "0:1 1:1 3:0.5 5:0"
    assert row["successes"] == "0:2/2 1:2/2 3:1/2 5:0/2"
    assert [row[name] for name in ("area", "area_low", "area_high")] == pytest.approx([0.6, 0.4, 0.8])


def test_the_report_prints_areas_beside_what_they_are_relative_to(tmp_path):
    for result in a_suite():
        write_cell(tmp_path, result, files=False)
    folder = build(tmp_path).parent
    line = next(line for line in (folder / "report.md").read_text().splitlines() if line.startswith("| jpeg | m |"))
    assert re.split(r" *\| *", line.strip("| "))[2:5] == ["3–5", r"0.60 \[0.40, 0.80\]", "0.60"]
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
