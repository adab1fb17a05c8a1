"""Beside a run MLflow is sent what its fits say; a slow store slows none, one that was away is sent what it missed."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from followed_fits import CELL, child, end, is_what_a_replay_says, log

from bench.matrix.plan import plan
from bench.matrix.selection import Selection
from bench.record import read_suite
from bench.runner.run import run
from bench.runner.settings import Settings
from bench.tracking import beside
from bench.tracking.beside import Tracking, replay
from bench.tracking.tracker import Tracker

ROOT = Path(__file__).parents[3]
SLOW, HANGS = (
    f"{ROOT / 'tests' / 'plugins' / 'scripted.py'}[behaviour={how}]" for how in ("slow_steps", "steps_hang_once")
)

pytestmark = pytest.mark.filterwarnings("ignore")  # mlflow's own deprecations are not ours to mend


def run_once(suite, uri, method):
    selection = Selection(scenes="blocks", methods=method, degradations="clean", seeds="0", effort="smoke")
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
    run_once(suite, uri, SLOW)  # a real fit of five seconds
    over.set()
    growing = [count for found in seen for status, count in found if status == "RUNNING"]
    assert len(set(growing)) >= 3 and growing == sorted(growing)
    assert is_what_a_replay_says(Tracker(suite, uri), store("replayed"))


@pytest.mark.parametrize("then", ["run", "replay"])
def test_a_run_that_is_killed_in_a_fit_leaves_a_child_that_is_the_only_one_in_the_end(tmp_path, store, then):
    suite, uri = tmp_path / "runs" / "s", store("live")
    database = uri.removeprefix("sqlite:///")
    command = [sys.executable, "-W", "ignore", "-m", "bench.cli", "run", "-s", "blocks", "-m", HANGS, "--seeds", "0",
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
    run_once(suite, uri if then == "run" else None, HANGS)
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
