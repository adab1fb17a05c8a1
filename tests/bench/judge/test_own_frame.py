"""Fits of scenes whose cameras nobody knows."""

from __future__ import annotations

import numpy as np
import pytest

from bench.judge.own_frame import between, judge_own_frame, nearest, starts
from bench.scene import HeldOut, Truth
from bench.task import Camera, Collapsed, ViewId, look_at

CAMERA = Camera(width=8, height=6, fx=8.0, fy=8.0, cx=4.0, cy=3.0)


def ring(count: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return look_at(3 * np.stack([np.cos(angle), np.sin(angle), 0 * angle + 0.5], axis=1), np.zeros(3), [0, 0, 1.0])


def truth_of(count: int, heldout: np.ndarray, after: tuple[int, ...]) -> Truth:
    ids = tuple(ViewId(f"h{k:03d}") for k in range(len(heldout)))
    order = tuple(ViewId(f"v{k:03d}") for k in range(count))
    held = HeldOut(ids=ids, poses=np.zeros((0, 4, 4)), images=heldout, after=after)
    return Truth(poses={}, camera=CAMERA, heldout=held, reference="none", order=order)


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 64, 96, 3), dtype=np.uint8)


def test_a_fit_is_judged_in_its_own_frame_and_gets_no_pose_column():
    poses = dict(zip((f"v{k:03d}" for k in range(8)), ring(8), strict=True))
    judged = judge_own_frame(poses, truth_of(10, noise(1), (3,)))
    assert judged.metrics == {} and judged.per_view == {}
    assert judged.flags == ("pose: 2 of 10 views have no pose",)
    assert judged.alignment.radius == pytest.approx(3.0)
    assert np.array_equal(judged.alignment.similarity.apply(ring(8)), ring(8))


@pytest.mark.parametrize("poses", [{}, {"v000": np.eye(4)}, {f"v{k:03d}": np.eye(4) + 0 for k in range(10)}])
def test_no_rig_is_a_collapse(poses):
    with pytest.raises(Collapsed):
        judge_own_frame(poses, truth_of(10, noise(1), (3,)))


def test_a_held_out_view_is_looked_for_between_its_neighbours_and_where_it_looks_alike():
    shown = noise(8, seed=1)
    images = {ViewId(f"v{k:03d}"): image for k, image in enumerate(shown)}
    poses = dict(zip(images, ring(8), strict=True))
    del poses[ViewId("v003")]  # not registered: its neighbour is the next one
    heldout = np.stack([shown[6], shown[1]])  # they look like v006 and v001
    found = starts(poses, images, truth_of(8, heldout, (3, 0)))
    assert found.shape == (5, 2, 4, 4)
    assert np.allclose(found[1:3, 0], ring(8)[[2, 4]])
    assert np.allclose(found[0, 0], between(ring(8)[2], ring(8)[4])) and np.allclose(found[3, 0], ring(8)[6])
    assert np.allclose(found[1:3, 1], ring(8)[[0, 0]]) and np.allclose(found[3, 1], ring(8)[1])


def test_half_way_between_two_cameras_is_the_mean_rotation_and_centre():
    a, middle, b = ring(12)[:3]
    found = between(a, b)
    assert np.allclose(found[:3, :3], middle[:3, :3]) and np.allclose(found[:3, 3], (a[:3, 3] + b[:3, 3]) / 2)


def test_the_nearest_render_is_chosen_by_left_halves_alone():
    images = noise(2)
    right_wrong = images / 255.0
    right_wrong[:, :, 48:] = 0
    left_wrong = images / 255.0
    left_wrong[:, :, :48] = np.nan
    assert nearest([left_wrong, right_wrong], images).tolist() == [1, 1]
