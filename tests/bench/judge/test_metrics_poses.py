"""Pose metrics against scipy and against loops that spell their definitions out."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bench.judge import metrics
from bench.judge.similarity import Similarity, nearest_rotation
from bench.task import look_at


def cameras(rng, count=7, size=4.0):
    centres = rng.normal(size=(count, 3))
    centres *= size / np.linalg.norm(centres, axis=1, keepdims=True)
    return look_at(centres, np.zeros(3), np.array([0.0, 0.0, 1.0]), rng.uniform(-1, 1, size=count))


def disturbed(rng, poses, angle=0.2, shift=0.4):
    moved = poses.copy()
    moved[:, :3, :3] = Rotation.from_rotvec(angle * rng.normal(size=(len(poses), 3))).as_matrix() @ poses[:, :3, :3]
    moved[:, :3, 3] += shift * rng.normal(size=(len(poses), 3))
    return moved


@pytest.mark.parametrize("degrees", [0.0, 1e-9, 1e-5, 0.1, 45.0, 179.0, 180 - 1e-5, 180.0])
def test_angles_are_exact_near_zero_and_near_a_half_turn(degrees):
    rng = np.random.default_rng(1)
    a = cameras(rng)
    axis = rng.normal(size=3)
    b = a.copy()
    b[:, :3, :3] = a[:, :3, :3] @ Rotation.from_rotvec(np.radians(degrees) * axis / np.linalg.norm(axis)).as_matrix()
    np.testing.assert_allclose(metrics.rotation_errors(b, a), degrees, rtol=1e-6, atol=1e-13)


def test_turning_a_camera_in_place_is_no_translation():
    """With w2c translations, 0.1 degree at radius 4 would read 0.0055 or so."""
    truth = cameras(np.random.default_rng(2))
    turned = truth.copy()
    turned[:, :3, :3] = truth[:, :3, :3] @ Rotation.from_euler("xy", [0.07, 0.07], degrees=True).as_matrix()
    np.testing.assert_array_equal(metrics.translation_errors(turned, truth), 0.0)
    w2c = [
        np.linalg.norm(np.linalg.inv(a)[:3, 3] - np.linalg.inv(b)[:3, 3]) for a, b in zip(turned, truth, strict=True)
    ]
    assert np.mean(w2c) == pytest.approx(0.007, abs=0.001)  # the trap is real


def test_pair_errors_are_those_of_relative_poses():
    rng = np.random.default_rng(3)
    truth = cameras(rng)
    estimate = disturbed(rng, truth)
    expected = []
    for i in range(len(truth)):
        for j in range(len(truth)):
            if i == j:
                continue
            e, t = (np.linalg.inv(poses[i]) @ poses[j] for poses in (estimate, truth))
            rotation = Rotation.from_matrix(e[:3, :3].T @ t[:3, :3]).magnitude()
            cosine = e[:3, 3] @ t[:3, 3] / np.linalg.norm(e[:3, 3]) / np.linalg.norm(t[:3, 3])
            expected.append(np.degrees(max(rotation, np.arccos(cosine))))
    np.testing.assert_allclose(metrics.pair_errors(estimate, truth), expected, atol=1e-6)


def test_pair_errors_need_no_alignment():
    rng = np.random.default_rng(4)
    truth = cameras(rng)
    estimate = disturbed(rng, truth)
    world = Similarity(scale=7.0, rotation=nearest_rotation(rng.normal(size=(3, 3))), translation=rng.normal(size=3))
    moved = metrics.pair_errors(world.apply(estimate), truth)
    np.testing.assert_allclose(moved, metrics.pair_errors(estimate, truth), atol=1e-9)
    assert metrics.pair_errors(world.apply(truth), truth).max() < 1e-6


def test_a_collapsed_pair_counts_a_half_turn_and_a_true_rotation_in_place_only_its_rotation():
    truth = cameras(np.random.default_rng(5))
    collapsed = truth.copy()
    collapsed[:, :3, 3] = 1.0
    np.testing.assert_allclose(metrics.pair_errors(collapsed, truth), 180.0)
    np.testing.assert_allclose(metrics.pair_errors(truth, collapsed), 0.0, atol=1e-6)


@pytest.mark.parametrize("threshold", [5, 15, 30])
def test_auc_is_the_area_under_the_step_of_recall(threshold):
    errors = np.random.default_rng(6).exponential(10.0, size=200)
    grid = (np.arange(200_000) + 0.5) * threshold / 200_000
    recall = np.searchsorted(np.sort(errors), grid, side="right") / len(errors)
    assert metrics.auc(errors, threshold) == pytest.approx(recall.mean(), abs=1e-5)
    assert metrics.auc(np.zeros(3), threshold) == 1.0
    assert metrics.auc(np.full(3, 180.0), threshold) == 0.0
