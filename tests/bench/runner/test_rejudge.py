"""A fit that lies there is judged again, and never fitted."""

from pathlib import Path

import pytest
from scripted_cells import SCRIPTED, execute, make_plan

from bench.judge import protocol
from bench.matrix.again import plan_again
from bench.record import cells_of, read_result
from bench.runner.devices import Devices
from bench.runner.rejudge import judgeable, rejudge
from bench.runner.settings import Settings


def again(suite, results, **settings):
    stages = []
    cells = [plan_again(result, ()) for result in results]
    made = rejudge(cells, Settings(suite=suite, **settings), lambda planned, stage, _: stages.append(stage))
    assert "fit" not in stages
    return made


def test_a_judgement_without_refinement_says_so_and_keeps_the_poses(tmp_path):
    made = make_plan("answer")
    (first,), *_ = execute(tmp_path, made)
    (bare,) = again(tmp_path, [first], refine=False)
    assert bare.absent["nvs/refined"] == "refinement was not asked for"
    assert bare.metrics == first.metrics  # this field carries no gradient: it was never refined
    assert bare.fingerprints["fit"] == first.fingerprints["fit"]
    assert bare.fingerprints["judgement"] != first.fingerprints["judgement"]
    (full,), fitted, _ = execute(tmp_path, made)
    assert (fitted, full.absent["nvs/refined"]) == ([], first.absent["nvs/refined"])


def test_failures_are_judged_again_as_what_they_are(tmp_path, monkeypatch):
    results, *_ = execute(tmp_path, make_plan("collapse", "raise"))
    monkeypatch.setattr(protocol, "ID", "posefree/test")
    for before, after in zip(results, again(tmp_path, results), strict=True):
        assert (after.status, after.reason, after.metrics) == (before.status, before.reason, before.metrics)
        assert read_result(tmp_path / after.cell.folder).fingerprints == after.fingerprints


def test_of_a_suite_what_has_no_fit_as_it_was_is_left_out_with_the_reason(tmp_path):
    execute(tmp_path, make_plan("answer", "collapse"))
    source = tmp_path / "mine.py"
    source.write_text(Path(SCRIPTED).read_text())
    execute(tmp_path, make_plan("partial", source=source))
    source.write_text(source.read_text().replace("0.5", "0.6"))
    cells, left_out = judgeable(cells_of(tmp_path), Settings(suite=tmp_path), ())
    assert [planned.method.config["behaviour"] for planned in cells] == ["answer", "collapse"]
    assert len(left_out) == 1
    assert "behaviour=partial" in left_out[0] and "what decides its fit has changed" in left_out[0]
    source.unlink()
    assert "there is no file" in judgeable(cells_of(tmp_path), Settings(suite=tmp_path), ())[1][0]


def test_a_cell_without_a_fit_is_refused_in_a_sentence(tmp_path):
    results, *_ = execute(tmp_path / "one", make_plan("answer"))
    (tmp_path / "two").mkdir()
    with pytest.raises(ValueError, match="cannot be judged again: it was never run"):
        again(tmp_path / "two", results)
    with pytest.raises(ValueError, match="what decides its fit has changed"):
        again(tmp_path / "one", results, devices=Devices.of("cuda"))
