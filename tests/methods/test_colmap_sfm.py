"""COLMAP on pictures whose poses are known exactly: few, small and textured, so that each run takes a second."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pycolmap
import pytest
from scipy.spatial.transform import Rotation

from bench.task import Camera, Capture, Collapsed, ViewId, look_at
from methods.sfm import reconstruct as reconstruction
from methods.sfm.config import SfmConfig
from methods.sfm.project import Project
from methods.sfm.reconstruct import partial_models, reconstruct

SIDE = 128
CAMERA = Camera(width=SIDE, height=SIDE, fx=1.39 * SIDE, fy=1.39 * SIDE, cx=SIDE / 2, cy=SIDE / 2)
UP = np.array([0.0, 0.0, 1.0])
PAINT = np.random.default_rng(5).integers(0, 256, (3, 36, 36, 3)).astype(float)  # of the three walls


def config(**options):
    """Not enlarged, as the walls are coarse enough for SIFT as they are; few features, so that a run takes a second."""
    return SfmConfig(**{"enlarge_to": SIDE, "max_features": 200, **options})


def picture(pose):
    """The inside of a corner, three mottled squares of side 2, on white: (rgb, mask)."""
    fine = CAMERA.resized(3 * SIDE, 3 * SIDE)
    rays = fine.directions() @ pose[:3, :3].T
    colour, depth = np.full((*rays.shape[:2], 3), 255.0), np.full(rays.shape[:2], np.inf)
    for wall in range(3):  # the square normal to this axis
        t = -pose[wall, 3] / rays[..., wall]
        spot = np.delete(pose[:3, 3] + t[..., None] * rays, wall, axis=-1)
        seen = (t > 0) & (t < depth) & ((spot >= 0) & (spot < 2)).all(axis=-1)
        row, column = (spot[seen] * 18).astype(int).T
        colour[seen], depth[seen] = PAINT[wall, row, column], t[seen]
    pooled = colour.reshape(SIDE, 3, SIDE, 3, 3).mean(axis=(1, 3))
    mask = 255 * np.isfinite(depth).reshape(SIDE, 3, SIDE, 3).mean(axis=(1, 3))
    return pooled.round().astype(np.uint8), mask.round().astype(np.uint8)


def shown(poses):
    """Capture and true poses."""
    names = [ViewId(f"v{k:03d}") for k in range(len(poses))]
    views = dict(zip(names, map(picture, poses), strict=True))
    capture = Capture(
        images={name: rgb for name, (rgb, _) in views.items()},
        masks={name: mask for name, (_, mask) in views.items()},
        camera=CAMERA,
        background=(1.0, 1.0, 1.0),
    )
    return capture, dict(zip(names, poses, strict=True))


@pytest.fixture(scope="module")
def arc():
    """Nine views into the corner, along 72 degrees of a circle above the ground."""
    azimuth = np.radians(np.linspace(9, 81, 9))
    centres = 0.5 + 4 * np.stack([0.82 * np.cos(azimuth), 0.82 * np.sin(azimuth), np.full(9, 0.57)], axis=1)
    return shown(look_at(centres, np.full(3, 0.6), UP))


def rotation_errors(poses, truth):
    """Degrees by which relative rotations between all pairs of views are off: needs no alignment."""
    errors = []
    for a, b in combinations(poses, 2):
        estimated = poses[a][:3, :3].T @ poses[b][:3, :3]
        true = truth[a][:3, :3].T @ truth[b][:3, :3]
        errors.append(np.degrees(np.arccos(np.clip((np.trace(estimated.T @ true) - 1) / 2, -1, 1))))
    return np.array(errors)


def shape_error(poses, truth):
    """How far the triangle of three centres (first, middle, last) differs in shape from the true one: a ratio."""
    names = sorted(poses)
    corners = [names[0], names[len(names) // 2], names[-1]]
    sides = [[np.linalg.norm(p[a][:3, 3] - p[b][:3, 3]) for a, b in combinations(corners, 2)] for p in (poses, truth)]
    ratios = np.divide(*map(np.array, sides))
    return ratios.max() / ratios.min() - 1


@pytest.mark.parametrize("mapper", ["incremental", "global"])
def test_poses_are_found_in_our_own_axes(arc, tmp_path, capfd, mapper):
    capture, truth = arc
    found = reconstruct(capture, config(mapper=mapper), tmp_path / "sfm", seed=0, threads=2)
    assert set(found.poses) == set(truth)
    assert np.median(rotation_errors(found.poses, truth)) < 0.5
    assert shape_error(found.poses, truth) < 0.03
    assert found.camera == CAMERA
    # The points lie in front of the cameras, along +z
    first = found.poses[ViewId("v000")]
    depth = (found.points - first[:3, 3]) @ first[:3, 2]
    assert len(depth) > 100
    assert (depth > 0).all()
    assert capfd.readouterr().out == ""  # COLMAP's messages go to standard error


@pytest.mark.parametrize("mapper", ["incremental", "global"])
def test_the_same_poses_come_out_twice_on_any_number_of_threads(arc, tmp_path, mapper):
    capture, _ = arc
    one, two = [
        reconstruct(capture, config(mapper=mapper), tmp_path / f"{k}", seed=3, threads=threads)
        for k, threads in enumerate((1, 2))
    ]
    assert list(one.poses) == list(two.poses)
    assert all(np.array_equal(one.poses[view], two.poses[view]) for view in one.poses)
    assert np.array_equal(one.points, two.points)


def test_views_that_face_one_way_get_laxer_thresholds_and_the_result_says_so(tmp_path):
    # COLMAP wants a first pair with 16 degrees of parallax, halves that twice by itself, and gives up: here 4.
    y, x = np.mgrid[-1:2:2, -1:2].reshape(2, -1) * 0.09
    middle = look_at(np.array([[3.0, 2.6, 2.2]]), np.full(3, 0.6), UP)[0]
    poses = np.tile(middle, (6, 1, 1))
    poses[:, :3, 3] += x[:, None] * middle[:3, 0] + y[:, None] * middle[:3, 1]
    capture, truth = shown(poses)
    found = reconstruct(capture, config(), tmp_path / "sfm", seed=0, threads=2)
    assert found.notes["relaxed_for_forward_facing"] is True
    assert set(found.poses) == set(truth)
    assert np.median(rotation_errors(found.poses, truth)) < 1.0


@pytest.mark.parametrize("mapper", ["incremental", "global"])
def test_images_without_texture_collapse(arc, tmp_path, mapper):
    capture, _ = arc
    ramp = np.linspace(80, 160, SIDE).astype(np.uint8)
    flat = replace(
        capture,
        images={
            view: np.tile(ramp[:, None, None] + np.uint8(k), (1, SIDE, 3)) for k, view in enumerate(capture.images)
        },
    )
    with pytest.raises(Collapsed, match="no model of at least 4 of the 9 views: the largest holds 0"):
        reconstruct(flat, config(mapper=mapper), tmp_path / "sfm", seed=0, threads=1)


@pytest.mark.parametrize("mapper", ["incremental", "global"])
def test_views_that_show_something_else_stay_unregistered_and_do_not_spoil_the_rest(arc, tmp_path, mapper):
    capture, truth = arc
    rng = np.random.default_rng(0)
    strangers = {ViewId("v002"), ViewId("v008")}
    mixed = {
        view: rng.integers(0, 256, image.shape, dtype=np.uint8) if view in strangers else image
        for view, image in capture.images.items()
    }
    found = reconstruct(replace(capture, images=mixed), config(mapper=mapper), tmp_path / "sfm", seed=0, threads=2)
    assert set(found.poses) == set(truth) - strangers
    assert np.median(rotation_errors(found.poses, truth)) < 0.5


@pytest.mark.parametrize("mapper", ["incremental", "global"])
def test_an_unknown_focal_length_is_estimated(arc, tmp_path, mapper):
    capture, truth = arc
    wrong = replace(CAMERA, fx=2 * CAMERA.fx, fy=2 * CAMERA.fy)  # must not be looked at
    options = config(mapper=mapper, intrinsics="unknown")
    found = reconstruct(replace(capture, camera=wrong), options, tmp_path / "sfm", seed=0, threads=2)
    assert (found.camera.width, found.camera.height) == (SIDE, SIDE)
    assert found.camera.fx == pytest.approx(CAMERA.fx, rel=0.05)  # COLMAP starts from 1.2, the truth is 1.39
    assert np.median(rotation_errors(found.poses, truth)) < 1.5


def test_masks_keep_keypoints_on_the_object(arc, tmp_path):
    capture, _ = arc
    half = {
        view: np.where(np.arange(SIDE) < SIDE // 2, mask, 0).astype(np.uint8)
        for view, mask in (capture.masks or {}).items()
    }
    reconstruct(replace(capture, masks=half), config(masks=True), tmp_path / "sfm", seed=0, threads=2)
    database = pycolmap.Database.open(tmp_path / "sfm" / "database.db")
    keypoints = np.concatenate([database.read_keypoints(image.image_id) for image in database.read_all_images()])
    database.close()
    assert len(keypoints) > 100
    assert keypoints[:, 0].max() <= SIDE // 2


def test_matches_of_two_views_say_how_these_are_turned_to_each_other_where_no_model_has_all(arc, tmp_path, monkeypatch):
    capture, truth = arc
    views = list(capture.images)
    whole = partial_models(capture, config(), tmp_path / "whole", 0, 1)
    assert len(whole.models[0][0]) == len(views) and not whole.turns
    monkeypatch.setattr(reconstruction, "_map_incrementally", lambda *_, **__: {})
    found = partial_models(capture, config(), tmp_path / "none", 0, 1)
    assert not found.models
    assert len(found.turns) >= len(views) - 1
    assert partial_models(capture, config(intrinsics="unknown"), tmp_path / "free", 0, 1).turns == []
    on_two = partial_models(capture, config(), tmp_path / "threads", 0, 2).turns
    assert [(turn.first, turn.second, turn.rotation.tolist(), turn.matches) for turn in on_two] == [
        (turn.first, turn.second, turn.rotation.tolist(), turn.matches) for turn in found.turns
    ]
    project = Project(folder=tmp_path / "none", camera=CAMERA)
    beside = reconstruction._turns(project, views[:4])  # what two views of one model say is known better
    assert [(turn.first, turn.second) for turn in beside] == [
        (turn.first, turn.second) for turn in found.turns if not {turn.first, turn.second} <= set(views[:4])
    ]
    assert 0 < len(beside) < len(found.turns)
    errors = []
    for turn in found.turns:
        true = truth[turn.second][:3, :3].T @ truth[turn.first][:3, :3]
        errors.append(np.degrees(Rotation.from_matrix(turn.rotation @ true.T).magnitude()))
    assert np.median(errors) < 3  # a wall alone is seen from two sides: not each is right
    assert min(turn.matches for turn in found.turns) >= 15


def test_where_few_views_are_in_a_model_a_laxer_attempt_counts_if_it_has_more(arc, tmp_path, monkeypatch):
    capture, _ = arc
    real, asked = reconstruction._map_incrementally, []

    def strict_fails(project, seed, *, relaxed=False):
        asked.append(relaxed)
        return real(project, seed, relaxed=relaxed) if relaxed else {}

    monkeypatch.setattr(reconstruction, "_map_incrementally", strict_fails)
    found = partial_models(capture, config(), tmp_path / "lax", 0, 1)
    assert asked == [False, True]
    assert len(found.models[0][0]) >= 5
    monkeypatch.setattr(reconstruction, "_map_incrementally", real)
    assert found.relaxed
    strict = partial_models(capture, config(relax_below=0.0), tmp_path / "strict", 0, 1)
    assert strict.models and not strict.relaxed
