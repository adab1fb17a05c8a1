"""The published preset against numbers that the authors' code gave (MQ66/gnerf @ a008c63, float64).

Networks are filled by a formula, so that no weights are stored; `gnerf_golden.json` holds what they then give. Theirs
are OpenGL axes and image coordinates whose corners are pixels, and their rays are half a pixel beside those: `axes`,
`seen` and `aimed` translate.
"""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from bench.task import Camera, Capture, PosePrior
from methods.gnerf.adversarial import pull_loss
from methods.gnerf.config import GnerfConfig
from methods.gnerf.discriminator import Discriminator, discriminator_loss, generator_loss
from methods.gnerf.generator import NetworkGenerator, published_bounds
from methods.gnerf.inversion import Vit
from methods.gnerf.model import Model
from methods.gnerf.patches import Patches, cut
from methods.gnerf.poses import Family
from methods.gnerf.published import Published
from methods.gnerf.schedule import Iteration
from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.cameras.rays import view_rays
from methods.nerf.config import FieldConfig
from methods.nerf.images.posed_images import Batch
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.rendering.encoding import frequencies

GOLDEN = json.loads(Path(__file__).with_name("gnerf_golden.json").read_text())
PRIOR = PosePrior()  # Blender's
CODE = GnerfConfig(preset="published").mlp.radiance.model_copy(update={"direction_frequencies": 10})
SMALL = CODE.model_copy(update={"width": 64, "samples": 16, "fine_samples": 16})
SIDE = 24  # px, of the images of one iteration

FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))  # OpenGL camera axes <-> OpenCV's


def golden(*path):
    value = GOLDEN
    for part in path:
        value = value[part]
    return torch.tensor(value, dtype=torch.float64)


def close(found, *path, rel=1e-4):
    """To 1e-4 relative; what is near zero, to 1e-4 of the largest."""
    wanted = golden(*path)
    found = torch.as_tensor(found).detach().double().reshape(wanted.shape)
    assert torch.allclose(found, wanted, rtol=rel, atol=rel * float(wanted.abs().max())), (found, wanted)


# Filling


