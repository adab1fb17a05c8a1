"""Plain backgrounds are found where there are some, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_datasets_unposed import photographs

from bench.scene import Scene
from datasets.background import PLAIN_FROM, backdrop_of, spoken
from datasets.folder import open_folder
from datasets.procedural import EmbeddedScene
from datasets.verify import verify


def before(scene: Scene, colour: tuple[float, float, float], shading: float = 0.0, noise: float = 2.0) -> np.ndarray:
    """Views of an embedded scene (N, H, W, 3) before a backdrop of this colour, shaded across by this many grey levels,
    as a camera with noise has them."""
    views = list(scene.capture.images)[:20]
    images = np.stack([scene.capture.images[view] for view in views]).astype(np.float32)
    cover = np.stack([scene.capture.masks[view] for view in views])[..., None] / 255
    across = np.linspace(-shading, shading, images.shape[2])[:, None]
    behind = 255 * np.array(colour) + across
    mixed = images - 255 * (1 - cover) + (1 - cover) * behind  # the white that they were rendered on, replaced
    return np.clip(mixed + np.random.default_rng(0).normal(0, noise, mixed.shape), 0, 255)


@pytest.mark.parametrize("name", ["blocks", "blocks-plain", "blocks-repeat"])
@pytest.mark.parametrize("colour", [(0, 0, 0), (0.93, 0.93, 0.9), (0.1, 0.7, 0.2)])
def test_an_object_before_a_shaded_backdrop_has_a_plain_background_of_its_colour(name, colour):
    found = backdrop_of(before(EmbeddedScene(name=name).load(64), colour, shading=8))
    assert found.plain and found.confidence > 0.9
    assert found.colour == pytest.approx(colour, abs=0.02)
    assert "background: plain" in str(found.note)


def test_a_sky_above_and_a_floor_below_are_no_plain_background(blocks):
    for share in (0.4, 0.6):
        images = before(blocks, (0.5, 0.7, 0.95))
        rows = int(share * images.shape[1])
        images[:, rows:] = np.random.default_rng(1).integers(0, 256, images[:, rows:].shape)
        assert not backdrop_of(images).plain


@pytest.mark.parametrize("bars", [(0, 20), (8, 0), (6, 9)])
def test_bars_around_a_picture_are_no_background(blocks, bars):
    images = np.random.default_rng(1).integers(0, 256, before(blocks, (0, 0, 0)).shape).astype(np.float32)
    down, across = bars
    images[:, :down], images[:, images.shape[1] - down :] = 0, 0
    images[:, :, :across], images[:, :, images.shape[2] - across :] = 0, 0
    assert not backdrop_of(images).plain


def textured(count: int = 12, height: int = 96, width: int = 128) -> np.ndarray:
    return np.random.default_rng(1).integers(30, 256, (count, height, width, 3)).astype(np.float32)


@pytest.mark.parametrize("radius", [40, 48])
def test_the_circle_of_a_fisheye_lens_is_a_picture_and_what_is_around_it_no_background(radius):
    images = textured()
    v, u = np.mgrid[:96, :128]
    images[:, np.hypot(v - 47.5, u - 63.5) > radius] = 0  # up to all of the border is black
    assert not backdrop_of(images).plain


def test_a_ball_is_an_object():
    images = np.zeros((12, 96, 128, 3), np.float32)
    v, u = np.mgrid[:96, :128]
    images[:, np.hypot(v - 47.5, u - 63.5) < 30] = 120
    assert backdrop_of(images).plain


@pytest.mark.parametrize("lying", [False, True])
def test_a_clock_in_the_bars_of_a_film_makes_no_background_of_them(lying):
    images = textured(height=128)
    images[:, :, :40], images[:, :, -40:] = 0, 0
    images[:, 5:12, 4:14] = 255
    assert not backdrop_of(images.transpose(0, 2, 1, 3) if lying else images).plain


@pytest.mark.parametrize("share", [0.04, 0.08, 0.12, 0.15])
def test_an_overcast_sky_over_a_strip_of_floor_is_no_plain_background(share):
    images, floor = np.full((12, 96, 128, 3), 200.0, np.float32), round(96 * (1 - share))
    images[:, floor:] = textured()[:, floor:]
    images[:, 30:floor, 40:80] = textured()[:, 30:floor, 40:80]  # a tower
    assert not backdrop_of(images).plain


def test_a_box_that_fills_its_view_is_still_an_object():
    images = np.zeros((12, 64, 64, 3), np.float32)
    for k, image in enumerate(images):  # a cube on a turntable: between one and 1.4 faces wide
        width = round(20 * (1 + 0.41 * abs(np.sin(k))))
        image[14:50, 32 - width : 32 + width] = 120
    assert backdrop_of(images).plain


def test_images_of_one_colour_have_no_object_and_so_no_background():
    assert backdrop_of(np.full((5, 20, 30, 3), 7.0)).confidence == 0


def on_disk(folder: Path, images: np.ndarray) -> Path:
    photographs(folder)  # EXIF, names; the pixels are replaced
    for k in range(9):
        Image.fromarray(images[k].round().astype(np.uint8)).save(folder / f"{k + 1}.jpg", quality=95)
    return folder


def test_a_found_background_is_told_decides_the_digest_and_can_be_overridden(tmp_path, blocks):
    source = open_folder(on_disk(tmp_path / "vase", before(blocks, (0, 0, 0))))
    scene = source.load(64)
    assert scene.capture.background == pytest.approx((0, 0, 0), abs=0.01)
    assert any("background: plain" in note for note in scene.notes)
    assert any("background: plain" in remark for remark in verify(source).remarks)
    (source.folder / "unposed.toml").write_text('background = "real"\n')
    real = open_folder(source.folder)
    assert real.load(64).capture.background is None and real.digest(64) != source.digest(64)
    assert not any("background" in note for note in real.notes)
    (source.folder / "unposed.toml").write_text("background = [0.0, 0.5, 0.0]\n")
    assert open_folder(source.folder).load(64).capture.background == (0.0, 0.5, 0.0)


def test_pixels_are_the_same_whatever_is_said_of_the_background(tmp_path, blocks):
    folder = on_disk(tmp_path / "vase", before(blocks, (0, 0, 0)))
    found = open_folder(folder).load(64)
    (folder / "unposed.toml").write_text('background = "real"\n')
    told = open_folder(folder).load(64)
    for view, image in found.capture.images.items():
        assert (told.capture.images[view] == image).all()
    assert (told.truth.heldout.images == found.truth.heldout.images).all()


@pytest.mark.parametrize(
    "name", ["nerf_llff_data/fern", "transforms/fox_480", "transforms/dtu_scan24_384", "dtu/scan24_monosdf"]
)
def test_a_real_background_is_never_taken_for_a_plain_one(data_root, name):
    source = open_folder(data_root / name)
    assert source.background is None
    assert source.backdrop is not None and source.backdrop.confidence < 0.2 < PLAIN_FROM


@pytest.mark.parametrize("name", ["middlebury/templeSparseRing", "middlebury/templeRing"])
def test_a_ring_before_black_cloth_has_a_plain_background_though_its_table_is_seen(data_root, name):
    assert open_folder(data_root / name).background == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("text", "meant"), [("black", (0, 0, 0)), ("0.2,1,.5", (0.2, 1, 0.5)), ("real", "real")])
def test_a_background_is_said_in_a_word_or_in_numbers(text, meant):
    assert spoken(text) == meant


@pytest.mark.parametrize("text", ["pink", "255,0,0", "1,1", "nan,0,0"])
def test_a_background_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="--background"):
        spoken(text)
