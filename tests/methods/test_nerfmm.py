"""NeRF-- on the smallest forward-facing scene: a textured corner seen from a few places side by side."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.judge.poses import judge_poses
from bench.scene import HeldOut, Truth
from bench.task import Camera, Capture, Job, ViewId
from methods.nerf.cameras.bundle_adjustment import Bundle
from methods.nerf.training import checkpointing, joint_grid
from methods.nerf.training.joint_schedule import JointGridBudget, JointGridSchedule
from methods.nerfmm.config import NerfmmConfig
from methods.nerfmm.method import Nerfmm

CAMERA = Camera(width=64, height=48, fx=54, fy=54, cx=32, cy=24)
"""Its focal length is a sixth shorter than the guess that the method starts from."""
BUDGET = JointGridBudget(
    coarse=500, fine=200, rays_coarse=2048, rays=3000, side=64, coarse_anew=60, fine_anew=80
)  # fmt: skip
PLAN = NerfmmConfig().grid.model_copy(update={"smoke": BUDGET, "side_start": 48})
SHORT = NerfmmConfig(grid=PLAN)


def texture(u, v):
    """Colours (..., 3) of a plane at (u, v): waves without a period in common."""
    waves = [np.sin(a * u + b * v + c) for a, b, c in ((9, 2, 0), (-3, 7, 1), (5, -6, 2), (13, 11, 3), (-8, 12, 4))]
    mix = np.array([[0.2, 0.1, 0.1, 0.05, 0.05], [0.05, 0.2, 0.1, 0.1, 0.05], [0.1, 0.05, 0.2, 0.05, 0.1]])
    return 0.5 + np.stack(waves, axis=-1) @ mix.T


def photograph(pose):
    """Two walls that meet in a far corner, z = 4 - 2 |x|, from `pose` (4, 4)."""
    rays, origin = CAMERA.directions() @ pose[:3, :3].T, pose[:3, 3]
    walls = []
    for side in (1, -1):
        normal = np.array([2.0 * side, 0, 1])
        walls.append((4 - normal @ origin) / (rays @ normal))
    distance = np.minimum(*(np.where(wall > 0, wall, np.inf) for wall in walls))
    point = origin + rays * distance[..., None]
    return (texture(point[..., 0] * 0.5, point[..., 1] * 0.5) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def stereo():
    """Twelve views within 0.6 units and a few degrees of each other, and three held out between them."""
    rng = np.random.default_rng(0)
    poses = []
    for _ in range(15):
        pose = np.eye(4)
        angle = np.radians(rng.uniform(-6, 6))
        pose[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        pose[:3, 3] = rng.uniform(-0.3, 0.3, 3) * [1, 1, 0.4]
        poses.append(pose)
    images = [photograph(pose) for pose in poses]
    ids = [ViewId(f"v{k:03d}") for k in range(12)]
    heldout = HeldOut(ids=("h000", "h001", "h002"), poses=np.stack(poses[12:]), images=np.stack(images[12:]))
    truth = Truth(
        poses=dict(zip(ids, poses, strict=False)), camera=CAMERA, heldout=heldout, reference="exact", order=tuple(ids)
    )
    return Capture(images=dict(zip(ids, images, strict=False))), truth


def test_poses_come_out_of_images_alone(stereo, tmp_path):
    capture, truth = stereo
    log: list = []
    job = Job(seed=0, workdir=tmp_path, threads=1, effort="smoke", sink=lambda *row: log.append(row))
    fit = Nerfmm(SHORT).fit(capture, job)
    assert fit.camera is not None
    judged = judge_poses(fit.poses, truth, fit.camera).metrics
    assert judged["pose/rotation_deg_median"] < 3  # 1.1; in one field 3.4 to 4.8 with three seeds
    assert judged["pose/translation_relative"] < 0.25  # 0.15; in one field 0.10 to 0.12
    assert judged["camera/focal_relative_error"] < 0.15  # 0.11, from 0.19; in one field 0.07 to 0.10
    assert any("focal" in values for _, values, _ in log)
    seen = fit.field.render(np.stack([fit.poses[view] for view in capture.images]), fit.camera).rgb
    wanted = np.stack(list(capture.images.values())) / 255
    assert -10 * np.log10(np.square(seen - wanted).mean()) > 20


@pytest.fixture
def adjusted(stereo, monkeypatch):
    """The poses that adjusting finds: the true ones, but for a view that sees too little; and of each time that it is
    asked for, whether the focal length is free, and how well the field explains the images."""
    capture, truth = stereo
    images = np.stack(list(capture.images.values())) / 255
    first = np.linalg.inv(next(iter(truth.poses.values())))
    known = np.stack([first @ pose for pose in truth.poses.values()])
    asked = []

    def found(field, camera, poses, _, *, free_focal):
        asked.append((free_focal, np.square(field.render(poses, camera).rgb - images).mean()))
        return Bundle(
            poses=np.concatenate([known[:-1], poses[-1:]]), supported=np.arange(len(images)) < 11, camera=CAMERA
        )

    monkeypatch.setattr(joint_grid, "bundled", found)
    return known, asked


def test_what_adjusting_finds_is_kept_by_a_field_around_what_the_cameras_look_at(stereo, adjusted, tmp_path):
    (capture, truth), (known, asked) = stereo, adjusted
    fit = Nerfmm(SHORT).fit(capture, Job(seed=0, workdir=tmp_path, threads=1, effort="smoke"))
    assert asked[0][0] and len(asked) == 1
    assert asked[0][1] < 0.003  # a field that was found with a space of its own is seen as it is
    assert fit.field.bounds.contract and fit.field.bounds.frustum is None
    found = np.stack([fit.poses[view] for view in capture.images])
    assert np.abs(found[:-1] - known[:-1]).max() < 1e-5 and np.abs(found[-1] - known[-1]).max() > 1e-5
    assert fit.camera.fx == pytest.approx(CAMERA.fx) and fit.camera.fy == pytest.approx(CAMERA.fy)
    assert judge_poses(fit.poses, truth).metrics["pose/inliers_10deg"] == 1.0


def test_it_goes_on_with_the_same_bits_whichever_field_it_was_at(stereo, adjusted, tmp_path, monkeypatch):
    budget = BUDGET.model_copy(update={"coarse": 12, "fine_anew": 6, "coarse_anew": 10, "fine": 8, "rays": 512})
    method = Nerfmm(SHORT.model_copy(update={"grid": PLAN.model_copy(update={"smoke": budget})}))

    def fitted(name):
        (tmp_path / name).mkdir(exist_ok=True)
        return method.fit(stereo[0], Job(seed=0, workdir=tmp_path / name, threads=1, effort="smoke"))

    whole, save = fitted("whole"), checkpointing.Checkpoints.save
    with monkeypatch.context() as context:
        context.setattr(checkpointing, "CHECKPOINT_SECONDS", 0.0)
        for last in (15, 22, 27, 32):  # in the frustum; in the next field before, and after a view is placed; fine

            def stop(self, step, state, tensors, last=last):
                save(self, step, state, tensors)
                self.writing = 0.0  # however long it took
                if step == last:
                    raise KeyboardInterrupt

            context.setattr(checkpointing.Checkpoints, "save", stop)
            with pytest.raises(KeyboardInterrupt):
                fitted("broken")
    again = fitted("broken")
    assert all(np.array_equal(whole.poses[view], again.poses[view]) for view in whole.poses)
    assert whole.camera == again.camera and torch.equal(whole.field.density, again.field.density)


def test_what_it_is_given_follows_from_its_options():
    assert not Nerfmm().traits.needs
    assert Nerfmm().traits.estimates_camera
    assert Nerfmm(NerfmmConfig(start="given", intrinsics="given")).traits.needs == {"start", "camera"}
    assert not Nerfmm(NerfmmConfig(intrinsics="given")).traits.estimates_camera


def test_rough_poses_can_take_the_place_of_none(stereo, tmp_path):
    capture, truth = stereo
    given = replace(capture, start=truth.poses, camera=CAMERA)
    config = NerfmmConfig(start="given", intrinsics="given", start_noise=0.0)
    brief = config.model_copy(
        update={"grid": JointGridSchedule(smoke=JointGridBudget(coarse=5, fine=5, rays=256, side=16))}
    )
    fit = Nerfmm(brief).fit(given, Job(seed=0, workdir=tmp_path, threads=1, effort="smoke"))
    assert fit.camera is None
    assert judge_poses(fit.poses, truth).metrics["pose/rotation_deg_median"] < 5
