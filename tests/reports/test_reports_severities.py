"""How a method bears a degradation that grows: areas and breaking points by hand."""

import numpy as np
import pytest
from synthetic_suite import done, ended, write_cell

from reports.analysis import severities
from reports.analysis.findings import bearing
from reports.analysis.robustness import SUCCESS
from reports.analysis.scores import PSNR, read
from reports.site import figures


def written(folder, rows):
    """`rows` are (scene, degradation, method, seed, rotation or None for a failure, psnr)."""
    for scene, degradation, method, seed, rotation, psnr in rows:
        result = (
            ended(scene, degradation, method, seed, "failed", "broke")
            if rotation is None
            else done(scene, degradation, method, seed, rotation=rotation, psnr=psnr)
        )
        write_cell(folder, result, files=False)
    return {(curve.kind, curve.method): curve for curve in severities.curves(read(folder))}


@pytest.fixture
def noise(tmp_path):
    """Of two seeds succeed: 2 at severity 0, 1 at 1, none at 3."""
    return written(tmp_path, [
        ("s", "clean", "m", 0, 1, 30), ("s", "clean", "m", 1, 1, 32), ("other", "clean", "m", 0, 90, 5),
        ("s", "noise@1", "m", 0, 1, 28), ("s", "noise@1", "m", 1, 50, 20),
        ("s", "noise@3", "m", 0, None, 0), ("s", "noise@3", "m", 1, 60, 14),
    ])["noise", "m"]  # fmt: skip


def test_the_area_is_the_mean_success_rate_over_severities(noise):
    assert [(level.severity, level.n, level.points[SUCCESS].value) for level in noise.levels] == [
        (0, 2, 1.0), (1, 2, 0.5), (3, 2, 0.0),
    ]  # fmt: skip
    assert noise.area == pytest.approx((0.75 * 1 + 0.25 * 2) / 3)


def test_a_method_breaks_where_fewer_than_half_succeed(noise):
    assert noise.breaking == 3  # one half is not fewer than one half


def test_a_failure_is_charged_and_the_clean_level_has_the_same_scenes(noise):
    psnr = [level.points[PSNR].value for level in noise.levels]
    assert psnr == pytest.approx([31, 24, (12.5 + 14) / 2])  # `other`, never spoilt, does not count
    assert noise.loss(PSNR) == pytest.approx(13.25 - 31)


def test_the_verdict_says_how_many_views_were_left_where_a_method_broke(noise):
    said = "".join(part.text for part in bearing([noise]))
    assert said == "noise, severity to 3: m breaks at severity 3, where it registers 45 % of the views."


def test_a_method_that_never_breaks_says_so_and_one_without_clean_has_no_loss(tmp_path):
    curve = written(tmp_path, [("s", f"noise@{k}", "m", 0, 1, 30) for k in (1, 2)])["noise", "m"]
    assert curve.breaking is None
    assert curve.area == 1
    assert np.isnan(curve.loss(PSNR))
    (kind,) = figures.robustness([curve])
    assert kind.rows[0].breaking == "not to 2"
    assert kind.rows[0].loss == "—"


def test_each_number_stands_under_its_own_severity(tmp_path):
    curves = written(tmp_path, [
        *[("s", f"noise@{k}", "a", 0, 1, 30 - k) for k in (1, 2)],
        *[("s", f"noise@{k}", "b", 0, 1, 20 - k) for k in (2, 5)],
    ])  # fmt: skip
    (kind,) = figures.robustness(list(curves.values()))
    assert kind.severities == ("1", "2", "5")
    assert {row.method: [quality for _, quality in row.levels] for row in kind.rows} == {
        "a": ["29.00", "28.00", ""], "b": ["", "18.00", "15.00"],
    }  # fmt: skip


def test_the_chart_crosses_out_the_breaking_point(noise):
    (kind,) = figures.robustness([noise])
    (series,) = kind.charts[SUCCESS].series
    assert [mark.kind for mark in series.marks] == ["dot", "dot", "break"]
    assert "breaks here" in series.marks[2].says
    heights = [mark.y for mark in series.marks]
    assert heights == sorted(heights)
