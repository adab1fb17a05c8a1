"""What a fit depends on beside its code, and suites that were settled before that was written down."""

import json

import pytest
from scripted_cells import SCRIPTED, execute, make_plan

from bench.cell import fingerprint
from bench.matrix.plan import plan
from bench.matrix.selection import Selection
from bench.record import read_result
from bench.runner import fit_client
from bench.runner.devices import Devices
from bench.runner.outlook import explain
from bench.runner.run import Runner, run
from bench.runner.settings import Settings


def planned_of(methods):
    (cell,) = plan(Selection(scenes="blocks", methods=methods, degradations="clean", seeds="0", effort="smoke")).cells
    return cell


def fit_of(planned, suite, **settings):
    return Runner(Settings(suite=suite, **settings), lambda *_: None).fingerprints.of(planned)["fit"]


def to_old_form(folder, **provenance):
    """A result as posefree/1 wrote it: device and libraries are in its provenance alone."""
    result = json.loads((folder / "result.json").read_text())
    fit = {key: value for key, value in result["ingredients"]["fit"].items() if key not in ("device", "libraries")}
    prints = {"fit": fingerprint(fit), "judgement": "0" * 64}
    for name in ("given_in_full", "tuned_on", "pretrained_on", "seal"):
        del result[name]
    del result["provenance"]["isolation"]
    result |= {"protocol": "posefree/1", "fingerprints": prints, "provenance": result["provenance"] | provenance}
    result["ingredients"] = {"fit": fit, "judgement": {"protocol": "posefree/1"}}
    (folder / "result.json").write_text(json.dumps(result))
    request = json.loads((folder / "fit" / "request.json").read_text())
    (folder / "fit" / "request.json").write_text(json.dumps(request | {"fingerprint": prints["fit"]}))


def test_a_result_of_the_cpu_is_not_served_for_another_device(tmp_path):
    planned = planned_of(str(SCRIPTED))
    assert fit_of(planned, tmp_path) != fit_of(planned, tmp_path, devices=Devices.of("cuda"))
    assert fit_of(planned, tmp_path, devices=Devices.of("cuda:1")) == fit_of(
        planned, tmp_path, devices=Devices.of("cuda")
    )


def test_an_upgraded_library_refits_the_methods_that_use_it_and_no_others(tmp_path, monkeypatch):
    cells = [
        planned_of("colmap_nerf"),
        planned_of("barf"),
        planned_of("inerf"),
    ]  # structure from motion, bundles, neither
    before = [fit_of(cell, tmp_path) for cell in cells]
    real = fit_client.versions
    monkeypatch.setattr(
        fit_client, "versions", lambda names: {k: "999" if k == "pycolmap" else v for k, v in real(names).items()}
    )
    after = [fit_of(cell, tmp_path) for cell in cells]
    assert before[0] != after[0] and before[1] != after[1]
    assert before[2] == after[2]


def test_a_suite_of_the_old_form_is_judged_again_and_fitted_no_more(tmp_path):
    made = make_plan("answer", "coincide")
    first, *_ = execute(tmp_path, made)
    for result in first:
        to_old_form(tmp_path / result.cell.folder)
    again, fitted, cached = execute(tmp_path, made)
    assert (fitted, cached) == ([], [])
    assert [result.status for result in again] == ["done", "collapsed"]
    assert [result.fingerprints for result in again] == [result.fingerprints for result in first]
    assert again[0].metrics == first[0].metrics
    assert again[0].given_in_full["start"] == "true poses of all 100 views"
    _, fitted, cached = execute(tmp_path, made)
    assert (len(fitted), len(cached)) == (0, 2)


def test_an_old_result_of_another_device_or_library_is_fitted_again(tmp_path):
    made = make_plan("answer")
    (first,), *_ = execute(tmp_path, made)
    folder = tmp_path / first.cell.folder
    to_old_form(folder, device="cuda:0")
    assert len(execute(tmp_path, made)[1]) == 1
    to_old_form(folder, versions=first.provenance["versions"] | {"numpy": "1.0"})
    assert len(execute(tmp_path, made)[1]) == 1


@pytest.mark.parametrize(("change", "said"), [({}, "judged"), ({"device": "cuda:0"}, "fitted")])
def test_why_names_what_changed(tmp_path, change, said):
    (first,) = run(make_plan("answer"), Settings(suite=tmp_path), lambda *_: None)
    to_old_form(tmp_path / first.cell.folder, **change)
    result = read_result(tmp_path / first.cell.folder)
    lines, verdict = explain(result, Settings(suite=tmp_path), roots=())
    assert verdict == f"will be {said} again"
    assert ("fit > device: cuda -> cpu" in lines) == bool(change)
