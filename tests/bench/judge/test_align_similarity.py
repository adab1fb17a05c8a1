"""The alignment against evo, pycolmap, scipy, and the traps that other suites fell into."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from bench.judge.align import align, is_rigid
from bench.judge.similarity import Similarity, rotation_angle, umeyama
from bench.judge.trajectory import trajectory_errors
from bench.task import Collapsed, ViewId, look_at

seeds = st.integers(0, 2**32 - 1)


def cameras(rng, count=20, size=4.0):
    """Poses on a sphere of radius `size`, looking at its centre."""
    centres = rng.normal(size=(count, 3))
    centres *= size / np.linalg.norm(centres, axis=1, keepdims=True)
    return look_at(centres, np.zeros(3), np.array([0.0, 0.0, 1.0]), rng.uniform(-1, 1, size=count))


def named(poses):
    return {ViewId(f"v{n:03d}"): pose for n, pose in enumerate(poses)}


def any_similarity(rng):
    return Similarity(
        scale=float(np.exp(rng.uniform(-4, 4))),
        rotation=Rotation.random(random_state=int(rng.integers(2**31))).as_matrix(),
        translation=rng.normal(size=3) * 10,
    )


def degrees(a, b):
    return float(np.degrees(rotation_angle(a, b)))


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_exact_cameras_in_another_frame_come_back(seed):
    rng = np.random.default_rng(seed)
    truth, similarity = cameras(rng), any_similarity(rng)
    found = align(named(similarity.inverse().apply(truth)), named(truth))
    for each in (found.similarity, found.robust):
        np.testing.assert_allclose(each.scale, similarity.scale, rtol=1e-9)
        np.testing.assert_allclose(each.rotation, similarity.rotation, atol=1e-9)
        np.testing.assert_allclose(each.translation, similarity.translation, atol=1e-8 * max(1, similarity.scale))
    assert found.flags == ()
    assert len(found.inliers) == 20


@settings(max_examples=50, deadline=None)
@given(seeds, st.integers(4, 60))
def test_the_similarity_is_evos(seed, count):
    geometry = pytest.importorskip("evo.core.geometry")
    rng = np.random.default_rng(seed)
    source, target = rng.normal(size=(count, 3)), rng.normal(size=(count, 3))
    R, t, scale = geometry.umeyama_alignment(source.T, target.T, with_scale=True)
    ours = umeyama(source, target)
    np.testing.assert_allclose(ours.scale, scale, atol=1e-9)
    np.testing.assert_allclose(ours.rotation, R, atol=1e-6)
    np.testing.assert_allclose(ours.translation, t, atol=1e-6)


def test_the_similarity_is_pycolmaps(tmp_path: Path):
    rng = np.random.default_rng(3)
    sources = np.stack([rng.normal(size=(12, 3)) for _ in range(50)])
    worlds = [any_similarity(rng) for _ in sources]
    targets = np.stack([w.points(s + 0.05 * rng.normal(size=s.shape)) for w, s in zip(worlds, sources, strict=True)])
    np.savez(tmp_path / "points.npz", sources=sources, targets=targets)
    child = (
        "import sys, numpy as np, pycolmap\n"
        "points = np.load(sys.argv[1] + '/points.npz')\n"
        "found = [pycolmap.estimate_sim3d(a, b) for a, b in zip(points['sources'], points['targets'])]\n"
        "found = [f['tgt_from_src'] if isinstance(f, dict) else f for f in found]\n"
        "np.save(sys.argv[1] + '/found.npy', np.stack([f.matrix() for f in found]))\n"
    )
    subprocess.run([sys.executable, "-c", child, str(tmp_path)], check=True, capture_output=True, timeout=60)
    for source, target, theirs in zip(sources, targets, np.load(tmp_path / "found.npy"), strict=True):
        ours = umeyama(source, target)
        matrix = np.column_stack([ours.scale * ours.rotation, ours.translation])
        np.testing.assert_allclose(matrix, theirs[:3], atol=1e-6 * max(1, ours.scale))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_thin_rig_is_not_turned_by_its_reflection_fix(axis):
    """Where noise decides the sign along the thin axis, a fix on a fixed row of R turns the result by 180 degrees."""
    reflected = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        source = rng.normal(size=(30, 3))
        source[:, axis] = 1e-3 * rng.normal(size=30)
        target = source.copy()
        target[:, axis] = 1e-3 * rng.normal(size=30)
        R = Rotation.random(random_state=seed).as_matrix()
        target = target @ R.T
        reflected += np.linalg.det((target - target.mean(0)).T @ (source - source.mean(0))) < 0
        independent, _ = Rotation.align_vectors(target - target.mean(0), source - source.mean(0))
        found = umeyama(source, target).rotation
        assert degrees(found, R) < 1
        assert degrees(found, independent.as_matrix()) < 1e-4
    assert reflected > 3  # else nothing was tested


def test_the_inverse_undoes_it_and_rotations_stay_rotations():
    rng = np.random.default_rng(0)
    poses, similarity = cameras(rng), any_similarity(rng)
    moved = similarity.apply(poses)
    assert all(is_rigid(pose, 1e-12) for pose in moved)
    np.testing.assert_allclose(similarity.inverse().apply(moved), poses, atol=1e-12)


def test_collinear_cameras_are_aligned_by_their_rotations_and_say_so():
    rng = np.random.default_rng(2)
    truth = cameras(rng, 10)
    truth[:, :3, 3] = np.linspace(-1, 1, 10)[:, None] * [1.0, 2.0, 3.0]
    similarity = any_similarity(rng)
    found = align(named(similarity.inverse().apply(truth)), named(truth))
    assert any("undetermined" in flag and "line" in flag for flag in found.flags)
    np.testing.assert_allclose(found.similarity.rotation, similarity.rotation, atol=1e-9)
    np.testing.assert_allclose(found.similarity.scale, similarity.scale, rtol=1e-9)


@pytest.mark.parametrize("count", [2, 3])
def test_fewer_than_four_views_are_aligned_by_their_rotations_and_say_so(count):
    rng = np.random.default_rng(4)
    truth, similarity = cameras(rng, 30), any_similarity(rng)
    found = align(named(similarity.inverse().apply(truth)[:count]), named(truth))
    assert any("undetermined" in flag and f"{count} registered" in flag for flag in found.flags)
    np.testing.assert_allclose(found.similarity.rotation, similarity.rotation, atol=1e-9)
    assert len(found.registered) == count


@pytest.mark.parametrize("offset", [0.0, 4.0])
def test_cameras_in_one_place_are_a_collapse(offset):
    rng = np.random.default_rng(5)
    truth = cameras(rng)
    estimate = truth.copy()
    estimate[:, :3, 3] = np.float32(offset)
    with pytest.raises(Collapsed, match="coincide"):
        align(named(estimate), named(truth))
    estimate[:, :3, 3] += 1e-7 * offset * rng.uniform(-1, 1, size=(20, 3))  # and so is float32's rounding of it
    with pytest.raises(Collapsed, match="coincide"):
        align(named(estimate), named(truth))


@pytest.mark.parametrize("count", [0, 1])
def test_a_view_alone_is_a_collapse(count):
    truth = cameras(np.random.default_rng(6))
    with pytest.raises(Collapsed, match=f"{count} of 20"):
        align(named(truth[:count]), named(truth))


def test_flipped_views_do_not_hide_that_the_others_are_exact():
    rng = np.random.default_rng(8)
    truth, similarity = cameras(rng, 40), any_similarity(rng)
    estimate = similarity.inverse().apply(truth)
    flipped = rng.choice(40, 8, replace=False)
    middle = estimate[:, :3, 3].mean(0)
    estimate[flipped, :3, :3] = estimate[flipped, :3, :3] @ np.diag([1.0, -1.0, -1.0])
    estimate[flipped, :3, 3] = 2 * middle - estimate[flipped, :3, 3]
    found = align(named(estimate), named(truth))
    exact = np.delete(np.arange(40), flipped)
    assert set(found.inliers) == {ViewId(f"v{n:03d}") for n in exact}
    np.testing.assert_allclose(found.robust.apply(estimate)[exact], truth[exact], atol=1e-9)
    plain = found.similarity.apply(estimate)[exact]
    assert np.linalg.norm(plain[:, :3, 3] - truth[exact, :3, 3], axis=1).mean() > 0.1


def test_consensus_of_many_views_is_repeatable():
    rng = np.random.default_rng(9)
    truth = cameras(rng, 80)
    estimate = truth.copy()
    estimate[:, :3, 3] += 0.2 * rng.normal(size=(80, 3))
    a, b = (align(named(estimate), named(truth)) for _ in range(2))
    assert a.robust.scale == b.robust.scale
    assert a.inliers == b.inliers


def test_broken_poses_count_as_unregistered_and_raise_nothing():
    truth = cameras(np.random.default_rng(10))
    estimate = truth.copy()
    estimate[0, 0, 3] = np.nan
    estimate[1, 1, 1] = np.inf
    estimate[2, :3, 0] *= -1  # a mirror
    estimate[3, :3, :3] *= 2
    found = align(named(estimate), named(truth))
    assert len(found.registered) == 16
    assert any(flag.startswith("pose: 4 of 20 poses are not finite") for flag in found.flags)
    np.testing.assert_allclose(found.similarity.apply(estimate[4:]), truth[4:], atol=1e-9)


def test_evo_does_not_change_what_it_is_given():
    rng = np.random.default_rng(11)
    truth = cameras(rng)
    estimate = truth.copy()
    estimate[:, :3, 3] += rng.normal(size=(20, 3))
    before = estimate.copy(), truth.copy()
    trajectory_errors(estimate, truth)
    align(named(estimate), named(truth))
    np.testing.assert_array_equal(estimate, before[0])
    np.testing.assert_array_equal(truth, before[1])


def test_float32_rotations_do_not_trouble_evo():
    truth = cameras(np.random.default_rng(12))
    errors = trajectory_errors(truth.astype(np.float32), truth)
    assert errors.rpe_rotation_deg.max() < 1e-3


def test_judging_leaves_nothing_in_the_home_folder(tmp_path: Path):
    child = (
        "import numpy as np; from bench.judge.trajectory import trajectory_errors\n"
        "poses = np.tile(np.eye(4), (3, 1, 1)); trajectory_errors(poses, poses)"
    )
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", child], check=True, cwd=root, env=environment, timeout=60)
    assert list(tmp_path.iterdir()) == []
