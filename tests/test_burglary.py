"""A method that is given images only and goes looking for the truth finds none, beside an oracle that was judged."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench.matrix.plan import plan
from bench.matrix.selection import Selection
from bench.runner import method_probe
from bench.runner.executors import isolation
from bench.runner.run import run
from bench.runner.settings import Settings

PLUGINS = Path(__file__).parent / "plugins"
BURGLAR, ORACLE = PLUGINS / "burglar.py", PLUGINS / "scripted.py"
ROUTES = ("neighbour", "import", "alias", "location", "child", "cache", "memory")

JUDGE = """
import subprocess, sys
import numpy as np
from bench.matrix.registry import find_scene
truth = find_scene("blocks", ()).load(64).truth
held = np.array(truth.heldout.poses)
environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": sys.argv[1]}
done = subprocess.run([sys.executable, *sys.argv[2:]], env=environment, capture_output=True, text=True)
print(done.stdout or done.stderr)
"""


SEED = {"namespaces": 0, "landlock": 1, "none": 2}
"""Each wall has cells of its own: a result stands, whichever wall stood when it was made."""


def settled(suite: Path, method: str, wall: str = "namespaces"):
    made = plan(Selection(scenes="blocks", methods=method, seeds=str(SEED[wall]), effort="smoke"))
    (result,) = run(made, Settings(suite=suite), lambda *_: None)
    return result


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """A suite in which an oracle was judged, with a cache of scenes that the environment names."""
    place = tmp_path_factory.mktemp("suite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNPOSED_CACHE", str(place / "cache"))
        oracle = settled(place, str(ORACLE))
        assert oracle.solved
        assert list((place / "cache").rglob("*.npz"))
        yield place


@pytest.fixture(params=["namespaces", "landlock"])
def wall(request, monkeypatch):
    if fault := isolation.fault_of(request.param):
        pytest.skip(f"this machine has no {request.param}: {fault}")
    return _standing(request.param, monkeypatch)


def _standing(kind, monkeypatch):
    monkeypatch.setattr(isolation, "wall", lambda: kind)
    method_probe._executor.cache_clear()
    return kind


@pytest.mark.parametrize("route", ROUTES)
def test_the_burglar_knows_his_trade(suite, route):
    """Where nothing stands in the way, each route leads to the truth."""
    folder = next(suite.rglob("result.json")).parent / "fit" / "work"
    command = [sys.executable, "-c", JUDGE, str(BURGLAR.parents[2]), str(BURGLAR), route, str(folder)]
    done = subprocess.run(command, cwd=BURGLAR.parents[2], capture_output=True, text=True, check=False)
    assert done.stdout.strip(), done.stderr
    assert "Traceback" not in done.stdout, done.stdout


@pytest.mark.parametrize("route", ROUTES)
def test_behind_a_wall_no_route_leads_to_the_truth(suite, wall, route):
    result = settled(suite, f"{BURGLAR}[route={route}]", wall)
    assert (result.status, result.stage) == ("collapsed", "fit"), result.reason
    assert result.reason.startswith("nothing")
    assert result.provenance["isolation"] == wall


def test_neither_images_nor_poses_of_held_out_views_are_where_a_field_is_loaded_and_rendered(suite, wall):
    result = settled(suite, f"{BURGLAR}[route=images]", wall)
    assert result.solved, result.reason
    for stage in ("aligned", "refined", "half", "registered"):
        assert result.metrics[f"nvs/{stage}/psnr"] < 20, stage


def test_a_method_is_not_imported_by_the_judge(tmp_path, wall):
    """At import, it has every image of noise score 77 dB; and it says so where it was."""
    method = tmp_path / "patcher.py"
    method.write_text(
        "import bench.judge.metrics, bench.judge.views, sys\n"
        "bench.judge.metrics.psnr = bench.judge.views.psnr = lambda *_: 77.0\n" + ORACLE.read_text()
    )
    result = settled(tmp_path / "suite", str(method))
    assert result.status == "done"
    assert result.metrics["nvs/aligned/psnr"] < 40
    assert not [module for module in sys.modules.values() if getattr(module, "__file__", None) == str(method)]


def test_a_link_is_no_answer(suite, wall):
    oracle = next(path for path in suite.rglob("poses.json") if "scripted" in str(path))
    result = settled(suite, f"{BURGLAR}[route=link,target={oracle}]", wall)
    assert result.status == "failed"
    assert "poses.json, which is neither a file nor a folder" in result.reason


def _command(process):
    """Its words; none of one that is gone, or dead and not yet waited for."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.parametrize("kind", ["namespaces", "landlock", "none"])
