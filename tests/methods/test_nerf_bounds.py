"""Bounds hold the scene, whatever they are found from, in any frame."""

from dataclasses import replace

import numpy as np
import pytest

from bench.task import Camera, PosePrior, look_at
from datasets.procedural import EmbeddedScene
from methods.nerf.field.bounds import Bounds
from methods.nerf.images import visual_hull
from methods.nerf.training.hull_bounds import bounds_of


def an_orbit(count: int = 30, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    poses = PosePrior(elevation=(10, 60)).sample(np.random.default_rng(0), count)
    poses[:, :3, 3] = scale * poses[:, :3, 3] + shift
    return poses


def test_from_the_sphere_prior_of_the_blender_scenes():
    bounds = Bounds.from_prior(PosePrior())
    assert bounds == Bounds(centre=(0.0, 0.0, 0.0), half_size=2.0, near=2.0, far=6.0, contract=False)


def test_from_cameras_finds_what_they_look_at_though_some_look_away():
    poses = an_orbit()
    poses[:4] = look_at(poses[:4, :3, 3], np.array([[9.0, -7, 5]]), np.array([0, 0, 1.0]))
    bounds = Bounds.from_cameras(list(poses))
    assert np.allclose(bounds.centre, 0, atol=0.05)
    assert bounds.half_size == pytest.approx(2.0, rel=0.05)
    assert 0 < bounds.near < 2.5 and bounds.far > 5.5


@pytest.mark.parametrize("contract", [False, True])
def test_bounds_move_and_grow_with_the_frame(contract):
    plain = Bounds.from_cameras(list(an_orbit()), contract=contract)
    other = Bounds.from_cameras(list(an_orbit(scale=300.0, shift=1000.0)), contract=contract)
    assert np.allclose(other.centre, 1000, atol=1e-3 * 300)
    for name in ("half_size", "near", "far"):
        assert getattr(other, name) == pytest.approx(300 * getattr(plain, name), rel=1e-3)


def test_from_points_ignores_stray_ones():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(-1, 1, (500, 3)) + 5, rng.normal(0, 500, (20, 3))])
    bounds = Bounds.from_points(points, list(an_orbit(shift=5.0)))
    assert np.allclose(bounds.centre, 5, atol=0.15)
    assert 1.0 <= bounds.half_size < 1.6


def test_a_handful_of_points_says_nothing():
    poses = list(an_orbit())
    assert Bounds.from_points(np.zeros((3, 3)), poses) == Bounds.from_cameras(poses)


def test_cameras_that_look_the_same_way_face_the_scene_they_share():
    poses = np.tile(np.eye(4), (9, 1, 1))
    poses[:, 0, 3] = np.linspace(-1, 1, 9)
    bounds = Bounds.from_cameras(list(poses), contract=True)
    assert bounds.centre[2] > 0.5 and abs(bounds.centre[0]) < 1e-6
    assert bounds.near < bounds.centre[2] < bounds.far


def test_no_cameras_is_an_error_in_words():
    with pytest.raises(ValueError, match="no poses"):
        Bounds.from_cameras([])


def test_before_a_known_background_the_field_closes_around_what_the_images_show():
    """The embedded town reaches from -1.10 to 1.04, -1.00 to 1.04 and -0.52 to 0.80."""
    scene = EmbeddedScene(name="blocks").load(64)
    capture, poses = scene.capture, scene.truth.poses
    asked = capture.images, poses, scene.truth.camera
    found = bounds_of(*asked, None, capture.background)
    low, high = (np.array(found.centre) + sign * found.half_size for sign in (-1, 1))
    assert (low <= (-1.10, -1.00, -0.52)).all() and (high >= (1.04, 1.04, 0.80)).all()
    assert found.half_size < 1.6 and found.closed  # the cameras alone say 2; nobody looked from below
    away = np.linalg.norm(np.stack([*poses.values()])[:, :3, 3] - found.centre, axis=1)
    assert found.near <= away.min() - 1.5 and found.far >= away.max() + 1.5
    assert bounds_of(*asked, capture.prior, capture.background) == Bounds.from_prior(capture.prior)
    assert bounds_of(*asked, None, None) == Bounds.from_cameras(list(poses.values()), contract=True, camera=asked[-1])


def test_where_views_show_parts_of_an_object_its_hull_is_not_that_of_what_they_share(monkeypatch):
    scene = EmbeddedScene(name="blocks").load(64)
    poses = [*scene.truth.poses.values()]
    asked = scene.capture.images, scene.truth.poses, scene.truth.camera, None, scene.capture.background
    monkeypatch.setattr(visual_hull, "_inside", lambda points, *_: (points - 0.5).norm(dim=-1) < 0.3)  # a corner of it
    assert bounds_of(*asked) == Bounds.from_cameras(poses)


def test_images_without_an_object_leave_the_bounds_as_the_cameras_have_them():
    scene = EmbeddedScene(name="blocks").load(64)
    empty = {view: np.full_like(image, 255) for view, image in scene.capture.images.items()}
    found = bounds_of(empty, scene.truth.poses, scene.truth.camera, None, scene.capture.background)
    assert found == Bounds.from_cameras(list(scene.truth.poses.values()))


def test_before_a_real_background_voxels_are_kept_for_what_images_show():
    poses = list(an_orbit())
    wide = Camera(width=100, height=80, fx=80.0, fy=80.0, cx=50.0, cy=40.0)
    narrow = Camera(width=100, height=80, fx=250.0, fy=250.0, cx=50.0, cy=40.0)
    plain = Bounds.from_cameras(poses, contract=True)
    assert Bounds.from_cameras(poses, contract=True, camera=wide) == plain  # never larger than without
    found = Bounds.from_cameras(poses, contract=True, camera=narrow)
    assert found.half_size == pytest.approx(1.2 * 0.2 * plain.camera_distance)  # 50 of 250 px from the middle
    assert found.voxel(161) == pytest.approx(2 * 2 * found.half_size / 160)
    assert Bounds.from_cameras(poses, camera=narrow) == Bounds.from_cameras(poses)


def test_the_shell_is_as_thick_as_what_images_show_beyond_the_cube():
    poses = list(an_orbit())
    narrow = Camera(width=100, height=80, fx=250.0, fy=250.0, cx=50.0, cy=40.0)
    bounds = Bounds.from_cameras(poses, contract=True, camera=narrow)
    shelled = bounds.shelled(narrow)
    assert bounds.shell == 1 and shelled.shell == 0.5
    assert shelled.voxel(161) == pytest.approx(2 * 1.5 * bounds.half_size / 160)  # finer, for the same grid
    wider = replace(narrow, fx=100.0, fy=100.0)  # 0.6 of the distance from the middle, where the cube ends at 0.5
    assert Bounds.from_cameras(poses, contract=True, camera=wider).shelled(wider).shell == pytest.approx(0.7)
    widest = replace(narrow, fx=40.0, fy=40.0)
    assert Bounds.from_cameras(poses, contract=True, camera=widest).shelled(widest).shell == 1
    closed = Bounds.from_cameras(poses)
    assert closed.shelled(narrow) == closed
    with pytest.raises(ValueError, match=r"shell of 0\.5 to 1, got 0\.4"):
        replace(bounds, shell=0.4)
