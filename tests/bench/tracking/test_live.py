"""MLflow shows a fit while it is at work, holds nothing twice afterwards, and never slows it."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.cell import Cell
from bench.matrix.plan import plan
from bench.matrix.selection import Selection
from bench.record import Result, read_suite, write_json, write_result
from bench.runner.run import run
from bench.runner.scratch import forget, make, note
from bench.runner.settings import Settings
from bench.tracking import beside, fit_now
from bench.tracking.beside import Tracking, replay
from bench.tracking.cell_run import curves_of
from bench.tracking.tracker import Tracker

ROOT = Path(__file__).parents[3]
SLOW = f"{ROOT / 'tests' / 'plugins' / 'scripted.py'}[behaviour=slow_steps]"
CELL = Cell(scene="blocks", degradation="clean", method="made", seed=0, effort="smoke")

pytestmark = pytest.mark.filterwarnings("ignore")  # mlflow's own deprecations are not ours to mend


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """The file of a store with its tables, which take MLflow seconds to make."""
    folder = tmp_path_factory.mktemp("store")
    (folder / "none").mkdir()
    Tracker(folder / "none")
    return folder / "mlflow.db"


@pytest.fixture
def store(empty_store, tmp_path):
    """Makes new stores: their URIs, by name."""

    def made(name):
        return f"sqlite:///{shutil.copy(empty_store, tmp_path / f'{name}.db')}"

    return made


@pytest.fixture
def suite(tmp_path):
    folder = tmp_path / "runs" / "s"
    (folder / CELL.folder).mkdir(parents=True)
    return folder


@pytest.fixture
def fit(suite):
    """The folder in which a worker's fit leaves its files."""
    scratch = make(suite)
    write_json(scratch / "in" / "request.json", {})
    note(suite / CELL.folder, scratch, "a" * 64)
    yield scratch / "out"
    shutil.rmtree(scratch, ignore_errors=True)


def log(folder, steps, name="log.jsonl"):
    with (folder / name).open("a") as file:
        file.writelines(json.dumps({"step": k, "seconds": k / 8, "loss": 1 / (k + 1)}) + "\n" for k in steps)


def preview(folder, step):
    (folder / "previews").mkdir(exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), step % 256, np.uint8)).save(folder / "previews" / f"seen.{step:06d}.png")


def end(suite, fit):
    """The fit has ended, and its cell has a result."""
    folder = suite / CELL.folder
    for path in fit.iterdir():
        (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / path.name)
    forget(folder)
    result = Result(
        cell=CELL, config={"steps": 3}, status="done", protocol="posefree/2", metrics={"nvs/aligned/psnr": 20.0},
        fingerprints={"fit": "a" * 64, "judgement": "b" * 64}, cost={"fit_seconds": 1.0},
    )  # fmt: skip
    write_result(folder, result)
    return folder, result


def child(tracker):
    (found,) = tracker._children()
    return found


def losses(tracker):
    return [point.step for point in tracker.client.get_metric_history(child(tracker).info.run_id, "fit/loss")]


def content(tracker):
    """All that a store's only child run says, but for when it was made."""
    found = child(tracker)
    run_id, start = found.info.run_id, found.info.start_time

    def names(folder=None):
        for item in tracker.client.list_artifacts(run_id, folder):
            if item.is_dir:
                yield from names(item.path)
            else:
                yield re.sub(r"timestamp\+\d+\+[0-9a-f-]{36}", "", item.path)

    histories = {name: tracker.client.get_metric_history(run_id, name) for name in found.data.metrics}
    return {
        "status": found.info.status,
        "params": found.data.params,
        "tags": {name: text for name, text in found.data.tags.items() if name != "mlflow.parentRunId"},
        "metrics": found.data.metrics,
        "curves": {
            name: sorted((point.step, point.timestamp - start, point.value) for point in points)
            for name, points in histories.items()
        },
        "files": sorted(names()),
        "inputs": [
            (used.dataset.to_dictionary(), [(tag.key, tag.value) for tag in used.tags])
            for used in found.inputs.dataset_inputs
        ],
    }


