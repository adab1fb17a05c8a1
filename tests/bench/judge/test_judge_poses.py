"""The protocol on training poses: denominators, traps, and what a fit of any quality leaves in the columns."""

import json
from dataclasses import replace

import numpy as np
import pytest
from rigs import forward_facing
from scipy.spatial.transform import Rotation

from bench.cell import fingerprint
from bench.judge import protocol
from bench.judge.poses import judge_poses
from bench.judge.similarity import Similarity, nearest_rotation
from bench.scene import HeldOut, Truth
from bench.task import Camera, Collapsed, ViewId, look_at

CAMERA = Camera(width=16, height=12, fx=20, fy=20, cx=8, cy=6)
COLUMNS = {
    "pose/rotation_deg_mean", "pose/rotation_deg_median", "pose/translation_mean", "pose/translation_relative",
    "pose/ate_rmse", "pose/rpe_rotation_deg", "pose/rpe_translation", "pose/auc_5", "pose/auc_15", "pose/auc_30",
    "pose/robust_rotation_deg_median", "pose/inliers_10deg", "pose/registered", "pose/normalised_scale",
    "pose/frame_tilt_deg",
}  # fmt: skip
WORLD = Similarity(
    scale=0.2,
    rotation=nearest_rotation(np.random.default_rng(99).normal(size=(3, 3))),
    translation=np.array([5.0, -3.0, 1.0]),
)


def make_truth(count=20, seed=0):
    rng = np.random.default_rng(seed)
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    centres = 4 * np.stack([np.cos(angles), np.sin(angles), rng.uniform(0, 0.5, count)], axis=1)
    poses = look_at(centres, np.zeros(3), np.array([0.0, 0.0, 1.0]))
    ids = [ViewId(f"v{n:03d}") for n in range(count)]
    shown = rng.permutation(count)  # as the capture shuffles them
    heldout = HeldOut(
        ids=(ViewId("h000"), ViewId("h001")), poses=poses[:2] + 0.0, images=np.zeros((2, 12, 16, 3), np.uint8)
    )
    return Truth(
        poses={ids[n]: poses[n] for n in shown}, camera=CAMERA, heldout=heldout, reference="exact", order=tuple(ids)
    )


def in_own_frame(poses):
    return {view: WORLD.inverse().apply(pose) for view, pose in poses.items()}


def test_exact_poses_in_a_frame_of_their_own_are_perfect():
    truth = make_truth()
    metrics, per_view, flags, absent, _ = judge_poses(in_own_frame(truth.poses), truth)
    assert set(metrics) == COLUMNS
    assert set(absent) == {"camera/focal_relative_error"}
    assert flags == ()
    ones = {f"pose/{n}" for n in ("auc_5", "auc_15", "auc_30", "registered", "inliers_10deg", "normalised_scale")}
    for name in ones:
        assert metrics[name] == pytest.approx(1.0, abs=1e-9)
    for name in COLUMNS - ones:
        assert metrics[name] == pytest.approx(0.0, abs=1e-6)
    assert set(per_view) == set(truth.poses)


def test_unregistered_views_stay_in_every_denominator():
    truth = make_truth(20)
    kept = truth.order[:5]
    metrics, per_view, _, absent, alignment = judge_poses(
        in_own_frame({view: truth.poses[view] for view in kept}), truth
    )
    assert alignment.registered == tuple(view for view in truth.poses if view in kept)
    assert metrics["pose/registered"] == pytest.approx(5 / 20)
    assert metrics["pose/rotation_deg_mean"] == pytest.approx(180 * 15 / 20)
    assert metrics["pose/rotation_deg_median"] == 180
    assert metrics["pose/robust_rotation_deg_median"] == 180
    assert metrics["pose/inliers_10deg"] == pytest.approx(5 / 20)
    assert metrics["pose/auc_30"] == pytest.approx(5 * 4 / (20 * 19), abs=1e-6)
    assert metrics["pose/rpe_rotation_deg"] == pytest.approx(180 * 15 / 19, abs=1e-6)
    assert metrics["pose/translation_mean"] == pytest.approx(0, abs=1e-9)
    assert per_view[truth.order[9]] == {"pose/rotation_deg": 180}
    assert set(absent) == {"camera/focal_relative_error"}


