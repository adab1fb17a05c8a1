"""Gaussians as they are drawn: where, how deep, with which gradients; and as they are kept, moved and refused."""

import json
import math

import numpy as np
import pytest
import torch

from bench.judge.refine import refine
from bench.matrix.registry import find_method
from bench.task import Camera, DifferentiableField, PosePrior, RasterisedField, look_at
from methods.nerf.config import PosedFieldConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.gaussians import GaussianField
from methods.nerf.field.storage import load, load_rays, save
from methods.nerf.gaussians import torch_reference
from methods.nerf.gaussians.rasterise import rasterise
from methods.nerf.gaussians.relocation import MOST, drawn, shared_out
from methods.nerf.gaussians.splats import Splats, inverse, rotation_matrices
from methods.nerf.rendering.encoding import harmonics

pytestmark = pytest.mark.usefixtures("one_thread")

CAMERA = Camera(width=40, height=30, fx=45.0, fy=48.0, cx=19.0, cy=16.0)
UP = np.array([0.0, 0.0, 1.0])
POSE = look_at(np.array([[3.0, -2.0, 1.5]]), np.zeros(3), UP)
BOUNDS = Bounds.from_prior(PosePrior())


def some_splats(count=60, seed=0, dtype=torch.float64) -> tuple[Splats, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    means, rotations, scales, opacities, colours = (
        torch.rand(count, k, generator=rng, dtype=dtype) for k in (3, 4, 3, 1, 3)
    )
    return Splats(1.6 * means - 0.8, rotations - 0.5, 0.02 + 0.2 * scales, opacities[:, 0]), colours[None]


def a_field(count=40, seed=1, **choices) -> GaussianField:
    config = PosedFieldConfig.model_validate({"field": "gaussians", "gaussians": {"backend": "torch", **choices}})
    field = GaussianField(BOUNDS, torch.tensor([1.0, 0.9, 0.8]), config, count=count, unit=0.8)
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in field.parameters():
            value.add_(0.4 * torch.randn(value.shape, generator=rng))
        field.scales.sub_(1.5)
    return field


def spelled_out(splats: Splats, colours: np.ndarray, pose: np.ndarray, camera: Camera) -> np.ndarray:
    """Colour, depth and opacity (H, W, 5), one pixel and one Gaussian after the other."""
    world, quaternions, scales, opacities = (value.numpy() for value in splats)
    image, order = np.zeros((camera.height, camera.width, 5)), []
    for n, mean in enumerate(world):
        x, y, z = pose[:3, :3].T @ (mean - pose[:3, 3])
        order.append((z, n, camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy, x, y))
    light = np.ones(image.shape[:2])
    for z, n, u, v, x, y in sorted(order):
        w, i, j, k = quaternions[n] / np.linalg.norm(quaternions[n])
        turn = np.eye(3) + 2 * w * np.array([[0, -k, j], [k, 0, -i], [-j, i, 0]])
        turn += 2 * np.linalg.matrix_power(np.array([[0, -k, j], [k, 0, -i], [-j, i, 0]]), 2)
        jacobian = np.array([[camera.fx / z, 0, -camera.fx * x / z**2], [0, camera.fy / z, -camera.fy * y / z**2]])
        inner = jacobian @ pose[:3, :3].T @ turn @ np.diag(scales[n] ** 2) @ turn.T @ pose[:3, :3] @ jacobian.T
        shape = np.linalg.inv(inner + 0.3 * np.eye(2))
        for row in range(camera.height):
            for column in range(camera.width):
                off = np.array([column + 0.5 - u, row + 0.5 - v])
                alpha = min(0.999, opacities[n] * math.exp(-0.5 * off @ shape @ off))
                if alpha >= 1 / 255 and light[row, column] * (1 - alpha) > 1e-4:
                    image[row, column] += light[row, column] * alpha * np.array([*colours[n], z, 1])
                    light[row, column] *= 1 - alpha
    image[..., 3] /= np.maximum(image[..., 4], 1e-10)
    return image


@pytest.mark.parametrize("square", [5, 16, 100])
def test_the_reference_draws_what_its_formulas_say(square, monkeypatch):
    monkeypatch.setattr(torch_reference, "SQUARE", square)  # in many pieces, and all at once
    splats, colours = some_splats(25)
    seen = rasterise(splats, colours, torch.from_numpy(POSE), CAMERA, backend="torch")
    found = torch.cat([seen.colour[0], seen.depth[0, :, None], seen.opacity[0, :, None]], dim=-1)
    true = spelled_out(splats, colours[0].numpy(), POSE[0], CAMERA)
    assert true[..., 4].max() > 0.9
    np.testing.assert_allclose(found.reshape(true.shape).numpy(), true, atol=1e-9)


def test_harmonics_are_orthonormal_up_to_the_third_degree():
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((200_000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    values = harmonics(torch.from_numpy(directions), 3)
    assert values.shape == (200_000, 16)
    assert (values.T @ values / len(values) - torch.eye(16)).abs().max() < 0.03  # of a mean of so many


def test_rotations_and_inverses_are_rigid():
    rng = torch.Generator().manual_seed(0)
    turns = rotation_matrices(torch.randn(9, 4, generator=rng, dtype=torch.float64))
    assert torch.allclose(turns @ turns.transpose(1, 2), torch.eye(3, dtype=torch.float64).expand(9, 3, 3))
    assert torch.allclose(torch.det(turns), torch.ones(9, dtype=torch.float64))
    np.testing.assert_allclose(inverse(torch.from_numpy(POSE)).numpy()[0], np.linalg.inv(POSE[0]), atol=1e-12)


def test_a_gaussian_is_seen_where_it_is_and_as_deep_as_it_is():
    field = a_field(1)
    place = np.array([0.3, -0.2, 0.4])
    with torch.no_grad():
        field.means.copy_((torch.tensor(place) - field.centre) / field.unit)
        field.scales.fill_(-4)
        field.opacities.fill_(8)
    seen = field.render(POSE, CAMERA)
    x, y, z = POSE[0, :3, :3].T @ (place - POSE[0, :3, 3])
    row, column = np.unravel_index(seen.opacity[0].argmax(), seen.opacity[0].shape)
    assert (int(CAMERA.fx * x / z + CAMERA.cx), int(CAMERA.fy * y / z + CAMERA.cy)) == (column, row)
    assert seen.depth[0, row, column] == pytest.approx(z, rel=1e-5)
    assert seen.opacity[0, row, column] > 0.5
    assert np.allclose(seen.rgb[0, 0, 0], [1.0, 0.9, 0.8]) and seen.depth[0, 0, 0] == seen.opacity[0, 0, 0] == 0


def test_pixels_are_those_of_the_image_and_one_channel_is_enough():
    field = a_field()
    pixels = torch.randperm(1200, generator=torch.Generator().manual_seed(0))[:70].expand(2, -1)
    poses = np.concatenate([POSE, look_at(np.array([[0.0, 3.5, 1.0]]), np.zeros(3), UP)])
    picked = field.render_pixels(torch.from_numpy(poses).float(), CAMERA, pixels)
    whole = field.render(poses, CAMERA)
    np.testing.assert_allclose(picked.detach(), whole.rgb.reshape(2, -1, 3)[:, pixels[0]], atol=2e-6)
    assert 0.1 < whole.opacity.mean() < 1
    silhouette = GaussianField(BOUNDS, torch.zeros(1), field.config, count=5, unit=1.0)
    assert silhouette.render(poses, CAMERA).rgb.shape == (2, 30, 40, 1)


def test_colours_carry_gradients_to_poses_and_gaussians_as_finite_differences_have_them():
    field = a_field(12, sh_degree=2).double()
    field.centre = field.centre.double()
    pixels = torch.arange(0, 1200, 17)[None]
    weights = torch.rand(1, pixels.shape[1], 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pose = torch.from_numpy(POSE).requires_grad_()

    def total() -> torch.Tensor:
        return (weights * field.draw(pose, CAMERA, pixels).over(field.background)).sum()

    total().backward()
    leaves = {"pose": pose, **dict(field.named_parameters())}
    for name, leaf in leaves.items():
        assert leaf.grad is not None
        for place in [(0, 0, 1), (0, 2, 3), (0, 1, 2)] if name == "pose" else [(3, 0), (7, -1)]:
            place = place[: leaf.dim()] if leaf.dim() < 3 or name == "pose" else (*place[:2], 1)
            with torch.no_grad():
                kept, ends = leaf[place].clone(), []
                for off in (1e-6, -1e-6):
                    leaf[place] = kept + off
                    ends.append(float(total()))
                leaf[place] = kept
            assert float(leaf.grad[place]) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=2e-3, abs=2e-4), name


def test_the_judge_finds_a_pose_again_in_what_gaussians_show():
    field = a_field(60, seed=3)
    assert isinstance(field, RasterisedField) and not isinstance(field, DifferentiableField)
    images = (255 * field.render(POSE, CAMERA).rgb).round().astype(np.uint8)
    start = POSE.copy()
    start[0, :3, 3] += [0.05, 0.04, -0.03]
    rules = {"steps": 60, "rate": 4e-3, "rays": 128, "seed": 0, "unit": 4.0}
    for columns in ("all", "left"):
        found = refine(field, start, CAMERA, images, columns=columns, **rules)
        error = [np.abs(field.render(pose, CAMERA).rgb - images / 255).mean() for pose in (start, found)]
        assert error[1] < 0.4 * error[0]
    assert all(value.grad is None for value in field.parameters())


def test_a_view_that_sees_nothing_has_a_gradient_of_nothing():
    away = torch.from_numpy(look_at(np.array([[3.0, 0.0, 0.0]]), np.array([9.0, 0.0, 0.0]), UP)).float()
    field, pose = a_field(), away.requires_grad_()
    seen = field.render_pixels(pose, CAMERA, torch.arange(5)[None])
    assert torch.equal(seen[0], field.background.expand(5, 3))
    (gradient,) = torch.autograd.grad(seen.sum(), pose)
    assert torch.equal(gradient, torch.zeros_like(pose))


def test_what_is_saved_is_read_back_equal_and_is_no_field_of_rays(tmp_path):
    field = a_field()
    save(field, tmp_path)
    again = load(tmp_path)
    before, after = field.render(POSE, CAMERA), again.render(POSE, CAMERA)
    for name in ("rgb", "depth", "opacity"):
        assert np.array_equal(getattr(before, name), getattr(after, name))
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    assert not any(value.requires_grad for value in again.parameters())
    with pytest.raises(ValueError, match="a field of Gaussians, where one of rays was saved"):
        load_rays(tmp_path)
    said = json.loads((tmp_path / "field.json").read_text())
    (tmp_path / "field.json").write_text(json.dumps(said | {"count": 3}))
    with pytest.raises(ValueError, match="not a field saved by this version"):
        load(tmp_path)


def test_sharing_a_gaussian_out_is_the_papers_equation_9():
    opacities = torch.tensor([0.01, 0.3, 0.9, 0.99, 0.5], dtype=torch.float64)
    times = torch.tensor([1, 2, 3, MOST, MOST + 9])
    found, factors = shared_out(opacities, times)
    for old, n, new, factor in zip(
        opacities.tolist(), [1, 2, 3, MOST, MOST], found.tolist(), factors.tolist(), strict=True
    ):
        o = 1 - (1 - old) ** (1 / n)
        total = sum(
            math.comb(i - 1, k) * (-1) ** k * o ** (k + 1) / math.sqrt(k + 1) for i in range(1, n + 1) for k in range(i)
        )
        assert new == pytest.approx(o) and factor == pytest.approx(old / total, rel=1e-6)


def test_a_gaussian_and_those_it_is_shared_out_to_look_alike():
    splats, colours = some_splats(1)
    splats = Splats(
        torch.zeros(1, 3).double(), splats.rotations, torch.full((1, 3), 0.25).double(), torch.tensor([0.8]).double()
    )
    before = rasterise(splats, colours, torch.from_numpy(POSE), CAMERA, backend="torch").opacity
    new, factor = shared_out(splats.opacities, torch.tensor([4]))
    many = Splats(*(value.expand(4, *value.shape[1:]) for value in splats))
    shared = many._replace(opacities=new.expand(4), scales=factor * many.scales)
    after = rasterise(shared, colours.expand(1, 4, 3), torch.from_numpy(POSE), CAMERA, backend="torch").opacity
    assert (before - after).abs().mean() < 0.01
    assert before.sum() == pytest.approx(float(after.sum()), rel=0.08)  # along its middle it is the same
    plain = many._replace(opacities=new.expand(4))  # with the scales left as they were
    wide = rasterise(plain, colours.expand(1, 4, 3), torch.from_numpy(POSE), CAMERA, backend="torch").opacity
    assert (before - wide).abs().mean() > 2 * (before - after).abs().mean()


def test_opaque_gaussians_are_drawn_more_often():
    opacities = torch.tensor([0.1, 0.9, 0.0])
    chosen = drawn(opacities, 4000, torch.Generator().manual_seed(0))
    counts = torch.bincount(chosen, minlength=3)
    assert counts[2] == 0 and counts[1] / counts[0] == pytest.approx(9, rel=0.25)
    assert len(drawn(opacities, 0, torch.Generator())) == 0


def test_methods_that_look_for_poses_refuse_gaussians_in_a_sentence():
    for method in ("barf", "nerfmm", "gnerf", "inerf"):
        with pytest.raises(ValueError, match="it needs poses that stay as they are, as nerf, colmap") as refused:
            find_method(f"{method}[field=gaussians]")
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("method", ["nerf", "colmap_nerf", "poses+nerf", "feedforward"])
def test_methods_with_poses_say_what_gaussians_need(method):
    needed = find_method(f"{method}[field=gaussians]").method.traits.accelerator
    assert needed is not None
    assert (needed.kind, needed.packages, needed.extra) == ("cuda", ("gsplat",), "gsplat")
    assert needed.lack("cpu") == (
        "needs --device cuda: Gaussians are rasterised on CUDA; gaussians.backend=torch runs slowly anywhere"
    )
    for anywhere in (f"{method}[field=gaussians,gaussians.backend=torch]", method, f"{method}[field=mlp]"):
        assert find_method(anywhere).method.traits.accelerator is None


def test_the_choices_of_gaussians_are_no_part_of_a_field_of_rays():
    config = PosedFieldConfig(sh_degree=2, gaussians={"ssim": 0.5})
    assert "gaussians" not in config.rays.model_dump() and config.rays.sh_degree == 2
    assert config.gaussian_budget("full").most == 1_000_000
    assert PosedFieldConfig(steps=7).gaussian_budget("quick").steps == 7


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("gaussians.quick.start=400000", "gaussians.quick: most=300000 Gaussians are fewer than start=400000"),
        ("gaussians.smoke.most=100", "gaussians.smoke: most=100 Gaussians are fewer than start=800"),
        ("gaussians.degree=2", "no option 'gaussians.degree'; did you mean gaussians.sh_degree"),
        ("gaussians.quick.stepz=2", "no option 'gaussians.quick.stepz'; did you mean gaussians.quick.steps"),
    ],
)
def test_choices_that_cannot_be_are_refused_in_a_sentence(option, said):
    with pytest.raises(ValueError, match=said) as refused:
        find_method(f"nerf[field=gaussians,{option}]")
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 250
    both = find_method("nerf[field=gaussians,gaussians.quick.start=400000,gaussians.quick.most=500000]")
    assert both.method.config["gaussians"]["quick"]["most"] == 500_000
