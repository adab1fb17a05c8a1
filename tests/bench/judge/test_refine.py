"""Photometric refinement on a field whose colours are a formula: what was moved comes back, whatever the frame."""

import numpy as np
import pytest
import torch

from bench.geometry_torch import exp_se3, homogeneous
from bench.judge.metrics import psnr, rotation_errors, translation_errors
from bench.judge.refine import refine
from bench.task import Camera, DifferentiableField, RasterisedField, Rendering, look_at

pytestmark = pytest.mark.usefixtures("one_thread")

CAMERA = Camera(width=48, height=36, fx=60, fy=60, cx=24, cy=18)
RULES = {"steps": 100, "rate": 1e-3, "rays": 64, "seed": 0, "unit": 4.0}


class Ball:
    """A painted unit ball before white, in a frame `scale` times the scene's; its paint is a parameter."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.paint = torch.full((3,), 4.0, requires_grad=True)

    def render_rays(self, origins: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
        origins = origins / self.scale
        b = (origins * directions).sum(-1)
        inside = b**2 - (origins**2).sum(-1) + 1
        hit = origins + (-b - inside.clamp(min=1e-6).sqrt())[:, None] * directions
        colour = 0.5 + 0.25 * torch.sin(self.paint * hit) + 0.25 * torch.cos(1.3 * self.paint * hit.roll(1, -1))
        cover = torch.sigmoid(30 * inside)[:, None]
        return cover * colour + 1 - cover

    def render(self, poses: np.ndarray, camera: Camera) -> Rendering:
        directions = torch.from_numpy(camera.directions().reshape(-1, 3)).float()
        stack = []
        for pose in torch.from_numpy(poses).float():
            rays = torch.nn.functional.normalize(directions @ pose[:3, :3].T, dim=-1)
            image = self.render_rays(pose[:3, 3].expand_as(rays), rays)
            stack.append(image.reshape(camera.height, camera.width, 3).detach().numpy())
        plane = np.zeros((len(poses), camera.height, camera.width), np.float32)
        return Rendering(rgb=np.stack(stack), depth=plane, opacity=plane)


class DrawnBall:
    """The same ball, of which whole images can be had and no rays."""

    def __init__(self) -> None:
        self.ball, self.asked = Ball(), []

    def render(self, poses: np.ndarray, camera: Camera) -> Rendering:
        return self.ball.render(poses, camera)

    def render_pixels(self, poses: torch.Tensor, camera: Camera, pixels: torch.Tensor) -> torch.Tensor:
        self.asked.append((camera, pixels))
        directions = torch.from_numpy(camera.directions().reshape(-1, 3)).float()
        rays = torch.nn.functional.normalize(directions @ poses[:, :3, :3].transpose(1, 2), dim=-1)  # (N, H * W, 3)
        image = self.ball.render_rays(poses[:, None, :3, 3].expand_as(rays).reshape(-1, 3), rays.reshape(-1, 3))
        return torch.gather(image.reshape(*rays.shape), 1, pixels[..., None].expand(-1, -1, 3))


def cameras(count=3):
    angles = np.linspace(0, 4, count)
    centres = np.stack([4 * np.cos(angles), 4 * np.sin(angles), np.linspace(-1, 2, count)], axis=1)
    return look_at(centres, np.zeros(3), np.array([0.0, 0.0, 1.0]))


def disturbed(poses, amount=0.02, seed=0):
    twists = torch.from_numpy(amount * np.random.default_rng(seed).uniform(-1, 1, size=(len(poses), 6)))
    return poses @ homogeneous(exp_se3(twists, 4.0)).numpy()


@pytest.fixture(scope="module")
def truth():
    poses = cameras()
    return poses, (255 * Ball().render(poses, CAMERA).rgb).round().astype(np.uint8)


def quality(poses, images, field=None):
    return psnr((field or Ball()).render(poses, CAMERA).rgb, images / 255)


def test_the_toy_is_a_field():
    assert isinstance(Ball(), DifferentiableField)


@pytest.mark.parametrize("columns", ["all", "left"])
def test_a_known_disturbance_is_taken_back(truth, columns):
    poses, images = truth
    start = disturbed(poses)
    found = refine(Ball(), start, CAMERA, images, columns=columns, **RULES)
    assert quality(start, images).max() < 26
    assert quality(found, images).min() > 31  # 100 steps, the last 20 of them slowing down
    assert rotation_errors(found, poses).mean() < 0.75 * rotation_errors(start, poses).mean()
    assert translation_errors(found, poses).mean() < 0.75 * translation_errors(start, poses).mean()


@pytest.mark.parametrize("columns", ["all", "left"])
def test_a_field_without_rays_is_refined_by_the_same_pixels(truth, columns):
    poses, images = truth
    start, rules, drawn = disturbed(poses), RULES | {"steps": 30}, DrawnBall()
    assert isinstance(drawn, RasterisedField) and not isinstance(drawn, DifferentiableField)
    found = refine(drawn, start, CAMERA, images, columns=columns, **rules)
    by_rays = refine(Ball(), start, CAMERA, images, columns=columns, **rules)
    np.testing.assert_allclose(found, by_rays, atol=1e-3)  # single precision, through 30 steps of Adam
    assert np.abs(found - start).max() > 0.02
    for camera, pixels in drawn.asked:
        assert camera == CAMERA and pixels.shape == (3, 64)
        assert columns == "all" or (pixels % CAMERA.width < CAMERA.width // 2).all()


def test_a_right_pose_stays(truth):
    poses, images = truth
    found = refine(Ball(), poses, CAMERA, images, columns="all", **RULES)
    assert rotation_errors(found, poses).max() < 0.1
    assert translation_errors(found, poses).max() < 0.01


@pytest.mark.parametrize("scale", [1e-2, 300.0])
def test_the_unit_of_the_frame_does_not_matter(truth, scale):
    poses, images = truth
    start = disturbed(poses)
    reference = refine(Ball(), start, CAMERA, images, columns="all", **RULES | {"steps": 20})
    scaled = start.copy()
    scaled[:, :3, 3] *= scale
    rules = RULES | {"steps": 20, "unit": RULES["unit"] * scale}
    found = refine(Ball(scale), scaled, CAMERA, images, columns="all", **rules)
    found[:, :3, 3] /= scale
    np.testing.assert_allclose(found, reference, atol=1e-3)  # float32 rays; the steps move poses by 0.02
    assert np.abs(reference - start).max() > 0.02


def test_views_do_not_touch_each_other_and_a_seed_repeats_a_run(truth):
    poses, images = truth
    start = disturbed(poses)
    rules = RULES | {"steps": 10}
    first, again = (refine(Ball(), start, CAMERA, images, columns="all", **rules) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = refine(Ball(), start, CAMERA, images, columns="all", **rules | {"seed": 1})
    assert np.abs(other - first).max() > 1e-6
    spoiled = start.copy()
    spoiled[2, :3, 3] += 1.0
    moved = refine(Ball(), spoiled, CAMERA, images, columns="all", **rules)
    np.testing.assert_allclose(moved[:2], first[:2], atol=1e-6)


def test_the_left_half_alone_is_looked_at(truth):
    poses, images = truth
    start, rules = disturbed(poses), RULES | {"steps": 5}
    blind = images.copy()
    blind[:, :, CAMERA.width // 2 :] = 0
    np.testing.assert_array_equal(
        refine(Ball(), start, CAMERA, images, columns="left", **rules),
        refine(Ball(), start, CAMERA, blind, columns="left", **rules),
    )


def test_the_field_stays_frozen(truth):
    poses, images = truth
    field = Ball()
    refine(field, disturbed(poses), CAMERA, images, columns="all", **RULES | {"steps": 3})
    assert field.paint.grad is None
    assert torch.equal(field.paint, torch.full((3,), 4.0))


def test_a_view_whose_loss_is_not_finite_keeps_its_pose(truth):
    poses, images = truth

    class Torn(Ball):
        def render_rays(self, origins, directions):
            torn = (origins - torch.from_numpy(poses[1, :3, 3]).float()).norm(dim=-1) < 0.5
            return torch.where(torn[:, None], torch.nan, 1.0) * super().render_rays(origins, directions)

    start = disturbed(poses)
    rules = RULES | {"steps": 10}
    found = refine(Torn(), start, CAMERA, images, columns="all", **rules)
    np.testing.assert_array_equal(found[1], start[1])
    np.testing.assert_array_equal(found[0], refine(Ball(), start, CAMERA, images, columns="all", **rules)[0])


def test_targets_of_another_size_are_refused_in_a_sentence(truth):
    poses, images = truth
    with pytest.raises(ValueError, match="3 poses and a camera of 48x36 px"):
        refine(Ball(), poses, CAMERA, images[:, 1:], columns="all", **RULES)


def test_small_twists_are_rotations_about_the_camera():
    twist = torch.tensor([[0.0, 0.0, np.pi / 2, 0.0, 0.0, 0.5]], dtype=torch.float64)
    expected = np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 2.0], [0, 0, 0, 1]])
    np.testing.assert_allclose(homogeneous(exp_se3(twist, 4.0))[0].numpy(), expected, atol=1e-12)
