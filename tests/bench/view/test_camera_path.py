"""Paths stay where the estimated cameras were, whatever frame a method chose; films are what the worker saw."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from bench.cli import main
from bench.judge.similarity import Similarity
from bench.runner.executors.local import LocalExecutor
from bench.task import look_at
from bench.view import camera_path

SCRIPTED = Path(__file__).parents[2] / "plugins" / "scripted.py"
TARGET = np.array([1.0, -2.0, 0.5])


def around(count=60, low=0.2, high=1.1, distance=4.0, turn=2 * np.pi):
    """Cameras on a sphere about TARGET, z up, over `turn` radians of azimuth."""
    rng = np.random.default_rng(0)
    azimuth, elevation = np.linspace(0, turn, count), rng.uniform(low, high, count)
    offset = np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=1
    )
    return look_at(TARGET + distance * offset, TARGET, np.array([0.0, 0.0, 1.0])), elevation


def elevations(poses, target, up):
    offset = poses[:, :3, 3] - target
    return np.arcsin(offset @ up / np.linalg.norm(offset, axis=1))


def test_what_the_cameras_look_at_is_found():
    poses, _ = around()
    seen = camera_path.viewpoints(poses)
    assert seen.target == pytest.approx(TARGET, abs=0.02)
    assert seen.distance == pytest.approx(4, abs=0.02)
    assert seen.surrounds
    assert seen.inward
    assert seen.axes @ seen.axes.T == pytest.approx(np.eye(3))
    assert np.linalg.det(seen.axes) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["orbit", "spiral"])
def test_a_path_looks_at_the_scene_from_the_distance_and_heights_of_the_cameras(kind):
    poses, elevation = around()
    walked = camera_path.path(poses, kind, 48)
    offset = TARGET - walked[:, :3, 3]
    assert np.linalg.norm(offset, axis=1) == pytest.approx(4, abs=0.05)
    assert (walked[:, :3, 2] * offset).sum(axis=1) == pytest.approx(4, abs=0.05)  # straight at it
    assert (walked[:, 2, 1] < 0).all()  # the image's top points up
    heights = elevations(walked, TARGET, np.array([0, 0, 1.0]))
    low, middle, high = np.quantile(elevation, [0.1, 0.5, 0.9])
    if kind == "orbit":
        assert heights == pytest.approx(middle, abs=0.05)
    else:
        assert (heights.min(), heights.max()) == pytest.approx((low, high), abs=0.05)


def test_a_path_is_closed_and_has_no_jump():
    poses, _ = around()
    for kind in ("orbit", "spiral"):
        centres = camera_path.path(poses, kind, 60)[:, :3, 3]
        steps = np.linalg.norm(np.diff(centres, axis=0, append=centres[:1]), axis=1)
        assert steps.max() < 4 * np.median(steps)


def test_the_frame_of_a_method_does_not_matter():
    poses, _ = around()
    turn = look_at(np.array([[1.0, 2, 3]]), np.zeros(3), np.array([0.3, 0.5, 0.8]))[0, :3, :3]
    moved = Similarity(scale=7.0, rotation=turn, translation=np.array([100.0, -5, 3])).apply(poses)
    target = 7 * turn @ TARGET + [100, -5, 3]
    walked = camera_path.path(moved, "orbit", 24)
    assert np.linalg.norm(walked[:, :3, 3] - target, axis=1) == pytest.approx(28, abs=0.35)
    here = elevations(camera_path.path(poses, "orbit", 24), TARGET, np.array([0, 0, 1.0]))
    assert elevations(walked, target, turn[:, 2]) == pytest.approx(here, abs=0.02)


def test_cameras_on_one_side_are_swung_between_and_never_left():
    poses, _ = around(turn=np.radians(70))
    seen = camera_path.viewpoints(poses)
    assert not seen.surrounds
    offset = camera_path.path(poses, "orbit", 40)[:, :3, 3] - TARGET
    azimuth = np.degrees(np.arctan2(offset[:, 1], offset[:, 0]))
    assert azimuth.min() > -3
    assert azimuth.max() < 73


def test_parallel_cameras_look_ahead():
    grid = np.stack(np.meshgrid([-1.0, 0, 1], [-0.5, 0.5], [0.0]), axis=-1).reshape(-1, 3)
    poses = np.tile(np.eye(4), (len(grid), 1, 1))
    poses[:, :3, 3] = grid
    walked = camera_path.path(poses, "spiral", 20)
    assert np.isfinite(walked).all()
    assert (walked[:, 2, 2] > 0.8).all()


def test_cameras_that_look_outwards_stay_so():
    poses, _ = around()
    turned = poses.copy()
    turned[:, :3, 0] *= -1
    turned[:, :3, 2] *= -1
    assert not camera_path.viewpoints(turned).inward
    walked = camera_path.path(turned, "orbit", 12)
    assert ((walked[:, :3, 3] - TARGET) * walked[:, :3, 2]).sum(axis=1) == pytest.approx(4, abs=0.05)


@pytest.mark.parametrize(("poses", "words"), [
    (np.tile(np.eye(4), (2, 1, 1)), "needs three registered views, this fit has 2"),
    (np.tile(np.eye(4), (9, 1, 1)), "coincide"),
])  # fmt: skip
def test_no_path_without_three_cameras_in_different_places(poses, words):
    with pytest.raises(ValueError, match=words):
        camera_path.path(poses, "orbit", 4)


def frames(count=3):
    depth = np.linspace(2, 5, count * 12 * 10, dtype=np.float32).reshape(count, 12, 10)
    opacity = np.ones((count, 12, 10), np.float32)
    opacity[:, 0] = 0
    return camera_path.Frames(rgb=np.full((count, 12, 10, 3), 200, np.uint8), depth=depth, opacity=opacity)


def test_depth_stands_beside_colour_near_bright_and_emptiness_black():
    first, *_, last = camera_path.pictures(frames())
    assert first.shape == (12, 20, 3)
    assert (first[:, :10] == 200).all()
    assert (first[0, 10:] == tour_black()).all()
    assert first[1, 10:].mean() > last[-1, 10:].mean()


def tour_black():
    import matplotlib as mpl

    return mpl.colormaps["magma"](0.0, bytes=True)[:3]


def test_a_silhouette_film_is_grey():
    held = frames()
    grey = camera_path.Frames(rgb=held.rgb[..., :1], depth=held.depth, opacity=held.opacity)
    assert next(camera_path.pictures(grey)).shape == (12, 20, 3)


def test_a_film_has_every_frame_for_its_time(tmp_path):
    camera_path.write_film(frames(3), tmp_path / "film.gif", 10)
    with Image.open(tmp_path / "film.gif") as film:
        assert (film.size, film.n_frames, film.info["duration"]) == ((20, 12), 3, 100)
    assert [path.name for path in tmp_path.iterdir()] == ["film.gif"]


def test_another_kind_of_file_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"name a \.gif or an \.mp4"):
        camera_path.write_film(frames(), tmp_path / "film.avi", 10)


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "s"
    methods = f"{SCRIPTED},{SCRIPTED}[behaviour=poses_only]"
    ended = CliRunner().invoke(main, ["run", "-m", methods, "--effort", "smoke", "-o", str(folder), "--no-track"])
    assert ended.exit_code == 0, ended.output
    return folder


def test_a_cell_is_filmed_by_its_worker(suite):
    ended = CliRunner().invoke(
        main, ["render", "blocks/clean/scripted/seed0", "-o", str(suite), "--frames", "4", "--side", "32", "--film",
               str(suite / "film.gif")],
    )  # fmt: skip
    assert ended.exit_code == 0, ended.output
    assert ended.output.strip().endswith(str(suite / "film.gif"))
    with Image.open(suite / "film.gif") as film:
        assert film.size == (64, 32)


def test_a_film_that_could_not_be_written_is_refused_before_anything_is_rendered(suite, monkeypatch):
    monkeypatch.setattr(camera_path, "render", lambda *_, **__: pytest.fail("rendered first"))
    ended = CliRunner().invoke(main, ["render", "blocks/clean/scripted/seed0", "-o", str(suite), "--film", "film.avi"])
    assert (ended.exit_code, ended.output) == (
        2,
        "unposed: render: cannot write '.avi' files; name a .gif or an .mp4\n",
    )


def test_every_frame_is_told_of(suite):
    heard = []
    seen = camera_path.render(
        suite / "blocks" / "clean" / "scripted" / "seed0", "spiral", frames=3, side=16, device="cpu",
        executor=LocalExecutor(threads=1), progress=heard.append,
    )  # fmt: skip
    assert seen.rgb.shape == (3, 16, 16, 3)
    assert heard[-1] == 3


@pytest.mark.parametrize(("cell", "words"), [
    ("blocks/clean/scripted[behaviour=poses_only]/seed0", "has no field to look at"),
    ("blocks/clean/nobody/seed0", "has no cell"),
])  # fmt: skip
def test_what_cannot_be_filmed_says_why(suite, cell, words):
    ended = CliRunner().invoke(main, ["render", cell, "-o", str(suite)])
    assert ended.exit_code == 2
    assert words in ended.output
