"""MLflow is a view of the files: it can be rebuilt, holds nothing twice, and costs nothing when it is down."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest

from bench.matrix.plan import plan
from bench.matrix.selection import Selection
from bench.record import read_suite
from bench.runner.run import run
from bench.runner.settings import Settings
from bench.tracking.beside import Tracking

ROOT = Path(__file__).parents[3]
SCRIPTED = ROOT / "tests" / "plugins" / "scripted.py"

pytestmark = pytest.mark.filterwarnings("ignore")  # mlflow's own deprecations are not ours to mend


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "smoke"
    methods = f"{SCRIPTED},{SCRIPTED}[behaviour=raise],{SCRIPTED}[behaviour=collapse]"
    made = plan(Selection(scenes="blocks", methods=methods, degradations="clean", seeds="0", effort="smoke"))
    run(made, Settings(suite=folder), lambda *_: None)
    return folder


@pytest.fixture(scope="module")
def tracker(suite):
    from bench.tracking.tracker import Tracker

    tracker = Tracker(suite)
    for folder, result in read_suite(suite):
        assert tracker.send(folder, result)
    return tracker


def children(tracker):
    return {run.data.tags["unposed.cell"]: run for run in tracker._children()}


def test_a_suite_is_a_parent_run_and_a_cell_its_child(tracker, suite):
    cells = {result.cell.id for _, result in read_suite(suite)}
    assert set(children(tracker)) == cells


def test_params_metrics_and_tags_are_those_of_the_result(tracker, suite):
    runs = children(tracker)
    for _, result in read_suite(suite):
        data = runs[result.cell.id].data
        assert data.params["method"] == result.cell.method
        assert data.tags["unposed.status"] == result.status
        assert data.tags["unposed.given"] == "intrinsics + true poses"
        assert data.tags["unposed.fingerprint"] == result.fingerprints["judgement"]
        assert data.tags["unposed.suite_name"] == suite.name
        for name, value in result.metrics.items():
            assert data.metrics[name] == pytest.approx(value)
        assert data.metrics["cost/fit_seconds"] == result.cost["fit_seconds"]


def test_every_parameter_of_a_long_config_is_there(tracker, suite):
    (folder, result), *_ = read_suite(suite)
    long = {f"part{k}": {"rate": k / 7, "steps": k} for k in range(112)}
    cell = replace(result.cell, seed=99)
    assert tracker.send(folder, replace(result, cell=cell, config=long))
    (stored,) = [run for run in tracker._children() if run.data.tags["unposed.cell"] == cell.id]
    kept = {name: value for name, value in stored.data.params.items() if name.startswith("config/")}
    assert kept == {
        f"config/part{k}.{name}": str(value) for k in range(112) for name, value in long[f"part{k}"].items()
    }
    tracker.client.delete_run(stored.info.run_id)


def test_the_curves_of_the_fit_are_there_step_by_step(tracker, suite):
    run_id = children(tracker)["blocks/clean/scripted/seed0"].info.run_id
    history = tracker.client.get_metric_history(run_id, "fit/loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5)]


def test_renders_and_the_result_itself_are_artifacts(tracker, suite):
    run_id = children(tracker)["blocks/clean/scripted/seed0"].info.run_id
    names = {item.path for item in tracker.client.list_artifacts(run_id)}
    assert {"result.json", "contact_sheet.png", "renders", "images"} <= names
    assert "renders/h000.aligned.png" in {item.path for item in tracker.client.list_artifacts(run_id, "renders")}


def test_previews_are_pictures_of_their_step(tracker, suite):
    run_id = children(tracker)["blocks/clean/scripted/seed0"].info.run_id
    names = [Path(item.path).name for item in tracker.client.list_artifacts(run_id, "images")]
    assert names
    assert {tuple(re.split("[+%]", name)[:3]) for name in names} == {("mean", "step", "1")}


def test_what_a_fit_used_of_the_machine_is_a_system_metric(tracker, suite):
    run_id = children(tracker)["blocks/clean/scripted/seed0"].info.run_id
    history = tracker.client.get_metric_history(run_id, "system/memory_mb")
    assert history and all(20 < point.value < 20_000 for point in history)


def test_the_scene_is_the_dataset_of_each_run(tracker, suite):
    digests = {result.cell.id: result.ingredients["fit"]["scene"]["digest"] for _, result in read_suite(suite)}
    for cell, stored in children(tracker).items():
        (used,) = stored.inputs.dataset_inputs
        assert (used.dataset.name, used.dataset.digest) == ("blocks", digests[cell][:36])


def found(tracker, query):
    return {run.data.tags["unposed.cell"] for run in tracker.client.search_runs([tracker.experiment], query)}


def test_what_was_not_solved_and_what_collapsed_is_found_by_a_filter(tracker, suite):
    outcomes = {result.cell.id: result for _, result in read_suite(suite)}
    unsolved = {cell for cell, result in outcomes.items() if not result.solved}
    assert len(unsolved) == 2
    assert found(tracker, "tags.`unposed.solved` = 'false'") == unsolved
    collapsed = "blocks/clean/scripted[behaviour=collapse]/seed0"
    assert found(tracker, "tags.`unposed.collapsed` = 'true'") == {collapsed}
    assert children(tracker)[collapsed].info.status == "FINISHED"
    assert "collapsed" in children(tracker)[collapsed].data.tags["mlflow.note.content"]


def test_the_parent_run_has_the_suites_matrix_and_its_summary_also_once_it_has_grown(suite, tmp_path):
    from bench.tracking.tracker import Tracker

    grown = tmp_path / "grown"
    copytree(suite / "blocks" / "clean" / "scripted", grown / "blocks" / "clean" / "scripted")
    for methods in ("scripted", "scripted, scripted[behaviour=collapse], scripted[behaviour=raise]"):
        tracker = Tracker(grown)
        tracker.replay()
        tracker.close()
        parent = tracker.client.get_run(tracker.parent)
        params = {"scenes": "blocks", "degradations": "clean", "methods": methods, "seeds": "0", "effort": "smoke"}
        assert params.items() <= parent.data.params.items()
        count = methods.count(",") + 1
        assert parent.data.metrics["cells"] == count == len(list(tracker._children()))
        assert parent.data.metrics["cells/solved"] == 1
        assert parent.data.metrics["cells/collapsed"] == parent.data.metrics["cells/failed"] == count // 3
        assert parent.data.metrics["scripted/solved_share"] == 1.0
        assert f"{count} cell" in parent.data.tags["mlflow.note.content"]
        copytree(suite, grown, dirs_exist_ok=True)
    suites = tracker.client.search_runs([tracker.experiment], "tags.`unposed.suite` LIKE '%'")
    assert [run.data.tags["unposed.suite_name"] for run in suites] == ["grown"]
    kind = tracker.client.get_experiment(tracker.experiment).tags["mlflow.experimentKind"]
    assert kind == "custom_model_development"


def test_nothing_is_sent_twice_and_what_is_lost_is_sent_again(tracker, suite):
    assert tracker.replay() == 0
    lost = children(tracker)["blocks/clean/scripted/seed0"].info.run_id
    tracker.client.delete_run(lost)
    assert tracker.replay() == 1
    assert len(children(tracker)) == 3


def test_a_recording_cut_short_is_made_anew(tracker, suite):
    run_id = children(tracker)["blocks/clean/scripted/seed0"].info.run_id
    tracker.client.delete_tag(run_id, "unposed.digest")
    assert tracker.replay() == 1
    assert len(list(tracker._children())) == 3


def test_a_server_that_is_down_costs_one_warning_and_no_result(tmp_path):
    environment = os.environ | {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "bench.cli", "run", "-s", "blocks", "-m", str(SCRIPTED), "--effort", "smoke",
         "--seeds", "0-1", "-o", str(tmp_path / "s"), "--track", "http://127.0.0.1:9"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("MLflow:") == 1
    assert "track --replay" in " ".join(done.stdout.split())
    assert len(read_suite(tmp_path / "s")) == 2


def test_a_password_of_the_store_stands_nowhere(tmp_path):
    """Not in what a run says and writes, nor where `track --replay` is refused."""
    for number, verb in enumerate((
        ["run", "-s", "blocks", "-m", str(SCRIPTED), "--effort", "smoke", "--seeds", "0"], ["track", "--replay"],
    )):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "bench.cli", *verb, "-o", str(tmp_path), "--track", "http://ada:s3cret@127.0.0.1:9"],
            cwd=ROOT, env=os.environ | {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 2 * number
        said = done.stdout + done.stderr
        assert "MLflow" in said
        assert "s3cret" not in said and "ada" not in said
    assert read_suite(tmp_path)[0][1].provenance["command"].endswith("--track http://127.0.0.1:9")
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"s3cret" not in path.read_bytes(), path


def test_a_ledger_names_the_store_without_its_password_and_is_found_again(suite, tmp_path):
    from bench.tracking.ledger import NAME
    from bench.tracking.tracker import Tracker

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}?password=s3cret"
    tracker = Tracker(suite, uri)
    assert tracker.replay() == 3
    assert "s3cret" not in (suite / NAME).read_text()
    assert Tracker(suite, uri).ledger.cells == tracker.ledger.cells


def test_a_store_that_breaks_is_dropped_with_a_warning(suite, monkeypatch):
    warnings = []
    with Tracking(suite, None, warnings.append) as tracking:
        monkeypatch.setattr("bench.tracking.beside.Tracker", lambda *_: 1 / 0)
        for folder, result in read_suite(suite):
            tracking.send(folder, result)
    assert len(warnings) == 1
