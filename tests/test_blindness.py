"""A method cannot see the truth: by its type, its imports, its process, its time."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from bench.matrix.plan import plan
from bench.matrix.registry import find_scene
from bench.matrix.selection import Selection
from bench.record import read_json
from bench.runner.run import run
from bench.runner.settings import Settings
from bench.task import Capture

SPY = Path(__file__).parent / "plugins" / "spy.py"


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """All that the spy found, from within a real worker."""
    suite, secret = tmp_path_factory.mktemp("suite"), tmp_path_factory.mktemp("secret-data-root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNPOSED_DATA", str(secret))
        patch.setenv("UNPOSED_CACHE", str(secret / "cache"))
        made = plan(
            Selection(
                scenes="blocks", methods=str(SPY), degradations="clean", seeds="0", effort="smoke", roots=(secret,)
            )
        )
        (result,) = run(made, Settings(suite=suite), lambda *_: None)
    assert result.status == "collapsed", result.reason  # it returned no pose
    notes = read_json(suite / result.cell.folder / "fit" / "poses.json")["notes"]
    return json.loads(notes["seen"]) | {"secret": str(secret)}


def test_no_field_of_a_capture_but_start_and_estimate_can_hold_a_pose_and_neither_was_given(seen):
    held = {"images", "masks", "camera", "prior", "start", "exact", "estimate", "background"}  # exact: ids alone
    assert {field.name for field in fields(Capture)} == held
    assert not seen["start"]
    assert not seen["estimate"]


def test_what_it_did_not_declare_it_did_not_get(seen):
    assert not seen["masks"]


def test_views_have_opaque_names(seen):
    assert seen["ids"] == [f"v{k:03d}" for k in range(100)]


def test_the_data_root_is_nowhere(seen):
    everything = json.dumps({key: value for key, value in seen.items() if key != "secret"})
    assert seen["secret"] not in everything
    assert not [name for name in seen["environment"] if name.startswith("UNPOSED")]


def test_the_folder_holds_the_images_and_what_was_declared_and_nothing_else(seen):
    own = {"clock.json", "log.jsonl", "system.jsonl"}
    assert set(seen["files"]) == {"capture.npz", "capture.json", "request.json", *own}
    assert seen["files"]["capture.npz"] == str({"images": (100, 64, 64, 3)})


def test_no_true_pose_is_in_any_file_or_argument(seen):
    truth = find_scene("blocks", ()).load(64).truth
    text = json.dumps(seen["files"]) + json.dumps(seen["arguments"]) + json.dumps(seen["environment"])
    for pose in [*truth.poses.values(), *truth.heldout.poses]:
        for number in np.abs(pose[:3].ravel()):
            digits = f"{number:.12g}"
            assert len(digits) < 8 or digits not in text


def test_no_file_of_the_judge_is_open(seen):
    outside = [name for name in seen["open"] if name.startswith("/") and not name.startswith(("/dev", "/proc"))]
    assert {Path(name).name for name in outside} <= {"stderr.txt", "log.jsonl", "system.jsonl"}


def test_scenes_cannot_be_imported(seen):
    assert seen["modules"] == []
    assert "may not import" in seen["import"]


def test_the_order_of_views_is_not_the_order_of_files():
    truth = find_scene("blocks", ()).load(64).truth
    assert list(truth.order) != sorted(truth.order)
    assert sorted(truth.order) == sorted(truth.poses)
