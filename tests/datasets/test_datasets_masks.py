"""Masks that frames name: nerfstudio's `mask_path`, white where a pixel counts."""

import numpy as np
import pytest
from PIL import Image
from written import edit

from bench.scene import SceneError
from datasets.folder import open_folder
from datasets.images.decode import MASK, decoded


def loaded(folder, side=400):
    return open_folder(folder).load(side)


def crossed_out(folder, scale=1, files=("transforms.json",)):
    """Masks for all frames of 40 x 30 px: the k-th crosses out k + 1 columns on the left, from row 10 to 20."""
    (folder / "crossed").mkdir()

    def name(raw):
        for frame in raw["frames"]:
            k = int(frame["file_path"].split("/")[-1].split(".")[0])
            mask = np.full((30, 40), 255, np.uint8)
            mask[10:20, : k + 1] = 0
            Image.fromarray(mask).resize((round(40 * scale), round(30 * scale)), 0).save(folder / f"crossed/{k}.png")
            frame["mask_path"] = f"./crossed/{k}"

    for file in files:
        edit(folder / file, name)


@pytest.mark.parametrize("scale", [1, 2, 5, 0.5])
def test_a_mask_path_is_the_mask_of_its_own_frame_at_any_scale(transforms_folder, scale):
    folder = transforms_folder(images=8)
    plain = loaded(folder)
    crossed_out(folder, scale)
    scene = loaded(folder)
    assert scene.capture.inputs == {"camera", "masks"} == open_folder(folder).inputs
    assert all((scene.capture.images[view] == image).all() for view, image in plain.capture.images.items())
    if scale == 1:  # the first is held out; its mask crosses out one column
        assert (scene.truth.heldout.masks[0][10:20, :1] == 0).all() and (scene.truth.heldout.masks[0] == 0).sum() == 10
    for place, view in enumerate(scene.truth.order, start=1):
        black = scene.capture.masks[view] < 128
        if scale >= 1:
            assert black.sum() == 10 * (place + 1) and black[10:20, : place + 1].all()
        else:
            assert abs(int(black.sum()) - 10 * (place + 1)) <= 10
    assert any("8 frames name a mask of the pixels that count (`mask_path`)" in note for note in scene.notes)


def test_a_mask_path_is_freed_of_the_lens_as_its_image_is(transforms_folder):
    """A mask that is its image, black and white, is so still when both have been undistorted and shrunk."""
    folder = transforms_folder(k1=-0.3)
    for k in range(9):
        cells = np.kron(np.random.default_rng(k).integers(0, 2, (3, 4)), np.ones((10, 10))).astype(np.uint8) * 255
        Image.fromarray(cells).convert("RGB").save(folder / f"images/{k:02d}.png")
        Image.fromarray(cells).save(folder / f"m{k}.png")
    edit(
        folder / "transforms.json",
        lambda raw: [frame.update(mask_path=f"m{k}.png") for k, frame in enumerate(raw["frames"])],
    )
    scene = loaded(folder, side=32)
    assert all((scene.capture.masks[view] == image[..., 0]).all() for view, image in scene.capture.images.items())


def test_files_that_were_split_keep_their_mask_paths_and_an_alpha_beside_them_counts_too(blender_folder):
    folder = blender_folder(size=40)
    alone = loaded(folder)
    files = ("transforms_train.json", "transforms_test.json")
    for file in files:
        edit(folder / file, lambda raw: [frame.update(mask_path="half.png") for frame in raw["frames"]])
    half = np.zeros((40, 40), np.uint8)
    half[:, 20:] = 255
    Image.fromarray(half).save(folder / "half.png")
    both = loaded(folder)
    for view, mask in alone.capture.masks.items():
        assert (both.capture.masks[view] == np.minimum(mask, half)).all()


def test_a_mask_path_that_is_missing_or_of_another_shape_is_refused_in_a_sentence(transforms_folder):
    folder = transforms_folder()
    crossed_out(folder)
    Image.new("L", (40, 40), 255).save(folder / "crossed/3.png")
    with pytest.raises(SceneError, match=r"^frame 3 .*3.png is 40x40 px, of another shape than its image of 40x30 px"):
        loaded(folder)
    (folder / "crossed/3.png").unlink()
    with pytest.raises(SceneError, match=r"the `mask_path` of frame 3 \(images/03.png\) names crossed/3, which is not"):
        loaded(folder)
    edit(folder / "transforms.json", lambda raw: raw["frames"][3].pop("mask_path"))
    with pytest.raises(SceneError, match=r"frame 3 \(images/03.png\) has no `mask_path` \(1 of 9"):
        loaded(folder)


HALF = np.tile(np.arange(40) >= 20, (30, 1))  # on, on the right


def palette(colours, indices):
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette([value for colour in colours for value in colour])
    return image


def with_alpha(colours, alpha):
    image = Image.fromarray(np.broadcast_to(np.asarray(colours, np.uint8), (30, 40, 3)).copy())
    image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return image


WRITTEN = {
    "0 and 1": Image.fromarray(HALF.astype(np.uint8)),
    "0 and 7": Image.fromarray(HALF.astype(np.uint8) * 7),
    "0 and 1 in 16 bits": Image.fromarray(HALF.astype(np.uint16)),
    "0 and 255 in 16 bits": Image.fromarray(HALF.astype(np.uint16) * 255),
    "0 and 65535": Image.fromarray(HALF.astype(np.uint16) * 65535),
    "bits": Image.fromarray(HALF),
    "a palette's second colour": palette([(0, 0, 0), (128, 0, 0)], HALF),
    "two objects": palette([(0, 0, 0), (128, 0, 0), (0, 128, 0)], HALF * (1 + (np.arange(40) >= 30))),
    "white first": palette([(255, 255, 255), (0, 0, 0)], ~HALF),
    "alpha behind white": with_alpha((255, 255, 255), HALF * 255),
    "alpha behind black": with_alpha((0, 0, 0), HALF * 255),
    "grey with alpha": with_alpha((0, 0, 0), HALF * 255).convert("LA"),
    "a picture cut out": with_alpha(np.random.default_rng(0).integers(0, 256, (30, 40, 3)), HALF * 255),
    "opaque": with_alpha(np.where(HALF, 255, 0)[..., None], np.full((30, 40), 255)),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_a_mask_means_the_same_however_it_is_saved(transforms_folder, how):
    folder = transforms_folder(images=8)
    WRITTEN[how].save(folder / "half.png")
    edit(folder / "transforms.json", lambda raw: [frame.update(mask_path="half.png") for frame in raw["frames"]])
    masks = loaded(folder).capture.masks
    assert all((mask == np.where(HALF, 255, 0)).all() for mask in masks.values())


def test_levels_of_a_mask_are_coverage_and_noise_in_a_black_jpeg_is_none(tmp_path):
    soft = np.tile(np.linspace(0, 200, 40).astype(np.uint8), (30, 1))
    Image.fromarray(soft).save(tmp_path / "soft.png")
    Image.fromarray(soft.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    for name in ("soft.png", "deep.png"):
        assert (decoded(tmp_path / name, "frame", MASK, upright=False)[..., 0] == soft).all()
    Image.fromarray(HALF.astype(np.uint8) * 2).save(tmp_path / "black.jpg", quality=95)
    assert decoded(tmp_path / "black.jpg", "frame", MASK, upright=False).max() <= 4
