"""A store that is killed, slow or on PostgreSQL holds each cell once, and holds up nobody."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.cell import Cell
from bench.record import Result, read_suite, write_result
from bench.tracking import beside as tracking
from bench.tracking import cell_run
from bench.tracking.cell_writer import FINGERPRINT
from bench.tracking.ledger import BEGUN, NAME, Ledger
from bench.tracking.patience import Lane

ROOT = Path(__file__).parents[3]
CELLS = 12

pytestmark = pytest.mark.filterwarnings("ignore")  # mlflow's own deprecations are not ours to mend


@pytest.fixture
def suite(tmp_path):
    folder = tmp_path / "runs" / "s"
    for seed in range(CELLS):
        cell = Cell(scene="blocks", degradation="clean", method="made", seed=seed, effort="smoke")
        result = Result(
            cell=cell, config={"steps": 3}, status="done", protocol="posefree/2", metrics={"nvs/aligned/psnr": 20.0},
            fingerprints={"fit": "a" * 64, "judgement": "b" * 64}, cost={"fit_seconds": 1.0},
        )  # fmt: skip
        write_result(folder / cell.folder, result)
        log = "".join(f'{{"step": {k}, "seconds": {k}.0, "loss": 0.5}}\n' for k in range(50))
        (folder / cell.folder / "log.jsonl").write_text(log)
    return folder


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    """The URI of a database on Debian's PostgreSQL, started for these tests."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("PostgreSQL is not installed here (Debian: postgresql)")
    pytest.importorskip("psycopg2", reason="MLflow speaks to PostgreSQL through psycopg2")
    user = {} if os.getuid() else {"user": "postgres", "group": "postgres", "extra_groups": []}
    if user and "postgres" not in {each.pw_name for each in pwd.getpwall()}:
        pytest.skip("PostgreSQL does not run as root, and there is no user called postgres")
    folder = Path("/tmp") / f"unposed-test-postgres-{os.getpid()}"  # sockets have short paths, and the user must get in
    folder.mkdir(mode=0o700)
    if user:
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    made = [programs[-1] / "initdb", "-D", data, "-U", "unposed", "--auth=trust", "--no-sync", "--no-instructions"]
    subprocess.run(made, check=True, capture_output=True, cwd=folder, **user)
    served = [programs[-1] / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
    process = subprocess.Popen(served, cwd=folder, stderr=subprocess.DEVNULL, **user)
    try:
        deadline = time.monotonic() + 60
        while not list(folder.glob(".s.PGSQL.*[0-9]")) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        yield f"postgresql+psycopg2://unposed@/postgres?host={folder}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def uri(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'mlflow.db'}"
    return request.getfixturevalue("postgres")


def command(suite, uri):
    return [sys.executable, "-W", "ignore", "-m", "bench.cli", "track", "--replay", "-o", str(suite), "--track", uri]


def sent(suite):
    """How many cells are sent whole, as far as the ledger's lines are whole."""
    lines = (suite / NAME).read_text().split("\n")[1:-1] if (suite / NAME).exists() else []
    last = {line["cell"]: line["sent"] for line in map(json.loads, lines)}
    return sum(said != BEGUN for said in last.values())


def test_a_replay_that_is_killed_is_completed_by_the_next_and_holds_each_cell_once(suite, uri, monkeypatch):
    monkeypatch.chdir(suite.parent)  # where MLflow keeps files, for a store that names no place
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command(suite, uri), env=environment, stdout=subprocess.DEVNULL)
    while sent(suite) < 3 and process.poll() is None:
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert 3 <= sent(suite) < CELLS
    left = CELLS - sent(suite)
    assert left <= tracking.replay(suite, uri)[0] <= left + 1  # the one that it was at, once more
    opened = tracking.Tracker(suite, uri)
    held = list(opened._children())
    assert sorted(int(run.data.params["seed"]) for run in held) == list(range(CELLS))
    assert all(run.data.tags[FINGERPRINT] == "b" * 64 and run.info.status == "FINISHED" for run in held)
    assert all(len(opened.client.get_metric_history(run.info.run_id, "fit/loss")) == 50 for run in held)
    assert tracking.replay(suite, uri)[0] == 0


