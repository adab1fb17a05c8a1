"""A kill while MLflow makes its tables costs nothing: a store is whole or not there, and a broken one is set aside."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from bench.tracking.store import default_store
from bench.tracking.tracker import Tracker

pytestmark = pytest.mark.filterwarnings("ignore")  # mlflow's own deprecations are not ours to mend


@pytest.fixture
def suite(tmp_path):
    folder = tmp_path / "runs" / "s"
    folder.mkdir(parents=True)
    (folder / "results.csv").write_text("status\n")
    return folder


def spoil(store, statement):
    with contextlib.closing(sqlite3.connect(store)) as opened:
        opened.executescript(statement)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """The bytes of a store that MLflow has made, without a run."""
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("store") / "made.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path.read_bytes()


def test_a_store_in_the_making_is_no_store(suite):
    """A process that is killed while it makes the tables, however far it had come."""
    code = f"from pathlib import Path; from bench.tracking.tracker import Tracker; Tracker(Path({str(suite)!r}))"
    for tables in (1, 12, 30):
        process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code])
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and made_so_far(suite) < tables and process.poll() is None:
            time.sleep(0.005)
        assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not default_store(suite).exists()
    tracker = Tracker(suite)
    tracker.close()
    assert Tracker(suite).parent == tracker.parent
    names = sorted(path.name for path in suite.parent.iterdir())
    assert names == [".mlflow.db.lock", "mlartifacts", "mlflow.db", "s"]  # and nothing of the drafts


def made_so_far(suite):
    """Tables in the draft of the store."""
    for draft in suite.parent.glob(".mlflow.db.*.tmp"):
        try:
            with contextlib.closing(sqlite3.connect(f"file:{draft}?mode=ro", uri=True)) as opened:
                return opened.execute("select count(*) from sqlite_master where type = 'table'").fetchone()[0]
        except sqlite3.Error:
            return 0
    return 0


@pytest.mark.parametrize(
    "statement",
    [
        "drop table alembic_version",
        "update alembic_version set version_num = '451aebb31d03'",  # MLflow's second
        "drop table metrics; drop table latest_metrics",
    ],
)
def test_a_store_that_an_earlier_kill_left_broken_is_set_aside(suite, empty_store, statement):
    store = default_store(suite)
    store.write_bytes(empty_store)
    spoil(store, statement)
    broken = store.read_bytes()
    tracker = Tracker(suite)
    tracker.close()
    assert store.with_name("mlflow.broken-1.db").read_bytes() == broken
    assert tracker.client.get_run(tracker.parent).info.status == "FINISHED"


def test_what_is_no_database_at_all_is_set_aside_and_a_sound_one_is_not(suite, empty_store):
    store = default_store(suite)
    store.write_bytes(b"x" * 5000)
    Tracker(suite)
    assert store.with_name("mlflow.broken-1.db").read_bytes() == b"x" * 5000


def test_a_sound_store_is_left_alone(suite, empty_store):
    store = default_store(suite)
    store.write_bytes(empty_store)
    was = store.stat().st_ino
    Tracker(suite)
    assert store.stat().st_ino == was
    Tracker(suite)  # with a run by now
    assert not list(store.parent.glob("*broken*"))
