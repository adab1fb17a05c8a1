"""Training: it learns, it repeats, it goes on after a kill, and what cannot be trained from is refused."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.task import Camera, Capture, Job, PosePrior, ViewId, look_at
from methods.nerf.backends import torch_reference
from methods.nerf.cameras.rays import image_pixels, pixel_rays
from methods.nerf.cameras.rig import faces_one_way
from methods.nerf.config import Budget, FieldConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.grid import GridField
from methods.nerf.field.near_cameras import alone_before_cameras
from methods.nerf.method import Nerf, NerfConfig
from methods.nerf.train import train
from methods.nerf.training import checkpointing

SIDE = 24
CAMERA = Camera(width=SIDE, height=SIDE, fx=33.0, fy=33.0, cx=12.0, cy=12.0)
POSES = {ViewId(f"v{i:03d}"): pose for i, pose in enumerate(PosePrior().sample(np.random.default_rng(0), 40))}
SMALL = {"grid_smoke": Budget(steps=120, rays=512, side=24), "occupancy_every": 20}


@pytest.fixture(scope="module")
def images() -> dict[ViewId, np.ndarray]:
    """A ball of two colours on white, as the reference renders it."""
    field = GridField.empty(Bounds.from_prior(PosePrior()), torch.ones(3), FieldConfig(), 32)
    axis = torch.linspace(-1, 1, 32)
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    with torch.no_grad():
        field.density.copy_(60 * (0.4 - (x * x + y * y + z * z).sqrt()))
        field.colour[..., 0] = torch.where(z > 0, 3.0, -3.0)
        field.colour[..., 4] = torch.where(x > 0, 2.0, -2.0)
    rgb = field.render(np.stack(list(POSES.values())), CAMERA).rgb
    return {view: (255 * image + 0.5).astype(np.uint8) for view, image in zip(POSES, rgb, strict=True)}


def a_job(folder, log: list | None = None, **changes) -> Job:
    job = Job(
        seed=3,
        workdir=folder,
        threads=2,
        effort="smoke",
        sink=lambda *row: (log if log is not None else []).append(row),
    )
    return replace(job, **changes)


def fit(images, job, *, contract=False, **choices):
    config = FieldConfig(**{**SMALL, **choices})
    bounds = Bounds.from_prior(PosePrior(), contract=contract, camera=CAMERA)
    return train(images, POSES, CAMERA, bounds, None if contract else (1.0, 1.0, 1.0), config, job)


def heldout_psnr(field, images) -> float:
    views = list(POSES)[:5]
    rgb = field.render(np.stack([POSES[view] for view in views]), CAMERA).rgb
    return checkpointing.psnr(float(np.mean((rgb - np.stack([images[view] for view in views]) / 255) ** 2)))


@pytest.mark.parametrize(("backend", "steps"), [("numba", 120), ("torch", 25)])
def test_a_grid_learns_views_that_it_was_not_shown(backend, steps, images, tmp_path):
    log: list = []
    shown = dict(list(images.items())[5:])
    field = fit(shown, a_job(tmp_path, log), backend=backend, steps=steps)
    # the mean colour of these images alone scores 9.6 dB
    assert heldout_psnr(field, images) > 18
    curves = [values for _, values, _ in log if "loss" in values]
    assert {"loss", "psnr", "seconds", "resolution"} <= curves[-1].keys()
    assert any("preview" in pictures for *_, pictures in log)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_silhouettes_train_a_field_of_one_channel(images, tmp_path):
    masks = {view: (255 * (image.min(axis=2, keepdims=True) < 250)).astype(np.uint8) for view, image in images.items()}
    config = FieldConfig(**SMALL, steps=40)
    field = train(masks, POSES, CAMERA, Bounds.from_prior(PosePrior()), (0.0, 0.0, 0.0), config, a_job(tmp_path))
    rgb = field.render(POSES[ViewId("v000")][None], CAMERA).rgb[0]
    assert rgb.shape == (SIDE, SIDE, 1)
    found, true = rgb > 0.5, masks[ViewId("v000")] > 127
    assert (found & true).sum() / (found | true).sum() > 0.8


def test_two_fits_with_one_seed_are_equal_and_another_seed_differs(images, tmp_path):
    fields = [fit(images, a_job(tmp_path / name, seed=seed), steps=30) for name, seed in (("a", 3), ("b", 3), ("c", 4))]
    assert torch.equal(fields[0].colour, fields[1].colour)
    assert fields[0].colour.shape != fields[2].colour.shape or not torch.equal(fields[0].colour, fields[2].colour)


def test_before_a_real_background_nothing_stands_alone_before_a_camera(images, tmp_path):
    shown = dict(list(images.items())[5:])
    field = fit(shown, a_job(tmp_path), contract=True)
    assert field.bounds.shell == 0.5  # the cube holds all that the images show of it
    assert heldout_psnr(field, images) > 18
    poses = torch.from_numpy(np.stack([POSES[view] for view in shown])).float()
    barred = alone_before_cameras(field, poses, CAMERA, 0.2)
    assert barred.any() and (field.clearance[barred] > 0).all()


@pytest.mark.parametrize(
    ("asked", "shell", "is_barred"), [({"shell_open": 0.8}, 0.8, True), ({"seen_by_open": 0.0}, 0.5, False)]
)
def test_the_shell_and_who_must_see_what_is_near_can_be_chosen(images, tmp_path, asked, shell, is_barred):
    field = fit(images, a_job(tmp_path), contract=True, steps=8, **asked)
    poses = torch.from_numpy(np.stack(list(POSES.values()))).float()
    barred = alone_before_cameras(field, poses, CAMERA, 0.2)
    assert field.bounds.shell == shell
    assert (field.clearance[barred] > 0).all() == is_barred


def test_before_a_real_background_what_a_ray_sees_is_in_one_place(images, tmp_path):
    spreads = {}
    for weight in (0.0, 0.01):
        field = fit(images, a_job(tmp_path / str(weight)), contract=True, distortion_open=weight)
        poses = torch.from_numpy(np.stack(list(POSES.values()))).float()[::4]
        pixels = image_pixels(CAMERA).repeat(len(poses), 1)
        origins, directions = pixel_rays(pixels, CAMERA, poses.repeat_interleave(SIDE * SIDE, dim=0))
        rays = field.ray_batch(origins, directions, torch.full((len(origins),), 0.5))
        _, distances, weights = torch_reference.marched(field.view(), rays)
        spreads[weight] = float(torch_reference.spread_of(field.view(), distances, weights).mean())
        assert heldout_psnr(field, images) > 18
    assert spreads[0.01] < 0.7 * spreads[0.0]


@pytest.mark.parametrize(("cone", "facing"), [(10, True), (50, False)])
def test_a_rig_that_faces_one_way_is_trained_without(tmp_path, cone, facing):
    angles = np.radians(np.linspace(-cone, cone, 12))
    centres = 4 * np.stack([np.sin(angles), -np.cos(angles), np.full(12, 0.1)], axis=1)
    found = look_at(centres, np.zeros(3), np.array([0.0, 0.0, 1.0]))
    poses = {ViewId(f"v{n:03d}"): pose for n, pose in enumerate(found)}
    rng = np.random.default_rng(0)
    images = {view: rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for view in poses}
    bounds = Bounds.from_prior(PosePrior(), contract=True, camera=CAMERA)
    assert faces_one_way(torch.from_numpy(found)) == facing
    fields = [
        train(
            images,
            poses,
            CAMERA,
            bounds,
            None,
            FieldConfig(**SMALL, steps=20, distortion_open=w),
            a_job(tmp_path / str(w)),
        )
        for w in (0.0, 1.0)
    ]
    assert torch.equal(fields[0].density, fields[1].density) == facing


def test_before_a_known_background_it_may_be_anywhere(images, tmp_path):
    """Glass and hair are there too; what is not in one place by mistake shows against the background."""
    fields = [fit(images, a_job(tmp_path / str(w)), steps=20, distortion_open=w) for w in (0.0, 1.0)]
    assert torch.equal(fields[0].density, fields[1].density)


class KilledError(Exception):
    pass


@pytest.mark.parametrize("contract", [False, True])
def test_a_killed_fit_goes_on_to_the_same_field(images, tmp_path, monkeypatch, contract):
    monkeypatch.setattr(checkpointing, "LOG_SECONDS", 0.0)
    asked = {"contract": contract, "steps": 40, "occupancy_every": 2}
    whole = fit(images, a_job(tmp_path / "whole"), **asked)
    monkeypatch.setattr(checkpointing, "CHECKPOINT_SECONDS", 0.0)

    def kill(step, values, pictures):
        if step == 25:
            raise KilledError

    with pytest.raises(KilledError):
        fit(images, a_job(tmp_path / "broken", sink=kill), **asked)
    log: list = []
    again = fit(images, a_job(tmp_path / "broken", log), **asked)
    assert 1 < log[0][0] <= 25  # a checkpoint was used
    assert torch.equal(again.colour, whole.colour) and torch.equal(again.density, whole.density)
    assert torch.equal(again.clearance, whole.clearance)


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign"])
def test_a_checkpoint_that_is_not_what_was_written_is_named_and_done_without(tmp_path, caplog, damage):
    kept = checkpointing.Checkpoints(a_job(tmp_path), "grid", {"steps": 3})
    kept.save(7, {"side": 3}, {"a": torch.arange(3000.0), "n": torch.tensor(4), "e": torch.zeros(0, 3)})
    state, tensors = checkpointing.Checkpoints(a_job(tmp_path), "grid", {"steps": 3}).resume()
    assert (state["step"], state["side"], tensors["a"][9], tensors["n"]) == (7, 3, 9.0, 4)
    data = kept.path.read_bytes()
    spoilt = data[:-4000] + bytes(255 - byte for byte in data[-4000:])
    kept.path.write_bytes({"cut": data[:-4000], "flipped": spoilt, "foreign": b"[" * 4000}[damage])
    assert checkpointing.Checkpoints(a_job(tmp_path), "grid", {"steps": 3}).resume() is None
    assert "checkpoint grid.safetensors: " in caplog.text and "the fit begins anew" in caplog.text


def test_the_published_network_runs_its_whole_path_at_smoke(images, tmp_path):
    capture = Capture(images=images, camera=CAMERA, prior=PosePrior(), start=POSES, background=(1.0, 1.0, 1.0))
    method = Nerf(NerfConfig(field="mlp"))
    answer = method.fit(capture, a_job(tmp_path))
    method.save(answer, tmp_path / "fit")
    field = method.load(tmp_path / "fit", "cpu")
    assert field is not None and answer.poses.keys() == POSES.keys()
    assert np.isfinite(field.render(POSES[ViewId("v000")][None], CAMERA).rgb).all()


def test_images_without_poses_cannot_be_trained_from(images, tmp_path):
    bounds = Bounds.from_prior(PosePrior())
    with pytest.raises(ValueError, match="none of the 40 images has a pose"):
        train(images, {}, CAMERA, bounds, (1.0, 1.0, 1.0), FieldConfig(), a_job(tmp_path))


def test_listing_the_method_imports_neither_torch_nor_numba():
    code = (
        "import sys, methods.nerf.method as m; m.Nerf(m.Nerf.Config()).traits; "
        "sys.exit(sorted({'torch', 'numba', 'scipy'} & sys.modules.keys()) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("choices", [{"steps": 60}, {"field": "mlp", "steps": 12}])
def test_pictures_on_the_way_change_no_bit_of_the_field(choices, images, tmp_path, monkeypatch):
    fields, logs = [], []
    for seconds in (1e9, 0.0):
        monkeypatch.setattr(checkpointing, "PREVIEW_SECONDS", seconds)
        folder, log = tmp_path / str(seconds), []
        fields.append(fit(images, a_job(folder, log), **choices))
        logs.append([step for step, _, shown in log if shown])
    assert logs[0] == [choices["steps"]] and len(logs[1]) > 1
    one, other = (field.state_dict() for field in fields)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_training_tells_each_of_its_steps(images, tmp_path):
    told = []
    fit(images, a_job(tmp_path, place=lambda *where: told.append(where)), steps=30)
    assert told == [("field", step, 30) for step in range(30)]