def test_steps_are_taken_between_consecutive_views_of_the_capture():
    """evo pairs what it is given; across a gap that is no step, and the shuffled order is not the capture's."""
    truth = make_truth(20)
    poses = dict(truth.poses)
    for view in truth.order[1::2]:
        del poses[view]
    metrics, _, _, absent, _ = judge_poses(in_own_frame(poses), truth)
    assert "pose/rpe_translation" not in metrics
    assert "consecutive" in absent["pose/rpe_translation"]
    assert metrics["pose/rpe_rotation_deg"] == 180

    rng = np.random.default_rng(1)
    noisy = {view: pose.copy() for view, pose in truth.poses.items()}
    for pose in noisy.values():
        pose[:3, :3] = Rotation.from_rotvec(0.05 * rng.normal(size=3)).as_matrix() @ pose[:3, :3]
    expected = []
    for a, b in zip(truth.order, truth.order[1:], strict=False):
        e, t = (np.linalg.inv(p[a]) @ p[b] for p in (noisy, truth.poses))
        expected.append(np.degrees(Rotation.from_matrix(e[:3, :3].T @ t[:3, :3]).magnitude()))
    metrics = judge_poses(in_own_frame(noisy), truth).metrics
    assert metrics["pose/rpe_rotation_deg"] == pytest.approx(np.mean(expected), rel=1e-6)


def test_a_few_flipped_views_show_in_the_plain_columns_and_not_in_the_robust():
    truth = make_truth(40)
    poses = in_own_frame(truth.poses)
    middle = np.mean([pose[:3, 3] for pose in poses.values()], axis=0)
    for view in list(poses)[:12]:
        poses[view][:3, :3] = np.diag([-1.0, -1.0, 1.0]) @ poses[view][:3, :3]
        poses[view][:3, 3] = 2 * middle - poses[view][:3, 3]
    metrics = judge_poses(poses, truth).metrics
    assert metrics["pose/robust_rotation_deg_median"] == pytest.approx(0, abs=1e-6)
    assert metrics["pose/inliers_10deg"] == pytest.approx(28 / 40)
    assert metrics["pose/rotation_deg_mean"] > 30
    assert metrics["pose/translation_relative"] > 0.3


def test_ate_does_not_shrink_with_the_number_of_views():
    ate = []
    for count in (30, 300):
        truth = make_truth(count)
        rng = np.random.default_rng(2)
        noisy = {view: pose.copy() for view, pose in truth.poses.items()}
        for pose in noisy.values():
            pose[:3, 3] += 0.1 * rng.normal(size=3)
        ate.append(judge_poses(in_own_frame(noisy), truth).metrics["pose/ate_rmse"])
    np.testing.assert_allclose(ate, 0.1 * np.sqrt(3), rtol=0.15)


def test_random_poses_are_a_collapse_and_nearly_random_ones_have_a_relative_translation_of_nearly_one():
    truth = make_truth(60)
    rng = np.random.default_rng(3)
    random = {
        view: look_at(rng.normal(size=(1, 3)), rng.normal(size=3), np.array([0.0, 0.0, 1.0]))[0] for view in truth.poses
    }
    with pytest.raises(Collapsed, match="noise around one point"):
        judge_poses(random, truth)
    for view, pose in random.items():
        pose[:3, 3] = 0.5 * truth.poses[view][:3, 3] / 4 + pose[:3, 3] / np.sqrt(3)  # half as much of it as of noise
    metrics = judge_poses(random, truth).metrics
    assert metrics["pose/normalised_scale"] == pytest.approx(0.5 / np.sqrt(1 + 0.25), abs=0.12)
    assert 0.75 < metrics["pose/translation_relative"] < 1
    assert metrics["pose/auc_30"] < 0.05


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_poses_that_are_not_finite_are_flagged_and_counted_lost(bad):
    truth = make_truth()
    poses = in_own_frame(truth.poses)
    poses[truth.order[3]][1, 2] = bad
    metrics, per_view, flags, _, _ = judge_poses(poses, truth)
    assert metrics["pose/registered"] == pytest.approx(19 / 20)
    assert per_view[truth.order[3]] == {"pose/rotation_deg": 180}
    assert any("not finite" in flag for flag in flags)
    assert np.isfinite(list(metrics.values())).all()


def test_collapsed_poses_are_said_to_be_so():
    truth = make_truth()
    with pytest.raises(Collapsed, match="coincide"):
        judge_poses({view: np.eye(4) for view in truth.poses}, truth)
    with pytest.raises(Collapsed, match="0 of 20"):
        judge_poses({view: np.full((4, 4), np.nan) for view in truth.poses}, truth)


