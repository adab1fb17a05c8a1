"""Fields: what a network is made of, what a grid keeps when it grows, what a folder gives back."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.task import Camera, DifferentiableField, PosePrior
from methods.nerf.cameras.rays import image_pixels, pixel_rays
from methods.nerf.config import Budget, FieldConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.grid import GridField
from methods.nerf.field.mlp import MlpField
from methods.nerf.field.ndc import Frustum
from methods.nerf.field.near_cameras import alone_before_cameras
from methods.nerf.field.occupancy import cell_centres, extent, refresh, resampled
from methods.nerf.field.storage import build, describe, load, save
from methods.nerf.field.unseen import begin_with_mean, fill_unseen, pushed_and_pulled
from methods.nerf.rendering.contraction import contract, outside
from methods.nerf.rendering.encoding import frequencies, harmonics
from methods.nerf.rendering.sampling import importance, marching_edges
from methods.nerf.rendering.volume_rendering import weights_of

CAMERA = Camera(width=8, height=6, fx=9.0, fy=9.0, cx=4.0, cy=3.0)
BOUNDS = Bounds.from_prior(PosePrior())
OPEN = Bounds(centre=(0.0, 0.0, 0.0), half_size=1.0, near=0.2, far=400.0, contract=True, camera_distance=4.0, shell=0.5)
TORCH = FieldConfig(backend="torch")


def a_grid(side: int = 12) -> GridField:
    field = GridField.empty(BOUNDS, torch.ones(3), TORCH, side)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        field.density.copy_(4 * torch.randn(field.shape, generator=generator))
        field.colour.copy_(torch.randn(field.colour.shape, generator=generator))
    refresh(field)
    return field


def test_the_network_has_the_published_size():
    field = MlpField(BOUNDS, torch.ones(3), FieldConfig(field="mlp"))
    # 63 -> 256, four 256 -> 256, 319 -> 256, two 256 -> 256; density, feature, 283 -> 128 -> 3: the authors' release
    assert [layer.in_features for layer in field.coarse.trunk] == [63, 256, 256, 256, 256, 319, 256, 256]
    assert sum(parameter.numel() for parameter in field.coarse.parameters()) == 595_844
    assert sum(parameter.numel() for parameter in field.parameters()) == 2 * 595_844


def test_encodings_are_those_of_the_papers():
    x = torch.tensor([[0.25, -0.5, 1.0]])
    assert frequencies(x, 4).shape == (1, 27)
    assert frequencies(x, 2)[0, 3:9] == pytest.approx([0.5**0.5, -1, 0, 1, 0, 0], abs=1e-6)
    points = torch.nn.functional.normalize(torch.randn(20000, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    basis = harmonics(points, 2)
    # orthonormal on the sphere, up to the error of 20,000 samples
    assert torch.allclose(basis.T @ basis / len(points), torch.eye(9), atol=0.06)


@pytest.mark.parametrize(("shell", "expected"), [(1.0, [0, -1.5, 0.75]), (0.5, [0, -1.25, 0.625])])
def test_contraction_squeezes_all_of_space_and_leaves_the_near_part(shell, expected):
    near = torch.tensor([[0.3, -0.9, 0.5]])
    assert torch.equal(contract(near, shell), near)
    far = torch.tensor([[1e6, 3.0, -2.0], [0.0, -2.0, 1.0]])
    squeezed = contract(far, shell)
    assert squeezed.abs().max() <= 1 + shell
    assert squeezed[1].tolist() == pytest.approx(expected)
    norms = torch.tensor([0.4, 1.0, 1.5, 7.0])
    assert torch.allclose(outside(contract(norms[:, None], shell)[:, 0], shell), norms)


def test_cells_of_a_grid_know_where_they_are_beyond_the_contraction():
    bounds = replace(OPEN, centre=(1.0, 0.0, 0.0), half_size=2.0)
    field = GridField.empty(bounds, torch.ones(3), TORCH, 13)
    middles = cell_centres(field)
    assert middles.shape == (*field.clearance.shape, 3)
    squeezed = contract(middles.reshape(-1, 3), 0.5).reshape(middles.shape)
    even = (torch.arange(6) * 2 + 1) * field.voxel + field.low[0]
    assert torch.allclose(squeezed[:, 2, 3, 0], even, atol=1e-5)
    assert torch.allclose(squeezed[4, 1, :, 2], even, atol=1e-5)
    assert middles.abs().max() > 1.8  # 1.375 of 1.5, in the shell, is 4 half sizes out for its outermost cells


def test_what_few_see_right_before_the_cameras_is_no_place_for_anything():
    field = GridField.empty(OPEN, torch.ones(3), TORCH, 61)
    poses = torch.eye(4).repeat(10, 1, 1)
    poses[:, 2, 3] = -4.0  # ten cameras in a row look along z, 0.42 apart
    poses[:, 0, 3] = torch.linspace(-1.9, 1.9, 10)
    camera = Camera(width=100, height=100, fx=100.0, fy=100.0, cx=50.0, cy=50.0)  # each sees half as wide as far
    barred = alone_before_cameras(field, poses, camera, 0.3)
    middles = cell_centres(field)

    def held(x: float, y: float, z: float) -> bool:
        place = torch.tensor([x, y, z])
        return bool(barred.flatten()[(middles.reshape(-1, 3) - place).norm(dim=-1).argmin()])

    assert held(0.3, 0.0, -3.0)  # 1 away, where each sees 1 across: two of them
    assert not held(0.0, 0.0, 0.0)
    assert not held(0.0, 0.0, -1.5)  # 2.5 away, where each sees 2.5 across: six of them
    assert not held(0.0, 3.5, 12.0)  # no nearer than the scene, however few see it
    assert not alone_before_cameras(field, poses[:1].repeat(10, 1, 1), camera, 0.3).any()  # seen by all
    assert not alone_before_cameras(field, poses, camera, 0.0).any() and barred.any()
    assert not alone_before_cameras(field, poses[:2], camera, 0.3).any()
    field.barred = barred
    refresh(field)
    assert (field.clearance[barred] > 0).all() and (field.clearance[~barred] == 0).all()
    with torch.no_grad():
        field.density[:] = torch.where(cell_centres(field).norm(dim=-1).amin() > 9, 1.0, -20.0)
    refresh(field)
    assert (field.clearance[barred] > 0).all()  # where nothing else is occupied, too


@pytest.mark.parametrize("outwards", [True, False])
def test_where_cameras_do_not_look_at_one_thing_nothing_is_barred(outwards):
    """A room from its middle, and a facade along which the camera moved: hardly any surface is seen by a fifth."""
    poses = torch.eye(4).repeat(40, 1, 1)
    if outwards:
        turn = torch.linspace(0, 2 * math.pi, 41)[:40]
        poses[:, 0, 0] = poses[:, 2, 2] = turn.cos()
        poses[:, 0, 2], poses[:, 2, 0] = turn.sin(), -turn.sin()
        poses[:, :3, 3] = poses[:, :3, 2]
    else:
        poses[:, 0, 3], poses[:, 2, 3] = torch.linspace(-10, 10, 40), -4.0
    camera = Camera(width=100, height=100, fx=100.0, fy=100.0, cx=50.0, cy=50.0)
    assert not alone_before_cameras(GridField.empty(OPEN, torch.ones(3), TORCH, 31), poses, camera, 0.2).any()


def test_weights_follow_the_law_of_absorption():
    depth = torch.rand(5, 40, generator=torch.Generator().manual_seed(0)) * 0.2
    assert torch.allclose(weights_of(depth).sum(dim=1), 1 - torch.exp(-depth.sum(dim=1)), atol=1e-6)


def test_steps_grow_with_distance_only_in_open_space():
    assert np.allclose(np.diff(marching_edges(1.0, 3.0, 0.1, camera_distance=None)), 0.1, atol=1e-6)
    edges = marching_edges(0.1, 500.0, 0.02, camera_distance=2.0)
    assert edges[-1] >= 500 and len(edges) < 600
    assert np.allclose(np.diff(edges)[edges[:-1] < 3], 0.02, atol=1e-6)  # the far side of the cube, seen from 2 away
    assert np.diff(edges)[-1] == pytest.approx(0.02 * (edges[-2] - 2), rel=1e-3)


def test_importance_samples_lie_where_the_weight_is():
    distances = torch.linspace(0, 1, 64).expand(3, 64)
    weights = torch.exp(-(((distances - 0.7) / 0.03) ** 2))
    more = importance(distances, weights, 128, torch.Generator().manual_seed(0))
    assert more.mean().item() == pytest.approx(0.7, abs=0.01)
    assert more.std().item() < 0.04


def test_rays_go_through_their_pixels_and_carry_gradients_to_the_pose():
    pose = torch.from_numpy(PosePrior().sample(np.random.default_rng(0), 1)).float().requires_grad_()
    pixels = image_pixels(CAMERA)
    origins, directions = pixel_rays(pixels, CAMERA, pose.expand(len(pixels), 4, 4))
    seen = (origins + 2 * directions - pose[0, :3, 3]) @ pose[0, :3, :3]  # back into the camera
    back = seen[:, :2] / seen[:, 2:] * 9 + torch.tensor([4.0, 3.0])
    assert torch.allclose(back, pixels, atol=1e-4)
    (origins + directions).sum().backward()
    assert pose.grad is not None and pose.grad[0, :3].abs().min() > 0


def test_a_finer_grid_is_the_same_field():
    field = a_grid(9)
    finer = resampled(field, 17, shrink=False)  # every second voxel of the finer grid is one of the coarser
    assert finer.shape == (17, 17, 17)
    assert torch.allclose(finer.density[::2, ::2, ::2], field.density, atol=1e-4)
    assert torch.allclose(finer.colour[::2, ::2, ::2], field.colour, atol=1e-4)


def test_a_grid_closes_around_what_it_holds():
    field = GridField.empty(BOUNDS, torch.ones(3), TORCH, 32)
    with torch.no_grad():
        field.density[10:16, 12:20, 5:9] = 5
    closer = resampled(field, 32, shrink=True)
    ends = np.array(closer.low) + closer.voxel * (np.array(closer.shape) - 1)
    old = 2 / 31
    assert np.allclose(closer.low, -1 + old * np.array([8, 10, 3]), atol=1e-5)
    assert (ends >= -1 + old * np.array([17, 21, 10]) - 1e-5).all()
    assert closer.voxel < old / 2


def test_a_grid_closes_around_its_parts_and_not_around_fog_or_floaters():
    field = GridField.empty(BOUNDS, torch.ones(3), TORCH, 32)
    with torch.no_grad():
        field.density[10:20, 12:24, 5:15] = 5  # 1,200 voxels
        field.density[24:26, 14, 7] = 5  # small, but there
        field.density[28, 2, 2] = 5
        faint = math.log(math.expm1(0.08 / (TORCH.density_gain * field.voxel)))  # 8 % opaque
        field.density[1, 1, 1] = field.density[30, 30, 30] = faint
        field.density[2:5, 28:31, 12:20] = faint
    low, high = extent(field)
    assert low.tolist() == [10, 12, 5]
    assert high.tolist() == [25, 23, 14]
    with torch.no_grad():
        field.density[10:29] = -20.0
    assert extent(field)[0].tolist() == [1, 1, 1]  # of fog alone nothing is left out


def test_a_grid_does_not_close_on_a_speck_beside_a_faint_object():
    field = GridField.empty(BOUNDS, torch.ones(3), TORCH, 32)
    faint, solid = (
        math.log(math.expm1(-math.log(1 - share) / (TORCH.density_gain * field.voxel))) for share in (0.45, 0.6)
    )
    with torch.no_grad():
        field.density[8:24, 8:24, 8:24] = faint
        field.density[28, 28, 28] = solid
    low, high = extent(field)
    assert (low.tolist(), high.tolist()) == ([8, 8, 8], [28, 28, 28])


@pytest.mark.parametrize("kind", ["grid", "mlp"])
def test_a_saved_field_is_read_back_equal(kind, tmp_path):
    config = FieldConfig(field="mlp", width=16, samples=8, fine_samples=8)
    field = a_grid() if kind == "grid" else MlpField(BOUNDS, torch.ones(3), config, torch.Generator().manual_seed(0))
    save(field, tmp_path)
    again = load(tmp_path)
    poses = PosePrior().sample(np.random.default_rng(1), 2)
    before, after = field.render(poses, CAMERA), again.render(poses, CAMERA)
    assert isinstance(again, DifferentiableField)
    assert before.rgb.shape == (2, 6, 8, 3) and before.depth.shape == before.opacity.shape == (2, 6, 8)
    assert np.array_equal(before.rgb, after.rgb) and np.array_equal(before.depth, after.depth)


def test_a_field_saved_under_earlier_names_is_read():
    bounds = Bounds.forward(Frustum(near=2.0, slopes=(0.6, 0.4), bas_relief=(0.1, 0.0, 1.5)))
    said = json.loads(json.dumps(describe(GridField.empty(bounds, torch.ones(3), FieldConfig(backend="numba"), 8))))
    said["bounds"]["away"] = said["bounds"].pop("camera_distance")
    said["bounds"]["frustum"]["relief"] = said["bounds"]["frustum"].pop("bas_relief")
    said["config"]["backend"] = "fused"
    field = build(said)
    assert field.bounds == bounds
    assert field.config.backend == "numba"


def test_a_folder_that_holds_no_field_is_refused(tmp_path):
    (tmp_path / "field.json").write_text(json.dumps({"channels": 3}))
    with pytest.raises(ValueError, match="not a field"):
        load(tmp_path)


def test_depth_is_measured_along_the_optical_axis():
    field = GridField.empty(BOUNDS, torch.ones(3), TORCH, 41)
    with torch.no_grad():
        field.density.fill_(-20)
        field.density[:, :, :21] = 20  # all that lies below z = 0 is solid
    refresh(field)
    pose = np.eye(4)
    pose[:3, :3] = np.diag([1.0, -1.0, -1.0])  # looks down from above
    pose[2, 3] = 4.0
    depth = field.render(pose[None], CAMERA).depth[0]
    # the surface lies where the raw density changes sign, half a voxel (0.05) above z = 0; samples are 0.1 apart
    assert np.allclose(depth, 3.95, atol=0.12)


def test_unknown_and_contradictory_choices_are_refused():
    with pytest.raises(ValueError, match="widht"):
        FieldConfig.model_validate({"widht": 3})
    with pytest.raises(ValueError, match="one entry for each stage"):
        FieldConfig(growth=(0.5,), grow_at=(0.5, 0.2))
    assert FieldConfig(steps=7).budget("quick") == Budget(steps=7, rays=8192, side=160)


def test_full_holds_voxels_together_unless_told_otherwise_and_older_configs_are_read():
    assert FieldConfig().budget("full").tv_density > FieldConfig().budget("quick").tv_density == 0
    assert FieldConfig(tv_density=0.0).budget("full").tv_density == 0
    older = FieldConfig().model_dump() | {"tv_density": 0.0}
    for name in ("grid_full", "grid_quick", "mlp_full"):
        older[name].pop("tv_density")
    assert FieldConfig.model_validate(older).budget("full").tv_density == 0


def test_what_no_ray_has_crossed_goes_on_as_its_surroundings_do():
    grid = GridField.empty(BOUNDS, torch.tensor([0.3, 0.4, 0.5]), TORCH, 12)
    begin_with_mean(grid)
    with torch.no_grad():
        start = grid.colour[0, 0, 0].clone()
        grid.density[:] = torch.linspace(-2, 2, 12)[:, None, None]
        grid.colour[:6], grid.colour[6:] = 0.5, -1.5
        before = grid.density.clone(), grid.colour.clone()
        grid.colour[8:, 3:] = start + 0.2  # a ray or two have grazed it
        grid.density[8:, 3:] = -6.0
        fill_unseen(grid)
    assert torch.equal(grid.colour[:8], before[1][:8]) and torch.equal(grid.density[:, :3], before[0][:, :3])
    filled = grid.colour[8:, 3:]
    assert filled.max() < -0.4  # as on the side that it lies on, and not the mean of all
    assert grid.density[8:, 3:].min() > -2.1  # as what stands around, and not as at the start


def test_a_wall_of_the_mean_colour_has_been_seen():
    grid = GridField.empty(BOUNDS, torch.tensor([0.3, 0.4, 0.5]), TORCH, 12)
    begin_with_mean(grid)
    with torch.no_grad():
        grid.density.fill_(-13.0)  # air, which rays have crossed
        grid.density[5] = 6.0
        before = grid.density.clone(), grid.colour.clone()
        fill_unseen(grid)
    assert torch.equal(grid.density, before[0]) and torch.equal(grid.colour, before[1])


def test_a_field_begins_with_the_mean_colour_from_every_side():
    mean = torch.tensor([0.2, 0.5, 0.7])
    grid = GridField.empty(BOUNDS, mean, TORCH, 12)
    begin_with_mean(grid)
    with torch.no_grad():
        grid.density.fill_(20.0)
    refresh(grid)
    seen = grid.render(PosePrior().sample(np.random.default_rng(1), 3), CAMERA)
    assert seen.opacity.max() > 0.99
    assert np.allclose(seen.rgb, mean, atol=1e-5)


def test_where_all_or_nothing_is_seen_nothing_changes():
    values = torch.randn(3, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    for known in (torch.ones(5, 6, 7, dtype=torch.bool), torch.zeros(5, 6, 7, dtype=torch.bool)):
        assert torch.equal(pushed_and_pulled(values, known), values)