def is_what_a_replay_says(tracker, uri):
    replay(tracker.suite, uri)
    return content(tracker) == content(Tracker(tracker.suite, uri))


def always():
    return True


def test_a_fit_at_work_is_a_running_child_that_grows_and_that_its_result_completes(suite, fit, store):
    tracker = Tracker(suite, store("live"))
    tracker.follow(suite / CELL.folder, CELL, always)
    begun = child(tracker)
    assert begun.info.status == "RUNNING"
    assert begun.data.params["method"] == "made"
    for number, steps in enumerate((range(40), range(40, 150), range(150, 700))):
        log(fit, steps)
        log(fit, steps, "system.jsonl")
        preview(fit, steps[-1])
        (fit / "previews" / "torn.000001.png").write_bytes(b"\x89PNG")  # being written
        tracker.follow(suite / CELL.folder, CELL, always)
        said = losses(tracker)
        assert said[:100] == list(range(min(100, steps[-1] + 1))) and len(said) == len(set(said))
        if number == 1:  # another process goes on, and the store has what was sent
            tracker = Tracker(suite, tracker.uri)
    assert child(tracker).info.status == "RUNNING" and child(tracker).info.run_id == begun.info.run_id
    (fit / "previews" / "torn.000001.png").unlink()
    folder, result = end(suite, fit)
    assert tracker.send(folder, result)
    assert child(tracker).info.run_id == begun.info.run_id and child(tracker).info.status == "FINISHED"
    assert losses(tracker)[-1] == 699
    assert is_what_a_replay_says(tracker, store("replayed"))
    assert sum("images/" in name for name in content(tracker)["files"]) == 6  # three previews, each in two sizes


@pytest.mark.parametrize("by", ["replay", "run"])
def test_a_run_that_was_killed_before_it_sent_a_result_is_completed(suite, fit, store, by):
    uri = store("live")
    log(fit, range(30))
    preview(fit, 7)
    Tracker(suite, uri).follow(suite / CELL.folder, CELL, always)
    begun = child(Tracker(suite, uri)).info.run_id
    folder, result = end(suite, fit)
    if by == "replay":
        assert replay(suite, uri)[0] == 1
    else:  # to which the cell is settled
        with Tracking(suite, uri, pytest.fail) as tracking:
            tracking.heard(folder, CELL, "cached", result)
    assert child(Tracker(suite, uri)).info.run_id == begun
    assert is_what_a_replay_says(Tracker(suite, uri), store("replayed"))
    assert replay(suite, uri)[0] == 0


def test_a_completion_that_is_cut_short_is_made_anew(suite, fit, store, monkeypatch):
    tracker = Tracker(suite, store("live"))
    log(fit, range(30))
    tracker.follow(suite / CELL.folder, CELL, always)
    folder, result = end(suite, fit)

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(tracker.client, "log_inputs", killed)
        with pytest.raises(KeyboardInterrupt):
            tracker.send(folder, result)
    assert Tracker(suite, tracker.uri).replay() == 1
    assert is_what_a_replay_says(tracker, store("replayed"))


def test_a_fit_that_was_wound_back_begins_its_run_anew(suite, fit, store):
    """Nothing can be taken out of a run."""
    tracker = Tracker(suite, store("live"))
    log(fit, range(30))
    tracker.follow(suite / CELL.folder, CELL, always)
    (fit / "log.jsonl").unlink()
    log(fit, range(20))
    tracker.follow(suite / CELL.folder, CELL, always)
    assert losses(tracker) == list(range(20))
    (fit / "log.jsonl").write_text('{"step": 0, "seconds": 0.5, "loss": 3.0}\n')
    assert tracker.send(*end(suite, fit))
    assert losses(tracker) == [0]
    assert is_what_a_replay_says(tracker, store("replayed"))


