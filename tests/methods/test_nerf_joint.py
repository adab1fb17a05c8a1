"""Cameras that move with the field: their motion, the frustum they may look into, and the training of both."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import RigidTransform

from bench.degrade import degrade, parse
from bench.geometry_torch import exp_se3
from bench.judge.poses import judge_poses
from bench.matrix.registry import find_scene
from bench.task import Camera, Job, PosePrior
from methods.barf.config import BarfConfig
from methods.barf.method import Barf
from methods.barf.train import fitting
from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.cameras.pose_variables import Cameras
from methods.nerf.cameras.rays import view_rays
from methods.nerf.config import FieldConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.grid import GridField
from methods.nerf.field.mlp import MlpField
from methods.nerf.field.ndc import Frustum
from methods.nerf.field.storage import load, save
from methods.nerf.images import exposures
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.rendering.encoding import frequencies
from methods.nerf.training import checkpointing, joint_grid
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.joint import estimated_poses, train_jointly
from methods.nerf.training.joint_grid import JointGrid
from methods.nerf.training.joint_schedule import JointGridBudget, JointGridSchedule, JointMlpSchedule

SMALL = JointGridSchedule(
    smoke=JointGridBudget(coarse=150, fine=150, rays_coarse=2048, rays=4096, side=64), side_start=64
)
BRIEF = JointGridSchedule(smoke=JointGridBudget(coarse=6, fine=8, rays_coarse=256, rays=256, side=24))
PICTURES = ImagePyramid(ids=("a", "b"), taken=torch.zeros(2, 3, 64, 64), background=None)
NETWORK = JointMlpSchedule(
    radiance=FieldConfig(field="mlp", fine_samples=0),
    pose_lr=1e-3,
    pose_decay=0.1,
    coarse_to_fine_from=0.1,
    coarse_to_fine_by=0.5,
)


def trained(scene, plan, folder, *, free=False, contract=False, log=None, **job):
    """Field, cameras, and what was answered."""
    capture = scene.capture
    pyramid = ImagePyramid.of(capture, masked=False, device=torch.device("cpu"))
    bounds = Bounds.from_prior(capture.prior, contract=contract, camera=capture.camera)
    start = torch.from_numpy(np.stack([capture.start[view] for view in pyramid.ids])).float()
    intrinsics = Intrinsics(capture.camera, free=free)
    cameras = Cameras(start, intrinsics, pivot=torch.tensor(bounds.centre), unit=1.0)
    entries = [] if log is None else log
    job = Job(seed=0, workdir=folder, threads=1, effort="smoke", sink=lambda *row: entries.append(row), **job)
    field = train_jointly(pyramid, cameras, bounds, plan, job, "test", Deadline(job))
    return field, cameras, estimated_poses(pyramid, cameras)


def test_twists_are_rigid_motions_and_smooth_at_zero():
    twists = torch.randn(50, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    twists[:10] *= 1e-3
    twists[0] = 0
    twists.requires_grad_()
    wanted = RigidTransform.from_exp_coords(twists.detach().numpy()).as_matrix()[:, :3]
    assert np.abs(exp_se3(twists, 1.0).detach().numpy() - wanted).max() < 1e-9
    assert torch.autograd.gradcheck(lambda x: exp_se3(x, 2.0), twists[[0, 5, 20]].detach().requires_grad_())


def test_cameras_turn_about_the_pivot():
    start = torch.eye(4).repeat(2, 1, 1)
    start[:, :3, 3] = torch.tensor([[3.0, 0.0, 0.0], [0.0, 2.0, 1.0]])
    pivot = torch.tensor([1.0, 1.0, 1.0])
    camera = Camera(width=10, height=10, fx=10, fy=10, cx=5, cy=5)
    cameras = Cameras(start, Intrinsics(camera, free=False), pivot=pivot, unit=1.0)
    with torch.no_grad():
        cameras.twists[:, 2] = torch.pi / 2
    moved = cameras.poses()[:, :3, 3].detach()
    assert torch.allclose(moved, torch.tensor([[2.0, 3.0, 0.0], [0.0, 0.0, 1.0]]), atol=1e-5)


def test_cameras_that_are_placed_are_there_and_go_on_from_there():
    rng = np.random.default_rng(0)
    start, wanted = (PosePrior().sample(rng, 5) for _ in range(2))
    camera = Camera(width=10, height=10, fx=10, fy=10, cx=5, cy=5)
    pivot = torch.tensor([1.0, 0.5, -1.0])
    cameras = Cameras(torch.from_numpy(start).float(), Intrinsics(camera, free=False), pivot=pivot, unit=0.7)
    cameras.place(torch.from_numpy(wanted).float())
    assert torch.allclose(cameras.poses(), torch.from_numpy(wanted).float(), atol=1e-5)
    assert torch.equal(cameras.start, torch.from_numpy(start).float()) and cameras.twists.requires_grad
    broken = torch.from_numpy(start).float()
    broken[2, 0, 0] = torch.nan
    cameras.place(broken)
    assert torch.allclose(cameras.poses()[2], torch.from_numpy(wanted[2]).float(), atol=1e-5)
    assert torch.allclose(cameras.poses()[3], torch.from_numpy(start[3]).float(), atol=1e-5)


def test_straight_rays_stay_straight_in_the_frustum_and_depths_come_back():
    frustum = Frustum(near=2.0, slopes=(0.6, 0.45))
    rng = np.random.default_rng(0)
    origins = torch.from_numpy(rng.uniform(-0.3, 0.3, (100, 3)))
    directions = torch.from_numpy(rng.uniform(-0.3, 0.3, (100, 3)) + np.array([0, 0, 1]))
    directions = torch.nn.functional.normalize(directions, dim=1)
    start, along = frustum.rays(origins, directions)
    assert torch.allclose(start[:, 2], -torch.ones(100, dtype=torch.float64))
    for z in (2.0, 3.0, 50.0):
        distance = (z - origins[:, 2]) / directions[:, 2]
        point = origins + distance[:, None] * directions
        boxed = torch.stack(
            [point[:, 0] / z / 0.6, point[:, 1] / z / 0.6, torch.full((100,), 1 - 2 * 2.0 / z, dtype=torch.float64)], 1
        )
        travelled = (boxed - start).norm(dim=1)
        assert torch.allclose(start + travelled[:, None] * along, boxed, atol=1e-9)
        assert torch.allclose(frustum.distance(travelled, origins, directions), distance, rtol=1e-6)


@pytest.mark.parametrize("kind", [GridField, MlpField])
def test_a_field_in_a_frustum_survives_its_file_and_knows_how_far_things_are(tmp_path, kind):
    bounds = Bounds.forward(Frustum(near=1.0, slopes=(0.75, 0.5)))
    background = torch.ones(3)
    if kind is GridField:
        field = GridField.empty(bounds, background, FieldConfig(), 101)
        assert field.shape == (101, 68, 101)
        with torch.no_grad():
            field.density[:] = -20.0
            field.density[:, :, 50:] = 20.0  # opaque from the middle on: z' = 0, where z = 2 near
        save(field, tmp_path)
        pose = np.eye(4)[None]
        seen = load(tmp_path).render(pose, Camera(width=12, height=8, fx=12, fy=12, cx=6, cy=4))
        assert seen.opacity.min() > 0.99
        assert seen.depth == pytest.approx(2.0, rel=0.04)  # two voxels
    else:
        config = FieldConfig(field="mlp", width=16, depth=2, skip=0, samples=8, fine_samples=0)
        field = MlpField(bounds, background, config, torch.Generator().manual_seed(0))
        save(field, tmp_path)
        assert load(tmp_path).bounds == bounds


def test_frequencies_come_in_one_after_another():
    """BARF, eq. 14: weight (1 - cos(pi clip(alpha - k, 0, 1))) / 2 of frequency k."""
    x = torch.rand(7, 3, generator=torch.Generator().manual_seed(0))
    whole, none = frequencies(x, 4), frequencies(x, 4, 0.0)
    assert torch.equal(none[:, :3], x)
    assert none[:, 3:].abs().max() == 0
    part = frequencies(x, 4, 0.375)  # alpha 1.5: the first is in, the second half way
    for function in (slice(3, 15), slice(15, 27)):
        ratio = (part[:, function] / whole[:, function]).unflatten(1, (4, 3))
        assert ratio.mean(dim=(0, 2)).tolist() == pytest.approx([1.0, 0.5, 0.0, 0.0], abs=1e-5)


@pytest.mark.parametrize("forward", [True, False])
def test_only_a_field_in_a_frustum_has_a_space_of_its_own_and_keeps_it(town, tmp_path, forward):
    pyramid = ImagePyramid.of(town.capture, masked=False, device=torch.device("cpu"))
    bounds = Bounds.from_prior(town.capture.prior)
    if forward:
        bounds = Bounds.forward(Frustum(near=1.0, slopes=(0.75, 0.75)))
    start = torch.eye(4).repeat(len(pyramid.ids), 1, 1)
    cameras = Cameras(start, Intrinsics(town.truth.camera, free=True), pivot=torch.zeros(3), unit=1.0)
    plan = BRIEF.model_copy(update={"relief_lr": 0.05})
    job = Job(seed=0, workdir=tmp_path, threads=1, effort="smoke")
    field = train_jointly(pyramid, cameras, bounds, plan, job, "test", Deadline(job))
    assert bool(cameras.bas_relief.abs().max() > 0) == forward
    if forward:
        # what the cameras learned in the field's space is what a ray of the scene sees
        points = torch.rand(1, 50, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
        pose = cameras.poses().detach()[:1]
        origins, directions = view_rays(cameras.intrinsics, pose, points)
        inside = replace(field.bounds.frustum, bas_relief=(0.0, 0.0, 1.0))
        told, own = field.local(origins, directions), inside.rays(*cameras.rays(torch.tensor([0]), points))
        assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(told, own, strict=True))


def test_rough_poses_become_good_ones(town, tmp_path):
    log: list = []
    field, _, poses = trained(town, SMALL, tmp_path, log=log)
    before = judge_poses(town.capture.start, town.truth).metrics["pose/rotation_deg_median"]
    after = judge_poses(poses, town.truth).metrics["pose/rotation_deg_median"]
    assert before > 8
    assert after < 1.5  # 0.5 to 0.9 degrees at 64 px with these few iterations
    assert field.voxel < 0.9 * 2 / 63  # the grid has closed around the town, and its 64^3 voxels are finer
    assert {"loss", "psnr", "side", "motion", "seconds"} <= {name for _, values, _ in log for name in values}


@pytest.mark.parametrize(
    ("plan", "exposed"), [(BRIEF, False), (BRIEF, True), (NETWORK, False)], ids=["grid", "exposures", "mlp"]
)
def test_a_training_that_goes_on_ends_with_the_same_bits(town, tmp_path, monkeypatch, plan, exposed):
    if exposed:
        monkeypatch.setattr(joint_grid, "EVERY", 3)
        monkeypatch.setattr(exposures, "AGREE", torch.inf)  # whatever fog says
        town = replace(town, capture=degrade(town.capture, parse("exposure@3"), "blocks"))
    whole, cameras, poses = trained(town, plan, tmp_path / "whole", free=True)
    monkeypatch.setattr(checkpointing, "CHECKPOINT_SECONDS", 0.0)
    calls = []

    def stop(self, step, state, tensors):
        save_checkpoint(self, step, state, tensors)
        self.writing = 0.0  # however long it took
        calls.append(step)
        if len(calls) == 9:
            raise KeyboardInterrupt

    save_checkpoint = checkpointing.Checkpoints.save
    monkeypatch.setattr(checkpointing.Checkpoints, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        trained(town, plan, tmp_path / "broken", free=True)
    again, others, found = trained(town, plan, tmp_path / "broken", free=True)
    assert all(np.array_equal(poses[view], found[view]) for view in poses)
    assert torch.equal(cameras.intrinsics.log_zoom, others.intrinsics.log_zoom)
    assert cameras.intrinsics.log_zoom != 0
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))


def test_what_few_see_before_the_cameras_stays_empty_after_a_kill_too(town, tmp_path, monkeypatch):
    plan = BRIEF.model_copy(update={"radiance": FieldConfig(occupancy_every=2), "seen_by_open": 0.2})
    asked = {"contract": True, "free": True}
    whole, _, poses = trained(town, plan, tmp_path / "whole", **asked)
    assert whole.barred is None
    open_to_all = plan.model_copy(update={"seen_by_open": 0.0})
    other, *_ = trained(town, open_to_all, tmp_path / "open", **asked)
    assert not torch.equal(whole.clearance, other.clearance)
    monkeypatch.setattr(checkpointing, "CHECKPOINT_SECONDS", 0.0)
    save_checkpoint = checkpointing.Checkpoints.save

    def stop(self, step, state, tensors):
        save_checkpoint(self, step, state, tensors)
        self.writing = 0.0  # however long it took
        if step == 11:  # the field became another one at 10
            assert tensors["barred"].any()
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpointing.Checkpoints, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        trained(town, plan, tmp_path / "broken", **asked)
    again, _, found = trained(town, plan, tmp_path / "broken", **asked)
    assert all(np.array_equal(poses[view], found[view]) for view in poses)
    assert torch.equal(again.clearance, whole.clearance) and torch.equal(again.density, whole.density)


def test_poses_rest_for_as_long_as_they_are_told_to_whatever_the_grid_becomes():
    plan = BRIEF.model_copy(update={"coarse_sides_open": (8, 16), "pose_from": 0.9, "pose_ramp": 0.0})
    grid = JointGrid(Bounds.open((0.0, 0.0, 0.0), 4.0), torch.ones(3), plan, "smoke", PICTURES, torch.Generator())
    course = grid.courses[0]
    rests = [grid._trust(course, passed) == 0 for passed in range(course.coarse + 1)]
    assert rests == [True] * 5 + [False, False]


def test_pictures_on_the_way_change_no_bit_and_every_iteration_is_told(town, tmp_path, monkeypatch):
    answers, pictures, told = [], [], []
    for seconds in (1e9, 0.0):
        monkeypatch.setattr(checkpointing, "PREVIEW_SECONDS", seconds)
        log = []
        _, _, poses = trained(town, BRIEF, tmp_path / str(seconds), log=log, place=lambda *where: told.append(where))
        answers.append(np.stack(list(poses.values())))
        pictures.append(sum(bool(shown) for _, _, shown in log))
    assert np.array_equal(*answers)
    assert pictures[0] == 1 < pictures[1]
    assert told[:14] == [("coarse" if k < 6 else "fine", k, 14) for k in range(14)]


def test_exact_poses_stay_before_a_real_background(data_root, tmp_path):
    """DTU scan24 at 64 px from the truth, where a pixel is 0.37 degrees. They ended 2.9 away until poses rested on
    a young field, and voxels were as fine as the images."""
    scene = find_scene("transforms/dtu_scan24_384", (data_root,)).load(64)
    capture = replace(scene.capture, start=scene.truth.poses, exact=frozenset(scene.truth.poses))
    budget = JointGridBudget(coarse=120, fine=120, rays_coarse=2048, rays=4096, side=112)
    config = BarfConfig(start_noise=0.0, grid=JointGridSchedule(smoke=budget, side_start=64))
    found = Barf(config).fit(capture, Job(seed=0, workdir=tmp_path, threads=1, effort="smoke"))
    judged = judge_poses(found.poses, scene.truth).metrics
    assert judged["pose/rotation_deg_median"] < 1.4


@pytest.mark.parametrize("camera", [None, Camera(width=50, height=50, fx=120, fy=120, cx=25, cy=25)])
def test_only_exact_poses_before_a_real_background_skip_coarse_grids_and_rest(camera):
    bounds, schedule = Bounds.open((0.0, 0.0, 0.0), 4.0, camera=camera), BarfConfig().grid
    assert fitting(schedule, bounds, exact=False) is schedule and schedule.pose_from == 0
    found = fitting(schedule, bounds, exact=True)
    assert found.coarse_sides_open == schedule.coarse_sides_open[-1:] and found.pose_from > 0
    assert found.seen_by_open == 0 < schedule.seen_by_open and found.anew_open == 1 < schedule.anew_open
    assert (
        fitting(schedule, Bounds.from_prior(PosePrior()), exact=True) is schedule
    )  # around an object all is as it was


@pytest.mark.parametrize("choices", [{"grow_at": (0.1, 0.2, 0.3)}, {"growth": (1.0,)}, {"coarse_sides_open": ()}])
def test_a_schedule_that_says_nothing_of_some_iterations_is_refused(choices):
    with pytest.raises(ValueError, match=r"grow_at|coarse_sides_open"):
        JointGridSchedule(**choices)


def test_a_grid_that_closes_around_the_object_has_voxels_of_its_own_number_and_more_in_the_end():
    budget = JointGridBudget(coarse=1, fine=20, side=64, side_closed=32, side_late=48)
    bounds = {"closed": Bounds.from_prior(PosePrior()), "open": Bounds.open((0.0, 0.0, 0.0), 4.0)}
    seen = {}
    for name, each in bounds.items():
        grid = JointGrid(
            each, torch.ones(3), JointGridSchedule(smoke=budget), "smoke", PICTURES, torch.Generator()
        ).grid
        shapes = [grid.field.shape[0] for index in range(20) if grid.refine(index, 20)]
        seen[name] = shapes
    assert seen == {"closed": [13, 22, 32, 48], "open": [26, 45, 64]}
    assert JointGridBudget(coarse=1, fine=1, side=64).sides(closed=True) == (64, {})


def test_a_fit_of_few_iterations_closes_too_and_late_voxels_come_late():
    closed = Bounds.from_prior(PosePrior())
    for length, sides in ((1, [32]), (2, [22, 32])):
        plan = JointGridSchedule(smoke=JointGridBudget(coarse=1, fine=length, side=32))
        grid = JointGrid(closed, torch.ones(3), plan, "smoke", PICTURES, torch.Generator()).grid
        assert [grid.field.shape[0] for index in range(length) if grid.refine(index, length)] == sides
    for choices in ({"side_late": 48, "late_from": 0.5}, {"side_late": 16}):
        with pytest.raises(ValueError, match=r"late_from|side_late"):
            JointGridSchedule(smoke=JointGridBudget(coarse=1, fine=9, side=32, **choices))
