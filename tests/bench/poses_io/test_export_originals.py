"""An export goes home: the photographs by their own names, at their own size, with the poses that a method found."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.geometry import OPENGL_AXES
from bench.matrix.plan import plan
from bench.matrix.selection import Selection
from bench.poses_io.export import export
from bench.record import read_suite
from bench.runner.run import run
from bench.runner.settings import Settings
from bench.task import PosePrior
from datasets.folder import open_folder

NOISY = Path(__file__).parents[2] / "plugins" / "noisy.py"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    """Sixteen photographs of 96x72 px, larger than smoke shows, with poses, in unpadded names."""
    folder = tmp_path_factory.mktemp("home") / "vase"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    frames = []
    for k, pose in enumerate(PosePrior().sample(rng, 16)):
        name = f"images/IMG_{k + 1}.png"
        Image.fromarray(rng.integers(0, 256, (72, 96, 3), dtype=np.uint8)).save(folder / name)
        frames.append({"file_path": name, "transform_matrix": (pose @ OPENGL_AXES).tolist()})
    raw = {"fl_x": 100, "fl_y": 100, "cx": 48, "cy": 36, "w": 96, "h": 72, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(raw))
    return folder


@pytest.fixture(scope="module")
def row(photographs, tmp_path_factory):
    suite = tmp_path_factory.mktemp("suite")
    made = plan(Selection(scenes=str(photographs), methods=str(NOISY), effort="smoke"))
    (result,) = run(made, Settings(suite=suite), lambda *_: None)
    assert result.status == "done", result.reason
    return next(iter(read_suite(suite)))


def test_at_full_size_it_is_a_scene_of_the_photographs_themselves(photographs, row, tmp_path):
    to = tmp_path / "out"
    list(export([row], to, forms=["transforms", "colmap"], aligned=True, truth=True, roots=(), full_size=True))
    named = {path.name for path in (photographs / "images").iterdir()}
    for path in (to / "images").iterdir():
        assert path.name in named and path.read_bytes() == (photographs / "images" / path.name).read_bytes()
    true = {frame.image.name: frame.pose for frame in open_folder(photographs).recording.frames}
    written = json.loads((to / "truth" / "transforms.json").read_text())
    assert (written["w"], written["h"]) == (96, 72)
    assert np.allclose([written["fl_x"], written["cx"]], [100, 48])
    for frame in written["frames"]:
        pose = np.array(frame["transform_matrix"]) @ OPENGL_AXES
        assert np.allclose(pose, true[frame["file_path"].removeprefix("../images/")])
    first = open_folder(to)
    assert first.layout.name == "transforms" and first.recording.optics.camera.width == 96
    (to / "transforms.json").unlink()
    assert {frame.image.name for frame in open_folder(to).recording.frames} <= named


def test_as_shown_a_table_says_which_photograph_each_view_is(photographs, row, tmp_path):
    to = tmp_path / "out"
    list(export([row], to, forms=["transforms"], aligned=False, truth=False, roots=()))
    with (to / "originals.csv").open() as file:
        held = {each["view"]: each["original"] for each in csv.DictReader(file)}
    shown = {path.stem for path in (to / "images").iterdir()}
    assert shown == set(held) and len(set(held.values())) == 14
    for view, name in held.items():
        small = np.asarray(Image.open(to / "images" / f"{view}.png"), dtype=float)
        large = np.asarray(Image.open(photographs / "images" / name), dtype=float)
        areas = small.reshape(12, 4, 16, 4, 3).mean((1, 3)), large.reshape(12, 6, 16, 6, 3).mean((1, 3))
        assert np.abs(areas[0] - areas[1]).max() < 1