def test_nothing_of_a_worker_outlives_its_cell(tmp_path, monkeypatch, kind):
    if kind != "none" and (fault := isolation.fault_of(kind)):
        pytest.skip(f"this machine has no {kind}: {fault}")
    _standing(kind, monkeypatch)
    word = f"survivor-{os.getpid()}-{kind}"
    result = settled(tmp_path, f"{BURGLAR}[route=survive,target={word}]", kind)
    assert result.status == "done", result.reason
    assert not [process for process in psutil.process_iter() if word in _command(process)]


@pytest.mark.parametrize("kind", ["namespaces", "landlock", "none"])
def test_nothing_outlives_a_worker_that_kills_its_supervisor(tmp_path, monkeypatch, kind):
    if kind != "none" and (fault := isolation.fault_of(kind)):
        pytest.skip(f"this machine has no {kind}: {fault}")
    _standing(kind, monkeypatch)
    word = f"orphan-{os.getpid()}-{kind}"
    assert settled(tmp_path, f"{BURGLAR}[route=patricide,target={word}]", kind).status in ("done", "failed")
    assert not [process for process in psutil.process_iter() if word in _command(process)]


@pytest.mark.parametrize("kind", ["namespaces", "landlock", "none"])
def test_a_worker_that_holds_the_interpreters_lock_dies_with_its_judge(tmp_path, kind):
    if kind != "none" and (fault := isolation.fault_of(kind)):
        pytest.skip(f"this machine has no {kind}: {fault}")
    judge = subprocess.Popen(
        [sys.executable, "-m", "bench.cli", "run", "-s", "blocks", "-m", f"{BURGLAR}[route=lock]", "--effort", "smoke",
         "--no-track", "-o", str(tmp_path)],
        cwd=BURGLAR.parents[2], stdout=subprocess.DEVNULL, env={**os.environ, isolation.VARIABLE: kind},
    )  # fmt: skip
    deadline, workers = time.monotonic() + 60, []
    while not workers and time.monotonic() < deadline:
        time.sleep(0.1)
        below = psutil.Process(judge.pid).children(recursive=True)
        workers = [process for process in below if _command(process)[-2:-1] == ["fit"]]
    time.sleep(2)  # by now it sleeps
    os.kill(judge.pid, signal.SIGKILL)
    judge.wait()
    assert workers
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive


def test_a_token_in_the_environment_reaches_no_worker(tmp_path, monkeypatch):
    for name in ("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "TORCH_API_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MY_OWN"):
        monkeypatch.setenv(name, "fake-token")
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    result = settled(tmp_path, str(PLUGINS / "spy.py"))
    notes = json.loads((tmp_path / result.cell.folder / "fit" / "poses.json").read_text())["notes"]
    environment = json.loads(notes["seen"])["environment"]
    assert "fake-token" not in json.dumps(environment)
    assert environment["OMP_WAIT_POLICY"] == "passive"


def test_weights_are_shown_without_the_tokens_beside_them(tmp_path, monkeypatch):
    if isolation.wall() == "none":
        pytest.skip("no wall stands here")
    home = tmp_path / "hf"
    home.mkdir()
    for name, text in (("weights", "weights"), ("token", "fake-token"), ("stored_tokens", "fake-token")):
        (home / name).write_text(text)
    monkeypatch.setenv("HF_HOME", str(home))
    isolation.machine.cache_clear()
    isolation.installed.cache_clear()
    result = settled(tmp_path / "suite", str(PLUGINS / "spy.py"))
    isolation.machine.cache_clear()
    isolation.installed.cache_clear()
    notes = json.loads((tmp_path / "suite" / result.cell.folder / "fit" / "poses.json").read_text())["notes"]
    seen = json.loads(notes["seen"])["weights"]
    assert "weights" in seen
    assert "fake-token" not in seen


def test_without_a_wall_nothing_points_at_the_truth(suite, monkeypatch):
    """It must go looking: by walking up and by what it inherits, it finds nothing."""
    _standing("none", monkeypatch)
    result = settled(suite, f"{BURGLAR}[route=neighbour]", "none")
    assert (result.status, result.reason) == ("collapsed", "nothing")
    assert result.provenance["isolation"] == "none"
