import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cell import Cell
from bench.record import (
    NO_BETTER,
    ROTATION,
    Result,
    cell_folders,
    read_json,
    read_log,
    read_result,
    read_suite,
    write_json,
    write_result,
)
from bench.results_table import table

CELL = Cell(scene="blocks", degradation="gaussian_noise@3", method="nerf", seed=1, effort="smoke")


def result(**change):
    base = {"cell": CELL, "config": {"field": "grid"}, "status": "done", "protocol": "posefree/1"}
    return Result(**{**base, **change})


@given(
    st.dictionaries(st.text(max_size=5), st.floats() | st.integers() | st.text() | st.lists(st.floats()), max_size=5)
)
def test_json_keeps_every_float(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "x.json"
    write_json(path, value)
    assert repr(read_json(path)) == repr(value)


def test_a_result_reads_back_equal(tmp_path):
    made = result(
        metrics={"nvs/aligned/psnr": math.inf, "pose/ate_rmse": 0.25}, flags=("nvs/aligned: constant image",),
        given=("camera", "start"), per_view={"h000": {"psnr": 31.5}}, cost={"fit_seconds": 3.0},
        given_in_full={"prior": "not given"}, tuned_on=("blocks",), pretrained_on=("MegaDepth",),
    )  # fmt: skip
    write_result(tmp_path, made)
    assert read_result(tmp_path) == made


def test_nothing_is_left_beside_a_written_file(tmp_path):
    write_result(tmp_path, result())
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_file_of_someone_else_is_named(tmp_path):
    (tmp_path / "result.json").write_text('{"score": 1}')
    with pytest.raises(ValueError, match=r"result\.json: not a result"):
        read_result(tmp_path)


def test_a_torn_last_line_of_a_log_is_dropped(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1, "seconds": 0.5, "loss": 2.0}\n{"step": 2, "sec')
    assert read_log(tmp_path) == [{"step": 1, "seconds": 0.5, "loss": 2.0}]


def test_the_table_has_the_columns_of_the_protocol_by_their_names():
    frame = table([result(metrics={"nvs/aligned/psnr": 30.0}, cost={"fit_seconds": 2.0}, given=("camera", "start"))])
    row = frame.iloc[0]
    assert row["nvs/aligned/psnr"] == 30.0
    assert row["cost/fit_seconds"] == 2.0
    assert (row["kind"], row["severity"], row["given"]) == ("gaussian_noise", 3.0, "camera+start")


def test_a_suite_is_read_in_one_order(tmp_path):
    for seed in (2, 0, 1):
        cell = Cell(scene="blocks", degradation="clean", method="nerf", seed=seed, effort="smoke")
        write_result(tmp_path / cell.folder, result(cell=cell))
    assert [found.cell.seed for _, found in read_suite(tmp_path)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("scene", "method"), [("seed7", "nerf"), ("group/seed7", "nerf"), ("seed1/seed2/seed3", "nerf"), ("a/b", "seed9")]
)
def test_a_scene_or_a_method_that_is_called_as_a_seed_is_there(tmp_path, scene, method):
    cells = [Cell(scene=scene, degradation="clean", method=method, seed=seed, effort="smoke") for seed in (0, 1)]
    for cell in cells:
        write_result(tmp_path / cell.folder, result(cell=cell))
    (tmp_path / "seed7").mkdir(exist_ok=True)
    (tmp_path / "seed7" / ".DS_Store").touch()
    assert [found.cell for _, found in read_suite(tmp_path)] == cells


def test_what_lies_in_a_cell_is_none_whether_it_is_settled_or_begun(tmp_path):
    cells = [Cell(scene="blocks", degradation="clean", method="nerf", seed=seed, effort="smoke") for seed in (0, 1, 2)]
    settled, begun, empty = (tmp_path / cell.folder for cell in cells)
    write_result(settled, result(cell=cells[0]))
    for folder in (settled, begun):
        write_result(folder / "fit" / "field" / "seed3", result())
    (begun / "stderr.txt").touch()
    empty.mkdir()
    assert list(cell_folders(tmp_path)) == [settled, begun, empty]


def test_a_result_from_before_a_field_was_recorded_reads_back_without_it(tmp_path):
    write_result(tmp_path, result())
    raw = json.loads((tmp_path / "result.json").read_text())
    for name in ("given_in_full", "tuned_on", "pretrained_on"):
        del raw[name]
    (tmp_path / "result.json").write_text(json.dumps(raw))
    assert read_result(tmp_path) == result()


def test_the_table_says_what_was_given_and_what_was_tuned_on():
    made = result(given_in_full={"prior": "not given", "masks": "of the object"}, tuned_on=("blocks", "chair"))
    row = table([made]).iloc[0]
    assert row["given_in_full"] == "prior: not given; masks: of the object"
    assert row["tuned_on"] == "blocks, chair"
    assert made.tuned_here
    assert not result(tuned_on=("chair",)).tuned_here


def test_a_file_that_is_no_result_is_left_out_of_a_suite_and_named_once(tmp_path, caplog):
    write_result(tmp_path / "mine", result())
    for name, text in (("text", "not json"), ("list", "[1, 2]"), ("other", '{"cell": {"scene": "blocks"}}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(text)
    (tmp_path / "bytes").mkdir()
    (tmp_path / "bytes" / "result.json").write_bytes(b"\xff\xfe")
    for _ in range(2):
        assert [found for _, found in read_suite(tmp_path)] == [result()]
    said = [record.getMessage() for record in caplog.records if str(tmp_path) in record.getMessage()]
    assert len(said) == 4
    assert all("not a result of this version of Unposed" in text and text.endswith("it is left out") for text in said)


def test_a_command_that_an_earlier_version_recorded_is_read_without_its_password(tmp_path):
    write_result(tmp_path, result(provenance={"command": "unposed run --track http://ada:s3cret@mlflow.lab -o x"}))
    assert read_result(tmp_path).provenance["command"] == "unposed run --track http://mlflow.lab -o x"


def test_rotations_that_parallel_cameras_would_have_solve_nothing():
    """On a rig that faces one way, one rotation for all cameras is a few degrees off."""
    cell = Cell(scene="fern", degradation="clean", method="m", seed=0, effort="quick")
    result = Result(cell=cell, config={}, status="done", protocol="posefree/2", metrics={ROTATION: 2.1})
    assert result.outcome == "solved"
    idle = replace(result, flags=(f"{NO_BETTER}, which are 2.1 deg off",))
    assert idle.outcome == "answered"