@pytest.mark.parametrize(
    "row", ['{"step": 1e300, "seconds": 1.0, "loss": 1}', '{"step": 1, "seconds": 1.0, "loss": 1' + "0" * 400 + "}"]
)
def test_what_a_worker_writes_by_mischief_is_not_sent_while_it_runs(suite, fit, store, row, monkeypatch):
    tracker = Tracker(suite, store("live"))
    log(fit, range(3))
    tracker.follow(suite / CELL.folder, CELL, always)
    begun = child(tracker).info.run_id
    with (fit / "log.jsonl").open("a") as file:
        file.write(row + "\n")
    tracker.follow(suite / CELL.folder, CELL, always)
    (fit / "log.jsonl").unlink()
    log(fit, range(3))
    (fit / "previews").symlink_to("/etc")
    tracker.follow(suite / CELL.folder, CELL, always)
    monkeypatch.setattr(fit_now, "LONGEST_LOG", 100)
    log(fit, range(3, 90))
    tracker.follow(suite / CELL.folder, CELL, always)
    assert child(tracker).info.run_id == begun and losses(tracker) == [0, 1, 2]


def test_whatever_is_sent_of_a_curve_stays_a_part_of_it():
    rows = [{"step": k, "seconds": float(k), "loss": 1.0} | ({"psnr": 2.0} if k > 90 else {}) for k in range(3000)]
    whole = set(curves_of("fit", rows))
    assert all(set(curves_of("fit", rows[:k], ended=False)) <= whole for k in range(0, 3000, 37))
    assert max(whole, key=lambda point: point.step).step == 2999


def run_slowly(suite, uri):
    """A real fit of five seconds."""
    selection = Selection(scenes="blocks", methods=SLOW, degradations="clean", seeds="0", effort="smoke")
    with Tracking(suite, uri, pytest.fail) if uri else nullcontext() as tracking:

        def listen(planned, stage, result):
            if tracking:
                tracking.heard(suite / planned.cell.folder, planned.cell, stage, result)

        run(plan(selection), Settings(suite=suite), listen)


def test_points_of_a_real_fit_appear_before_it_ends(tmp_path, store, monkeypatch):
    monkeypatch.setattr(beside, "LOOK", 0.1)
    monkeypatch.setattr(beside, "EVERY", 0.5)
    suite, uri, seen = tmp_path / "runs" / "s", store("live"), []

    def watch(over):
        while not over.wait(0.2):
            with sqlite3.connect(uri.removeprefix("sqlite:///"), timeout=10) as opened:
                query = "select r.status, count(*) from metrics m, runs r using (run_uuid) where key = 'fit/loss'"
                seen.append(opened.execute(query + " group by 1").fetchall())

    over = threading.Event()
    threading.Thread(target=watch, args=(over,), daemon=True).start()
    run_slowly(suite, uri)
    over.set()
    growing = [count for found in seen for status, count in found if status == "RUNNING"]
    assert len(set(growing)) >= 3 and growing == sorted(growing)
    assert is_what_a_replay_says(Tracker(suite, uri), store("replayed"))


@pytest.mark.parametrize("then", ["run", "replay"])
def test_a_run_that_is_killed_in_a_fit_leaves_a_child_that_is_the_only_one_in_the_end(tmp_path, store, then):
    suite, uri = tmp_path / "runs" / "s", store("live")
    database = uri.removeprefix("sqlite:///")
    command = [sys.executable, "-W", "ignore", "-m", "bench.cli", "run", "-s", "blocks", "-m", SLOW, "--seeds", "0",
               "--effort", "smoke", "-o", str(suite), "--track", uri]  # fmt: skip
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL)
    points = []
    while process.poll() is None and not points:
        time.sleep(0.1)
        with sqlite3.connect(database, timeout=10) as opened:
            points = opened.execute("select run_uuid from metrics where key = 'fit/loss'").fetchall()
    process.kill()
    process.wait()
    assert points and child(Tracker(suite, uri)).info.status == "RUNNING"
    run_slowly(suite, uri if then == "run" else None)
    if then == "replay":
        assert child(Tracker(suite, uri)).info.status == "RUNNING"
        assert replay(suite, uri)[0] == 1
    assert child(Tracker(suite, uri)).info.status == "FINISHED"
    assert is_what_a_replay_says(Tracker(suite, uri), store("replayed"))