def noise(p: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Numbers in [-1, 1) that depend on `p` and on their place alone."""
    index = np.arange(int(np.prod(shape)), dtype=np.uint64)
    x = (index * 747796405 + p * 2891336453 + 12345).astype(np.uint32)
    for _ in range(2):
        x = (x ^ (x >> np.uint32(16))) * np.uint32(0x45D9F3B)
    x ^= x >> np.uint32(16)
    return torch.from_numpy(2 * x.astype(np.float64) / 2**32 - 1).reshape(shape)


def weight(p: int, shape: tuple[int, ...], gain: float = 1.0) -> torch.Tensor:
    return gain * (3 / np.prod(shape[1:])) ** 0.5 * noise(p, shape)


@torch.no_grad()
def fill(layer: nn.Module, p: int, gain: float = 1.0) -> None:
    """Weights, and biases by the next `p`."""
    layer.weight.copy_(weight(p, tuple(layer.weight.shape), gain))
    if layer.bias is not None:
        layer.bias.copy_(0.1 * noise(p + 1, tuple(layer.bias.shape)))


@torch.no_grad()
def fill_norm(layer: nn.LayerNorm, p: int) -> None:
    layer.weight.copy_(1 + 0.1 * noise(p, tuple(layer.weight.shape)))
    layer.bias.copy_(0.1 * noise(p + 1, tuple(layer.bias.shape)))


def order(count: int) -> torch.Tensor:
    """Where each of our encoded numbers is among theirs: ours are all sines first, theirs go frequency by frequency."""
    sines = [3 + 6 * k + axis for k in range(count) for axis in range(3)]
    return torch.tensor([0, 1, 2, *sines, *(place + 3 for place in sines)])


@torch.no_grad()
def fill_radiance(network: nn.Module) -> None:
    config = network.config
    position, view = order(config.position_frequencies), order(config.direction_frequencies)
    for k, layer in enumerate(network.trunk):
        fill(layer, 2 * k, 2**0.5)
        if k in (0, 4):
            layer.weight[:, : len(position)] = layer.weight[:, position].clone()
    fill(network.feature, 16)
    fill(network.density, 18, 2.0)
    network.density.bias.fill_(-0.7)
    fill(network.view, 20, 2**0.5)
    network.view.weight[:, -len(view) :] = network.view.weight[:, config.width + view].clone()
    fill(network.colour, 22, 2.0)


@torch.no_grad()
def fill_discriminator(network: Discriminator) -> Discriminator:
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    for k, layer in enumerate(layers):
        layer.weight_orig.copy_(weight(100 + k, tuple(layer.weight_orig.shape)))
        layer.weight_u.copy_(nn.functional.normalize(noise(110 + k, tuple(layer.weight_u.shape)), dim=0))
    return network


@torch.no_grad()
def fill_inversion(network: Vit) -> Vit:
    network.question.copy_(0.5 * noise(200, (256,)))
    network.place.copy_(0.5 * noise(201, (257, 256)))
    fill(network.embed, 202)
    for k, block in enumerate(network.layers):
        p = 210 + 20 * k
        fill_norm(block.norm, p)
        fill(block.queries, p + 2)
        fill(block.gather, p + 3)
        fill_norm(block.think[0], p + 5)
        fill(block.think[1], p + 7)
        fill(block.think[3], p + 9)
    fill_norm(network.tell[0], 400)
    fill(network.tell[1], 402)
    return network


def image(kind: int, count: int, side: int) -> torch.Tensor:
    """(count, 3, side, side) in about [-0.9, 0.9]."""
    b, c, y, x = np.meshgrid(np.arange(count), np.arange(3), np.arange(side), np.arange(side), indexing="ij")
    waves = np.sin(9 * (x + 0.5) / side * (1 + 0.3 * c) + 5 * (y + 0.5) / side * (1 - 0.2 * c) + 1.7 * b + 0.4 * kind)
    return torch.from_numpy(0.6 * waves) + 0.3 * noise(500 + kind, (count, 3, side, side))


def test_the_filling_is_the_recorded_one():
    """Of weights and images: else nothing below means anything."""
    for name, wanted in GOLDEN["images"].items():
        kind, count, side = (int(part) for part in name.removeprefix("image(").removesuffix(")").split(","))
        assert image(kind, count, side)[0, 0, 0, :4].tolist() == pytest.approx(wanted, rel=1e-8)
    first = weight(0, (360, 63), 2**0.5).flatten()[:3]
    assert first.tolist() == pytest.approx(GOLDEN["layers"]["radiance"]["trunk1.weight"], rel=1e-8)
    first = weight(100, (256, 3, 4, 4)).flatten()[:3]
    assert first.tolist() == pytest.approx(GOLDEN["layers"]["discriminator"]["conv1"], rel=1e-8)


# Frames


def axes(poses: torch.Tensor) -> torch.Tensor:
    """Their `camera-to-world` (N, 3, 4) as ours (N, 4, 4)."""
    ours = torch.eye(4, dtype=torch.float64).repeat(len(poses), 1, 1)
    ours[:, :3, :3] = poses[:, :, :3] @ FLIP
    ours[:, :3, 3] = poses[:, :, 3]
    return ours


def seen(coordinates: torch.Tensor) -> torch.Tensor:
    """Where in the image they look: their [-1, 1] are the centres of the corner pixels, ours the borders."""
    return coordinates * (SIDE - 1) / SIDE


def aimed(coordinates: torch.Tensor) -> torch.Tensor:
    """Where they aim rays at: half a pixel beside."""
    return seen(coordinates) - 1 / SIDE


def grid(side: int) -> torch.Tensor:
    line = torch.linspace(-1, 1, side, dtype=torch.float64)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y], dim=-1)


# The networks


def radiance(config: FieldConfig) -> NetworkGenerator:
    """The radiance field (GNeRF sec. 3.2), filled."""
    bounds = published_bounds(PRIOR, Family.of(PRIOR, "position"))
    preset = Published(radiance=config)
    generator = NetworkGenerator(bounds, torch.ones(3), preset, "quick", torch.Generator().manual_seed(0))
    generator.field.double()
    fill_radiance(generator.field.coarse)
    return generator


def test_encodings():
    found = frequencies(golden("encoding", "points"), 10, lowest=1.0)
    theirs = torch.empty_like(found)
    theirs[:, order(10)] = found
    close(theirs, "encoding", "enc10_points", rel=1e-9)


@pytest.mark.parametrize(("frequencies", "kind"), [(10, ""), (4, "alt_dir4_")])
def test_density_and_colour(frequencies, kind):
    field = radiance(CODE.model_copy(update={"direction_frequencies": frequencies})).field
    assert sum(part.numel() for part in field.parameters()) == GOLDEN["radiance"][f"param_count_dir{frequencies}"]
    lift = torch.full((5, 1), 1000.0, dtype=torch.float64)  # through the rectifier
    density, colour = field.coarse(golden("radiance", "points")[:, None], golden("radiance", "directions"), lift)
    close(density - 1000, "radiance", f"{kind}density_raw", rel=1e-8)
    close(colour, "radiance", f"{kind}rgb", rel=1e-8)


def test_rendering_coarse_and_fine():
    field = radiance(CODE).field
    shades = field.both(golden("rendering", "origins"), golden("rendering", "directions"))
    for name, shade in zip(("coarse", "fine"), shades, strict=True):
        close(shade.over(field.background), "rendering", f"{name}_rgb", rel=1e-6)
        close(shade.opacity, "rendering", f"{name}_opacity", rel=1e-6)
        close(shade.depth * shade.opacity, "rendering", f"{name}_depth", rel=1e-6)


def test_coarse_samples_never_move_and_the_ray_ends_at_far():
    field = radiance(SMALL).field
    directions = golden("rendering", "directions")
    still, moving = (field._first(directions, rng) for rng in (None, torch.Generator().manual_seed(0)))
    assert torch.equal(still, moving)
    assert (still[:, 0] == 2).all() and (still[:, -1] == 6).all()


def judged(network, real, real_scale, fake, fake_scale) -> list[float]:
    """The discriminator's loss without and with the penalty, at its next passes; it is left as it was."""
    before, losses = copy.deepcopy(network.state_dict()), []
    for r1 in (0.0, 10.0):
        losses.append(discriminator_loss(network, real, real_scale, fake, fake_scale, r1, lambda part: part).item())
        network.load_state_dict(before)
    return losses


def test_discriminator_and_penalty():
    network = fill_discriminator(Discriminator(3, (256, 512, 64), torch.Generator()).double())
    assert sum(part.numel() for part in network.parameters()) == GOLDEN["discriminator"]["param_count"]
    patches, scale = image(0, 2, 16), golden("discriminator", "scales")[:, None]

    for turn in ("train_1st_forward", "train_2nd_forward"):
        terms = judged(network, patches, scale, patches, scale)
        close(terms[1] - terms[0], "discriminator", turn, "R1_times_10", rel=1e-6)
        close(network(patches, scale), "discriminator", turn, "logits", rel=1e-6)
    with torch.no_grad():  # where the power iterations end
        for layer in (layer for layer in network.modules() if isinstance(layer, nn.Conv2d)):
            u, _, v = torch.linalg.svd(layer.weight_orig.flatten(1), full_matrices=False)
            layer.weight_u.copy_(u[:, 0])
            layer.weight_v.copy_(v[0])
    network.eval()
    close(network(patches, scale), "discriminator", "eval_converged", "logits")


@pytest.mark.parametrize(("outputs", "kind"), [(3, "3d"), (9, "6d")])
def test_inversion_network(outputs, kind):
    network = fill_inversion(Vit(3, 64, outputs, torch.Generator().manual_seed(0)).double())
    assert sum(part.numel() for part in network.parameters()) == GOLDEN["inversion"][f"param_count_{kind}"]
    close(network(image(1, 1, 64)), "inversion", f"output_{kind}", rel=1e-6)


# Poses and schedule


@pytest.mark.parametrize(("embedding", "pose"), [("embed_3d", "pose_3d"), ("near_pole_3d", "pose_near_pole_3d")])
def test_a_position_is_a_pose(embedding, pose):
    found = Family.of(PRIOR, "position").decode(golden("poses", embedding))
    assert torch.allclose(found, axes(golden("poses", pose)), atol=1e-8)


def test_a_position_and_six_numbers_are_a_pose():
    """The six are the first two rows of the rotation: in our axes their y and z have the other sign."""
    signs = torch.cat([torch.ones(3, dtype=torch.float64), FLIP.diagonal(), FLIP.diagonal()])
    family = Family.of(PosePrior(family="full"), "position+6d")
    found = family.decode(golden("poses", "embed_6d") * signs)
    assert torch.allclose(found, axes(golden("poses", "pose_6d")), atol=1e-8)
    close(family.encode(found) * signs, "poses", "pose_to_d9_of_pose_6d", rel=1e-8)


def test_variables_are_in_the_published_scene_units():
    """Of a scene whose cameras are 1 from the object, 1 is a quarter."""
    family = Family.of(PosePrior(radius=(1.0, 1.0)), "position")
    assert family.decode(torch.tensor([[4.0, 0.0, 0.0]]))[0, :3, 3].tolist() == pytest.approx([1, 0, 0])


@pytest.mark.parametrize("row", GOLDEN["schedule"], ids=lambda row: str(row["iteration"]))
def test_schedule(row):
    """Theirs counts iteration 12,000 to A and 20,000 to AB; nothing but the losses depends on it."""
    config, number = GnerfConfig(preset="published"), row["iteration"]
    phase, before = ("A", 0) if number < 12_000 else ("AB", 12_000) if number < 20_000 else ("B", 20_000)
    preset = config.mlp
    at = Iteration(preset=preset, plan=config.plan("full"), phase=phase, index=number - before, before=before)
    assert at.number == number
    assert at.side(400) == row["side"]
    assert at.smallest_scale(400) == pytest.approx(row["least_scale"])
    assert at.noise == pytest.approx(row["noise"], abs=1e-9)
    assert at.halved(preset.field_lr, preset.field_halving) == pytest.approx(row["lr"]["generator"])
    assert at.halved(preset.discriminator_lr, preset.field_halving) == pytest.approx(row["lr"]["discriminator"])
    assert at.halved(preset.inversion_lr, preset.pose_halving) == pytest.approx(row["lr"]["inversion"])
    assert preset.pose_rate(number, at.fine) == pytest.approx(row["lr"]["poses_train"])


# One iteration, at reduced width: every loss and every norm of a gradient


FOCAL = 12 / np.tan(0.6911112070083618 / 2)  # px: the angle of NeRF-Synthetic
INTRINSICS = Intrinsics(Camera(width=SIDE, height=SIDE, fx=FOCAL, fy=FOCAL, cx=12.0, cy=12.0), free=False)


def norm(module: nn.Module) -> torch.Tensor:
    return torch.stack([part.grad.square().sum() for part in module.parameters() if part.grad is not None]).sum().sqrt()


def lattices(who: str) -> Patches:
    """Their patches of 16 x 16 points, corner to corner."""
    u = golden("inputs", f"u_{who}")
    smallest = np.exp(-2e-4 * 5000)
    scale = smallest + (1 - smallest) * u[0]
    close(scale, "iteration", f"scales_{who}", rel=1e-8)
    shift = (2 * u[1:].T - 1) * (1 - scale)[:, None]
    return Patches(points=grid(16) * scale[:, None, None, None] + shift[:, None, None], scale=scale[:, None])


@pytest.fixture
def parts():
    """Generator, discriminator, the patches that the generator makes, and the real ones."""
    generator = radiance(SMALL)
    network = fill_discriminator(Discriminator(3, (64, 128, 16), torch.Generator()).double())
    asked, shown = lattices("fake"), lattices("real")
    poses = axes(golden("inputs", "generated_poses"))
    fake = generator.patches(INTRINSICS, poses, aimed(asked.points), None)
    real = cut(image(2, 2, SIDE), Patches(points=seen(shown.points), scale=shown.scale))
    return generator, network, fake, asked.scale.repeat(2, 1), real, shown.scale


def test_generator_step(parts):
    generator, network, fake, scale, _, _ = parts
    assert len(fake) == 4  # two patches, coarse and fine
    before = copy.deepcopy(network.state_dict())
    close(network(fake, scale), "iteration", "A_generator", "logits_coarse2_fine2")
    network.load_state_dict(before)
    close(fake[:2].mean(dim=(1, 2, 3)), "iteration", "A_generator", "rgb_coarse_mean")
    close(fake[2:].mean(dim=(1, 2, 3)), "iteration", "A_generator", "rgb_fine_mean")
    loss = generator_loss(network, fake, scale)
    loss.backward()
    close(loss, "iteration", "A_generator", "loss")
    close(norm(generator.field), "iteration", "A_generator", "grad_generator")


def test_discriminator_step(parts):
    _, network, fake, scale, real, real_scale = parts
    close(real[0, 1, 2], "iteration", "patch_real_img0_ch1_row2", rel=1e-8)
    terms = judged(network, real, real_scale, fake, scale)
    close(terms[0], "iteration", "A_discriminator", "loss_real_plus_fake")
    close(terms[1] - terms[0], "iteration", "A_discriminator", "regulariser_R1_times_10")
    discriminator_loss(network, real, real_scale, fake, scale, 10.0, lambda part: part).backward()
    close(norm(network), "iteration", "A_discriminator", "grad_discriminator_total")


def test_inversion_step():
    generator = radiance(SMALL)
    network = fill_inversion(Vit(3, 64, 3, torch.Generator().manual_seed(0)).double())
    poses = axes(golden("inputs", "generated_poses"))
    with torch.no_grad():
        pictures = generator.patches(INTRINSICS, poses, aimed(grid(64)).expand(2, -1, -1, -1), None)
    known = Family.of(PRIOR, "position").encode(poses)
    close(known, "iteration", "A_inversion", "target", rel=1e-8)
    answers = network(pictures)
    close(answers, "iteration", "A_inversion", "output_coarse2_fine2")
    loss = nn.functional.mse_loss(answers, known.repeat(2, 1))
    loss.backward()
    close(loss, "iteration", "A_inversion", "loss")
    close(norm(network), "iteration", "A_inversion", "grad_inversion_net")


@pytest.fixture
def model():
    """Three images whose poses are the recorded embeddings."""
    images = {f"v{k:03d}": np.zeros((SIDE, SIDE, 3), np.uint8) for k in range(3)}
    capture = Capture(images=images, camera=INTRINSICS.camera, prior=PRIOR, background=(1.0, 1.0, 1.0))
    pyramid = ImagePyramid.of(capture, masked=False, device=torch.device("cpu"))
    model = Model(capture, pyramid, GnerfConfig(preset="published", mlp=Published(radiance=SMALL)), "quick", 0)
    model.inversion = fill_inversion(model.inversion.double())
    model.generator.field.double()
    fill_radiance(model.generator.field.coarse)
    model.variables = nn.Parameter(golden("inputs", "train_embeddings"))
    return model


def test_pull_of_the_poses(model):
    """On the images of the batch in its order, 1 and 0 of the embeddings."""
    views = torch.tensor(GOLDEN["inputs"]["batch_indices"])
    # Theirs are enlarged corner to corner, as their renders are; ours at pixel centres, as ours are.
    images = functional.interpolate(image(2, 2, SIDE), (64, 64), mode="bilinear", align_corners=True)
    loss = model.preset.pull * pull_loss(model, views, images)
    loss.backward()
    close(loss, "iteration", "A_pose_training", "loss_weighted")
    close(model.variables.grad, "iteration", "A_pose_training", "grad_pose_embeddings")
    assert all(part.grad is None for part in model.inversion.parameters())


def test_embeddings_start_where_theirs_do_and_are_pulled_from_there():
    family = Family.of(PRIOR, "position")
    images = {f"v{k:03d}": np.zeros((SIDE, SIDE, 3), np.uint8) for k in range(3)}
    capture = Capture(images=images, camera=INTRINSICS.camera, prior=PRIOR, background=(1.0, 1.0, 1.0))
    pyramid = ImagePyramid.of(capture, masked=False, device=torch.device("cpu"))
    fresh = Model(capture, pyramid, GnerfConfig(preset="published"), "smoke", 0)
    assert fresh.family == family
    assert fresh.variables.tolist() == [[0.0, 0.0, 1.0]] * 3


def test_refinement_step(model):
    views = torch.tensor(GOLDEN["inputs"]["batch_indices"])
    shown = lattices("real")
    real = cut(image(2, 2, SIDE), Patches(points=seen(shown.points), scale=shown.scale))
    points = aimed(shown.points).flatten(1, 2)
    origins, directions = view_rays(INTRINSICS, model.poses()[views], points)
    colours = (real.flatten(2).transpose(1, 2).reshape(-1, 3) + 1) / 2
    error = model.generator.learn(Batch(origins=origins, directions=directions, colours=colours), None, 0.0)
    close(4 * model.preset.photometric * error, "iteration", "AB_B_refine_training", "loss_weighted")
    close(norm(model.generator.field), "iteration", "AB_B_refine_training", "grad_generator")
    close(model.variables.grad, "iteration", "AB_B_refine_training", "grad_pose_embeddings")
