"""The default store lies beside the suites, whatever the folders are called."""

import sqlite3

import pytest
from mlflow.tracking import MlflowClient

from bench.tracking.store import default_store, default_uri
from bench.tracking.tracker import Tracker

pytestmark = pytest.mark.filterwarnings("ignore")  # mlflow's own deprecations are not ours to mend


@pytest.mark.parametrize("name", ["plain", "feature%2Fx", "what now?", "a#b", "100%", "ü & 'é'", "a;b=c", "%20"])
def test_the_store_is_beside_the_suite_whatever_its_folder_is_called(tmp_path, name):
    suite = tmp_path / name / "runs" / "s"
    suite.mkdir(parents=True)
    (suite / "results.csv").write_text("status\n")
    tracker = Tracker(suite)
    tracker.close()
    store = suite.parent / "mlflow.db"
    assert store == default_store(suite)
    with sqlite3.connect(store) as opened:
        assert opened.execute("select name from experiments where name = 'unposed'").fetchall() == [("unposed",)]
    assert [path.name for path in tmp_path.iterdir()] == [name]  # nothing went astray
    client = MlflowClient(tracking_uri=default_uri(suite))
    artifacts = client.list_artifacts(tracker.parent)
    assert [artifact.path for artifact in artifacts] == ["results.csv"]
    assert (suite.parent / "mlartifacts").is_dir()
    assert Tracker(suite).parent == tracker.parent  # found again, not made again