def test_the_focal_length_is_judged_where_it_was_estimated_and_at_any_image_size():
    truth = make_truth()
    for camera in (replace(CAMERA, fx=22, fy=22), replace(CAMERA, fx=22, fy=22).resized(32, 24)):
        found = judge_poses(in_own_frame(truth.poses), truth, camera).metrics
        assert found["camera/focal_relative_error"] == pytest.approx(0.1)
        assert protocol.render_camera(camera, truth) == replace(CAMERA, fx=22, fy=22)
    assert protocol.render_camera(None, truth) == CAMERA


def test_heldout_cameras_reach_the_field_in_its_own_frame():
    truth = make_truth()
    alignment = judge_poses(in_own_frame(truth.poses), truth).alignment
    np.testing.assert_allclose(
        protocol.plan_heldout(alignment, truth), WORLD.inverse().apply(truth.heldout.poses), atol=1e-9
    )


def test_the_constants_make_a_fingerprint_and_the_refinement_is_json():
    truth = make_truth()
    assert len(fingerprint(protocol.constants())) == 64
    request = protocol.refinement(judge_poses(in_own_frame(truth.poses), truth).alignment)
    assert json.loads(json.dumps(request)) == request
    assert request["unit"] == pytest.approx(4 / 0.2, rel=0.03)  # the true radius, in E


def with_hidden(count, seed=0):
    """A truth of `count` views, and the one that was hidden: the poses of the others were given."""
    truth = make_truth(count, seed)
    hidden = truth.order[3]
    return truth, hidden, frozenset(truth.order) - {hidden}


def test_one_hidden_view_is_judged_and_what_one_view_cannot_have_is_absent():
    truth, hidden, given = with_hidden(12)
    poses = {view: pose.copy() for view, pose in truth.poses.items()}
    poses[hidden][:3, :3] = poses[hidden][:3, :3] @ Rotation.from_euler("y", 7, degrees=True).as_matrix()
    metrics, per_view, _, absent, _ = judge_poses(in_own_frame(poses), truth, given=given)
    assert metrics["pose/rotation_deg_median"] == pytest.approx(7, abs=1e-6)
    assert metrics["pose/ate_rmse"] == pytest.approx(0, abs=1e-9)
    assert set(per_view) == {hidden}
    assert "one view" in absent["pose/rpe_rotation_deg"] and "one view" in absent["pose/auc_15"]
    assert set(metrics) | set(absent) >= COLUMNS
    assert np.isfinite(list(metrics.values())).all()


def test_one_registered_view_of_several_hidden_ones_is_judged():
    truth = make_truth(12)
    given = frozenset(truth.order[:6])
    poses = {view: truth.poses[view] for view in (*given, truth.order[7])}
    metrics, _, _, absent, _ = judge_poses(in_own_frame(poses), truth, given=given)
    assert metrics["pose/registered"] == pytest.approx(1 / 6)
    assert metrics["pose/rpe_rotation_deg"] == 180
    assert metrics["pose/auc_30"] == 0
    assert "consecutive" in absent["pose/rpe_translation"]


def test_broken_poses_among_the_hidden_are_flagged():
    truth = make_truth(12)
    given = frozenset(truth.order[:6])
    poses = in_own_frame(truth.poses)
    poses[truth.order[8]][0, 0] = np.nan
    judged = judge_poses(poses, truth, given=given)
    assert judged.flags == ("pose: 1 of 6 poses are not finite rigid motions and count as unregistered",)
    assert judged.metrics["pose/registered"] == pytest.approx(5 / 6)


def test_on_a_forward_facing_rig_rotations_must_beat_those_of_parallel_cameras():
    base = make_truth(20)
    poses = forward_facing(np.random.default_rng(5))
    truth = replace(base, poses=dict(zip(base.order, poses, strict=True)))
    assert judge_poses(in_own_frame(truth.poses), truth).flags == ()
    parallel = {view: pose.copy() for view, pose in truth.poses.items()}
    for pose in parallel.values():
        pose[:3, :3] = poses[0, :3, :3]
    flags = judge_poses(in_own_frame(parallel), truth).flags
    assert any("no better than those of parallel cameras" in flag for flag in flags)
