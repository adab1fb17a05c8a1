"""What a method says of its own poses arrives in the row as it was said, and judges nothing."""

import json

import pytest
from scripted_cells import execute, make_plan

from bench.judge import confidence
from bench.poses_io.saved_fit import read_fit
from bench.record import read_result


def test_margins_arrive_in_the_row(tmp_path):
    (sure, silent), *_ = execute(tmp_path, make_plan("sure", "answer"))
    row = read_result(tmp_path / sure.cell.folder)
    said = {view: each["confidence/margin_db"] for view, each in row.per_view.items() if "confidence/margin_db" in each}
    views = sorted(view for view in row.per_view if view.startswith("v"))
    assert said == {views[1]: -0.5} | {view: 4.0 + k for k, view in enumerate(views) if k > 1}
    assert said == read_fit(tmp_path / sure.cell.folder / "fit").margins
    assert row.metrics["confidence/margin_db_median"] == pytest.approx(4 + len(views) / 2)  # of -0.5, 6, 7, ...
    assert row.metrics["confidence/doubtful"] == pytest.approx(1 / (len(views) - 1))
    assert row.protocol == "posefree/2"

    judged = {name: value for name, value in sure.metrics.items() if not name.startswith("confidence/")}
    assert judged == silent.metrics
    assert not any(name.startswith("confidence/") for each in silent.per_view.values() for name in each)


def test_a_view_without_a_pose_of_its_own_has_no_margin():
    margins = {"v000": 1.0, "v001": 9.0, "v002": 5.0}
    columns, per_view = confidence.stated(margins, ["v001", "v002", "v003"])
    assert per_view == {"v001": {"confidence/margin_db": 9.0}, "v002": {"confidence/margin_db": 5.0}}
    assert columns == {"confidence/margin_db_median": 7.0, "confidence/doubtful": 0.0}
    assert confidence.stated({}, ["v001"]) == ({}, {})


def test_a_fit_of_an_earlier_version_says_nothing_of_itself(tmp_path):
    made = make_plan("answer")
    (before,), *_ = execute(tmp_path, made)
    poses = tmp_path / before.cell.folder / "fit" / "poses.json"
    raw = json.loads(poses.read_text())
    assert raw.pop("margins") == {}
    poses.write_text(json.dumps(raw))
    outcome = poses.with_name("outcome.json")
    kept = {name: value for name, value in json.loads(outcome.read_text()).items() if name not in ("sha256", "digest")}
    outcome.write_text(json.dumps(kept))
    assert read_fit(poses.parent).margins == {}
    (tmp_path / before.cell.folder / "result.json").unlink()
    (after,), fitted, _ = execute(tmp_path, made)
    assert (after.metrics, fitted) == (before.metrics, [])