def test_a_store_that_drips_slows_no_fit_and_is_not_asked_again_while_it_hangs(suite, fit, dripping, monkeypatch):
    import mlflow.tracking  # noqa: F401 - which takes longer than the patience below

    monkeypatch.setattr(beside, "PATIENCE", 1.0)
    monkeypatch.setattr(beside, "LOOK", 0.05)
    log(fit, range(30))
    folder, warnings, began = suite / CELL.folder, [], time.monotonic()
    with Tracking(suite, dripping, warnings.append) as tracking:
        tracking.heard(folder, CELL, "fit", None)
        time.sleep(0.5)  # it is being followed
        assert not warnings  # what is said of a fit at work may be lost without a word
        before = time.monotonic()
        _, result = end(suite, fit)
        tracking.heard(folder, CELL, "ended", result)
        assert time.monotonic() - before < 0.5
    assert time.monotonic() - began < 10
    (warning,) = warnings
    assert "did not take" in warning


def test_a_result_goes_before_what_fits_say_in_a_store_that_is_slow(suite, fit, monkeypatch):
    """One that takes all pictures that it is given, and a second over each."""
    monkeypatch.setattr(beside, "LOOK", 0.05)
    followed, sent = [], threading.Event()

    class Slow:
        def follow(self, folder, cell, goes_on):
            while goes_on():
                followed.append(cell)
                time.sleep(1.0)

        def send(self, folder, result):
            sent.set()

        def close(self):
            pass

    monkeypatch.setattr(beside, "Tracker", lambda *_: Slow())
    with Tracking(suite, "none", pytest.fail) as tracking:
        for seed in range(20):
            tracking.heard(suite / CELL.folder, replace(CELL, seed=seed), "fit", None)
        time.sleep(0.5)
        tracking.heard(suite / CELL.folder, CELL, "ended", end(suite, fit)[1])
        assert sent.wait(1.5) and len(followed) == 1


class Returning:
    """A store that fails until it is back."""

    def __init__(self, monkeypatch):
        self.is_back = False
        monkeypatch.setattr(beside, "Tracker", self)
        monkeypatch.setattr(beside, "LOOK", 0.05)
        monkeypatch.setattr(beside, "AGAIN", 0.2)

    def __call__(self, suite, uri):
        if not self.is_back:
            raise ConnectionError("nobody is there")
        return Tracker(suite, uri)


def test_a_store_that_comes_back_is_sent_what_it_missed(suite, fit, store, monkeypatch):
    returning, said, uri = Returning(monkeypatch), [], store("live")
    log(fit, range(30))
    folder = suite / CELL.folder
    with Tracking(suite, uri, said.append) as tracking:
        tracking.heard(folder, CELL, "fit", None)
        time.sleep(0.5)
        assert not said
        tracking.heard(folder, CELL, "ended", end(suite, fit)[1])
        time.sleep(0.7)  # tried again, more than once
        assert len(said) == 1 and "nobody is there" in said[0]
        returning.is_back = True
        deadline = time.monotonic() + 30
        while len(said) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert said[1:] == ["MLflow is back, and has been sent what it missed, 1 cell"]
    assert len(read_suite(suite)) == 1
    tracker = Tracker(suite, uri)
    assert tracker.client.get_run(tracker.parent).data.metrics["cells"] == 1  # it was closed
    assert is_what_a_replay_says(tracker, store("replayed"))