def test_what_one_filters_by_is_a_param_or_a_tag():
    cell = Cell(scene="fern", degradation="gaussian_noise@3", method="made", seed=7, effort="full@800")
    result = Result(
        cell=cell, config={}, status="failed", stage="fit", protocol="posefree/2", reference="sfm", tuned_on=("fern",),
        cost={"threads": 4}, provenance={"device": "cuda:1"}, ingredients={"fit": {"degradation": {"seed": 7}}},
    )  # fmt: skip
    held = cell_run.params_of(result)
    assert [held[name] for name in ("kind", "severity", "draw", "budget")] == ["gaussian_noise", "3", "7", "full"]
    tags = cell_run.tags_of(result)
    assert [tags[f"unposed.{name}"] for name in ("stage", "reference", "tuned_here", "device", "threads")] == [
        "fit", "sfm", "true", "cuda:1", "4",
    ]  # fmt: skip


def test_a_cell_that_two_replays_sent_is_there_once_after_the_next(suite, tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert tracking.replay(suite, uri)[0] == CELLS
    opened = tracking.Tracker(suite, uri)
    folder, result = read_suite(suite)[4]
    opened._write(folder, result, {})
    assert len(list(opened._children())) == CELLS + 1
    assert tracking.replay(suite, uri)[0] == 0
    assert len(list(opened._children())) == CELLS


def test_what_is_written_after_a_cell_does_not_grow_with_the_number_of_cells(tmp_path):
    ledger = Ledger(tmp_path, "sqlite:///x", "p")
    sizes = []
    for k in range(2000):
        ledger.add(f"blocks/clean/made/seed{k:04d}", "done " + "b" * 64)
        sizes.append(ledger.path.stat().st_size)
    steps = {b - a for a, b in pairwise(sizes)}
    assert len(steps) == 1 and steps.pop() < 200
    ledger.path.write_bytes(ledger.path.read_bytes()[:-30])  # a kill in the middle of a line
    again = Ledger(tmp_path, "sqlite:///x", "p")
    assert len(again.cells) == 1999
    again.add("blocks/clean/made/seed1999", "done")
    assert Ledger(tmp_path, "sqlite:///x", "p").cells["blocks/clean/made/seed1999"] == "done"
    assert Ledger(tmp_path, "sqlite:///another", "p").cells == {}


def test_a_ledger_of_another_parent_run_is_none(tmp_path):
    """A store that was deleted and made anew, at the same address."""
    Ledger(tmp_path, "sqlite:///x", "p").add("blocks/clean/made/seed0", "b" * 64)
    assert Ledger(tmp_path, "sqlite:///x", "p").cells
    assert Ledger(tmp_path, "sqlite:///x", "q").cells == {}
    assert Ledger(tmp_path, "sqlite:///x", "p").cells == {}


def test_a_suite_whose_runs_were_deleted_in_the_store_is_sent_again(suite, tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    (folder, result), *_ = read_suite(suite)
    opened = tracking.Tracker(suite, uri)
    assert opened.send(folder, result)
    assert not tracking.Tracker(suite, uri).send(folder, result)
    opened.client.delete_run(opened.parent)
    again = tracking.Tracker(suite, uri)
    assert again.send(folder, result)
    assert len(list(again._children())) == 1


def test_a_cell_that_was_judged_or_failed_anew_is_sent_again(suite, tmp_path):
    """Its status and its fingerprints are those of before."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert tracking.replay(suite, uri)[0] == CELLS
    opened = tracking.Tracker(suite, uri)
    (folder, result), (other, second), *_ = read_suite(suite)
    assert not opened.send(folder, result)
    assert opened.send(folder, replace(result, metrics={"nvs/aligned/psnr": 21.0}))
    write_result(other, replace(second, status="failed", reason="it broke in another way"))
    write_result(folder, replace(result, metrics={"nvs/aligned/psnr": 22.0}))
    assert tracking.replay(suite, uri)[0] == 2
    held = {run.data.tags["unposed.cell"]: run.data for run in opened._children()}
    assert len(held) == CELLS
    assert held[result.cell.id].metrics["nvs/aligned/psnr"] == 22.0
    assert held[second.cell.id].tags["unposed.reason"] == "it broke in another way"
    assert tracking.replay(suite, uri)[0] == 0


def test_a_kill_before_a_run_is_closed_leaves_one_that_is_known_to_be_cut_short(suite, tmp_path, monkeypatch):
    opened = tracking.Tracker(suite, f"sqlite:///{tmp_path / 'mlflow.db'}")
    (folder, result), *_ = read_suite(suite)

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(opened.client, "set_terminated", killed)
        with pytest.raises(KeyboardInterrupt):
            opened.send(folder, result)
    assert opened.replay() == CELLS
    assert all(run.info.status == "FINISHED" for run in opened._children())


def test_what_the_ledger_forgot_and_the_store_holds_is_not_sent_again(suite, tmp_path):
    opened = tracking.Tracker(suite, f"sqlite:///{tmp_path / 'mlflow.db'}")
    (folder, result), *_ = read_suite(suite)
    assert opened.send(folder, result)
    opened.ledger.replace({})
    assert not opened.send(folder, result)
    assert opened.ledger.cells.keys() == {result.cell.id}
    opened.close()
    opened._move_parent()
    assert not tracking.Tracker(suite, opened.uri).send(folder, result)
    assert Ledger(suite, opened.uri, opened.parent).cells.keys() == {result.cell.id}


def test_a_server_that_drips_a_byte_a_second_is_given_up(suite, dripping, monkeypatch):
    import mlflow.tracking  # noqa: F401 - which takes longer than the patience below

    monkeypatch.setattr(tracking, "PATIENCE", 2.0)
    warnings, began = [], time.monotonic()
    with tracking.Tracking(suite, dripping, warnings.append) as opened:
        for folder, result in read_suite(suite):
            opened.send(folder, result)
        assert time.monotonic() - began < 1.5  # a run goes on at once
    (warning,) = warnings
    assert "did not take" in warning and "track --replay" in warning
    with pytest.raises(ValueError, match="did not take one cell"):
        tracking.replay(suite, dripping)
    assert time.monotonic() - began < 30


def test_a_lane_does_things_in_order_and_leaves_behind_what_takes_too_long():
    lane, done, held = Lane(1.0), [], threading.Event()
    for k in range(5):
        lane.put(lambda k=k: done.append(k))
    assert lane.join() and done == [0, 1, 2, 3, 4]
    lane.put(held.wait)
    assert not lane.join() and lane.is_stuck
    held.set()
    while lane.is_stuck:
        time.sleep(0.01)
    assert lane.join()


def test_a_store_that_takes_each_cell_slowly_holds_up_the_end_of_a_run_no_longer_than_all_may_take(
    suite, tmp_path, monkeypatch
):
    monkeypatch.setattr(tracking, "AFTER", 1.0)
    slow = SimpleNamespace(send=lambda *_: time.sleep(0.5))
    monkeypatch.setattr(tracking.Tracking, "_open", lambda self: slow)
    warnings, began = [], time.monotonic()
    with tracking.Tracking(suite, f"sqlite:///{tmp_path / 'mlflow.db'}", warnings.append) as opened:
        for folder, result in read_suite(suite) * 2:
            opened.send(folder, result)
    assert time.monotonic() - began < 4
    (warning,) = warnings
    assert "had not taken all cells 1 s after" in warning and "track --replay" in warning
