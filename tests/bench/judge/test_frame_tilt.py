"""Which rigs are aligned by their cameras' rotations, and how far centres and rotations may disagree."""

import numpy as np
import pytest
from rigs import forward_facing, named, ring, shifted, sphere
from scipy.spatial.transform import Rotation

from bench.judge.align import Rules, align
from bench.judge.metrics import rotation_errors
from bench.judge.rig import frame_tilt, is_forward_facing, parallel_cameras_deg
from bench.judge.similarity import umeyama
from bench.matrix.registry import scene_sources
from bench.task import Collapsed

RULES = Rules()


def faces_one_way(poses):
    return is_forward_facing(poses, cone_deg=RULES.cone_deg, depth=RULES.rig_depth)


def test_a_rig_is_forward_facing_by_its_true_cameras():
    rng = np.random.default_rng(0)
    assert faces_one_way(forward_facing(rng))
    assert not faces_one_way(sphere(rng))
    assert not faces_one_way(ring(rng))
    onward = forward_facing(rng)
    onward[:, 1, 3] = np.linspace(-5, 5, len(onward))  # cameras that move where they look
    assert not faces_one_way(onward)


def test_the_real_scenes_are_of_the_kind_that_they_are_known_for(data_root):
    kinds = {}
    for name, source in scene_sources((data_root,)).items():
        if not source.missing:
            kinds[name] = faces_one_way(np.stack(list(source.load(64).truth.poses.values())))
    assert kinds.pop("nerf_llff_data/fern")
    assert len(kinds) > 3
    assert not any(kinds.values())


@pytest.mark.parametrize("noise", [0.014, 0.03, 0.057])
def test_exact_rotations_are_exact_on_a_forward_facing_rig_whatever_its_centres_are(noise):
    """By the centres alone these are 0.4 to 1.8 degrees wrong and more, without a word."""
    tilts = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        truth = forward_facing(rng)
        world = Rotation.random(random_state=seed).as_matrix()
        estimate = shifted(truth, rng, noise)
        estimate[:, :3] = world @ estimate[:, :3]
        found = align(named(estimate), named(truth))
        assert rotation_errors(found.similarity.apply(estimate), truth).max() < 1e-6
        assert rotation_errors(found.robust.apply(estimate), truth).max() < 1e-6
        by_centres = umeyama(estimate[:, :3, 3], truth[:, :3, 3])
        assert found.rotation_from == "cameras"
        assert found.tilt.degrees == pytest.approx(rotation_errors(by_centres.apply(estimate), truth).mean(), abs=1e-6)
        tilts.append(found.tilt.degrees)
    assert 0.2 < np.median(tilts) / (noise / 0.03) < 5


def test_on_a_rig_around_a_scene_the_centres_still_tell_the_frame():
    rng = np.random.default_rng(1)
    truth = sphere(rng)
    estimate = shifted(truth, rng, 0.05)
    found = align(named(estimate), named(truth))
    by_centres = umeyama(estimate[:, :3, 3], truth[:, :3, 3])
    assert found.rotation_from == "centres"
    np.testing.assert_array_equal(found.similarity.rotation, by_centres.rotation)
    assert found.similarity.scale == by_centres.scale


@pytest.mark.parametrize("rig", [sphere, ring, forward_facing])
@pytest.mark.parametrize("count", [6, 20, 60])
def test_a_tilt_that_the_residuals_explain_is_not_flagged(rig, count):
    """One row in a hundred may be; and the size that is expected is the size that comes."""
    flagged, tilts, expected = 0, [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        truth = rig(rng, count)
        estimate = shifted(truth, rng, 0.05)
        estimate[:, :3, :3] = Rotation.from_rotvec(0.01 * rng.normal(size=(count, 3))).as_matrix() @ truth[:, :3, :3]
        tilt = frame_tilt(umeyama(estimate[:, :3, 3], truth[:, :3, 3]), estimate, truth, RULES.tilt_level)
        flagged += not tilt.is_explained
        tilts.append(tilt.degrees)
        expected.append(tilt.expected)
    assert flagged <= 7
    assert np.sqrt(np.mean(np.square(tilts))) == pytest.approx(np.sqrt(np.mean(np.square(expected))), rel=0.2)


@pytest.mark.parametrize("rig", [sphere, forward_facing])
def test_a_frame_that_is_askew_in_all_cameras_is_flagged_with_its_size(rig):
    rng = np.random.default_rng(2)
    truth = rig(rng)
    estimate = shifted(truth, rng, 0.003)
    estimate[:, :3, :3] = Rotation.from_euler("x", 3, degrees=True).as_matrix() @ truth[:, :3, :3]
    found = align(named(estimate), named(truth))
    (flag,) = found.flags
    assert found.tilt.degrees == pytest.approx(3, abs=0.5)
    assert flag.startswith(f"pose: centres and rotations tell two frames, {found.tilt.degrees:.2f} deg apart")
    assert flag.endswith("rotations, for the rig is forward-facing" if rig is forward_facing else "centres")


def test_wrong_axes_do_not_pass_for_right_ones_unflagged():
    """On a rig whose cameras all look one way, OpenGL axes are nearly a turn of the world."""
    truth = forward_facing(np.random.default_rng(3))
    estimate = truth @ np.diag([1.0, -1.0, -1.0, 1.0])
    try:
        found = align(named(estimate), named(truth))
    except Collapsed:
        return
    assert found.tilt.degrees > 150
    assert any("two frames" in flag for flag in found.flags)


def test_what_parallel_cameras_are_worth():
    truth = forward_facing(np.random.default_rng(4), 40)
    same = np.tile(np.eye(4), (40, 1, 1))
    mean = Rotation.from_matrix(truth[:, :3, :3]).mean().as_matrix()
    same[:, :3, :3] = mean
    assert parallel_cameras_deg(truth) == pytest.approx(np.median(rotation_errors(same, truth)), abs=1e-6)
