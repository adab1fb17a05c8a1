"""The viewer's geometry, and the viewer itself where viser is installed."""

import importlib.util
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.judge.similarity import Similarity
from bench.task import Camera, Rendering, look_at
from bench.view import viewer
from bench.view.fitted_field import load_field

ROOT = Path(__file__).parents[3]
SCRIPTED = ROOT / "tests" / "plugins" / "scripted.py"


def cameras(count=12):
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(count, 3)) + np.array([0, 0, 4])
    return look_at(centres, np.zeros(3), np.array([0.0, 1.0, 0.0]))


def some_similarity():
    turn = look_at(np.array([[1.0, 2, 3]]), np.zeros(3), np.array([0.3, 0.5, 0.8]))[0, :3, :3]
    return Similarity(scale=0.3, rotation=turn, translation=np.array([5.0, -1, 2]))


def test_one_similarity_after_another_is_one():
    a = some_similarity()
    b = Similarity(scale=4.0, rotation=a.rotation.T, translation=np.array([1.0, 1, 1]))
    points = np.random.default_rng(0).normal(size=(5, 3))
    assert viewer.then(a, b).points(points) == pytest.approx(b.points(a.points(points)))
    assert viewer.then(a, a.inverse()).points(points) == pytest.approx(points)


def test_a_drawn_camera_has_its_tip_at_the_centre_and_its_base_in_front():
    poses = cameras(4)
    camera = Camera(width=40, height=20, fx=20, fy=20, cx=20, cy=10)
    lines = viewer.frusta(poses, camera).reshape(4, 8, 2, 3)
    assert lines[:, :4, 0] == pytest.approx(np.repeat(poses[:, None, :3, 3], 4, axis=1))
    local = (lines[:, :4, 1] - poses[:, None, :3, 3]) @ poses[:, :3, :3]
    assert local[..., 2] == pytest.approx(viewer.FRUSTUM)
    assert np.abs(local[..., 0] / local[..., 2]) == pytest.approx(1.0)
    assert np.abs(local[..., 1] / local[..., 2]) == pytest.approx(0.5)


def test_a_camera_has_the_field_of_view_that_the_browser_asks_for():
    for aspect in (2.0, 0.5):
        camera = viewer.camera_of(np.radians(60), aspect, 200)
        assert max(camera.width, camera.height) == 200
        assert camera.width / camera.height == pytest.approx(aspect)
        assert 2 * np.degrees(np.arctan(camera.height / 2 / camera.fy)) == pytest.approx(60)


class Plane:
    """A field that tells the pose it was asked for, one unit of its own deep."""

    def render(self, poses, camera):
        self.asked = poses
        size = (1, camera.height, camera.width)
        opacity = np.ones(size, np.float32)
        opacity[..., 0] = 0
        return Rendering(rgb=np.full((*size, 3), 0.5, np.float32), depth=np.ones(size, np.float32), opacity=opacity)


def test_the_eye_is_carried_into_the_methods_frame_and_depth_back():
    carried = some_similarity()
    place = viewer.Stage(lines={}, field_from_stage=carried, up=np.array([0, 0, 1.0]), first=np.eye(4))
    pose, field = cameras(1)[0], Plane()
    colours, depth = viewer.seen_from(field, place, pose, Camera(width=4, height=3, fx=4, fy=4, cx=2, cy=1.5))
    assert field.asked[0] == pytest.approx(carried.apply(pose))
    assert colours.shape == (3, 4, 3)
    assert depth[:, 1:] == pytest.approx(1 / 0.3)
    assert np.isinf(depth[:, 0]).all()


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "s"
    ended = CliRunner().invoke(main, ["run", "-m", str(SCRIPTED), "--effort", "smoke", "-o", str(folder), "--no-track"])
    assert ended.exit_code == 0, ended.output
    return folder


def test_a_judged_cell_is_staged_with_estimates_upon_the_truth(suite):
    place = viewer.stage(suite / "blocks" / "clean" / "scripted" / "seed0")
    assert place.lines["estimate"] == pytest.approx(place.lines["truth"], abs=1e-6)  # told to answer the truth
    lengths = np.linalg.norm(place.lines["errors"][:, 0] - place.lines["errors"][:, 1], axis=1)
    assert lengths == pytest.approx(0, abs=1e-6)
    tips = place.lines["truth"].reshape(-1, 8, 2, 3)[:, 0, 0]
    assert np.linalg.norm(tips, axis=1).max() == pytest.approx(viewer.RADIUS)


def test_without_viser_a_sentence_says_how_to_get_it(suite, monkeypatch):
    monkeypatch.setitem(sys.modules, "viser", None)
    ended = CliRunner().invoke(main, ["view", "blocks/clean/scripted/seed0", "-o", str(suite)])
    assert ended.exit_code == 2
    assert "needs viser; pip install" in ended.output


def test_the_viewer_serves_its_page(suite):
    if importlib.util.find_spec("viser") is None:
        pytest.skip("needs viser: pip install -e '.[viewer]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "bench.cli", "view", "blocks/clean/scripted/seed0", "-o", str(suite)]
    serving = subprocess.Popen([*command, "--port", str(port)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert serving.stdout is not None
        said = next(line for line in serving.stdout if "Ctrl-C" in line)
        assert f"http://127.0.0.1:{port}" in said
        with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=20) as page:
            assert b"<html" in page.read().lower()
    finally:
        serving.kill()
        serving.communicate()


def test_the_field_of_a_cell_is_loaded_and_seen(suite):
    cell = suite / "blocks" / "clean" / "scripted" / "seed0"
    field = load_field(cell, "cpu")
    assert field is not None
    place = viewer.stage(cell)
    colours, depth = viewer.seen_from(field, place, place.first, viewer.camera_of(1.0, 1.5, 48))
    assert colours.shape == (32, 48, 3)
    assert np.isfinite(depth).all()
