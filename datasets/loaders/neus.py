"""The layout of IDR and NeuS (Yariv et al. 2020, Wang et al. 2021), and of most work on surfaces since.

`cameras_sphere.npz` or `cameras.npz` with world_mat_k and scale_mat_k, beside `image/` and perhaps `mask/`.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from bench.scene import SceneError
from bench.task import Camera
from datasets.images.decode import image_size
from datasets.images.lens import Optics
from datasets.loaders.arrays import read_npz
from datasets.loaders.image_files import SUFFIXES, natural
from datasets.loaders.projections import SLACK, decomposed, matrix, upright
from datasets.loaders.recording import Frame, Layout, Recording, seen_through

NAME = "neus"
HELDOUT_EVERY = 8  # no split is published: the files are for surfaces
_CAMERAS = ("cameras_sphere.npz", "cameras.npz")
_IMAGES, _MASKS = ("image", "images", "rgb"), ("mask", "masks")
_MIDDLE = 0.25  # of the image's size: a principal point further from its middle is that of another image


def objection(folder: Path) -> str | None:
    """Why this folder is not of this layout; None where it is."""
    if _first(folder, _CAMERAS) is None:
        return "no cameras_sphere.npz or cameras.npz"
    images = _first(folder, _IMAGES)
    return None if images and _pictures(images) else f"{_first(folder, _CAMERAS)} is there, but no folder `image`"


def read(folder: Path) -> Recording:
    """Images in the order of their numbers; the k-th has world_mat_k. The first of every 8 is held out.

    The world is that of `scale_mat`, in which the object fills the unit sphere. Masks are the object's, and are
    offered beside a background that is real. Raises SceneError.
    """
    path, home = _first(folder, _CAMERAS), _first(folder, _IMAGES)
    if path is None or home is None:
        raise SceneError(f"{folder}: {objection(folder)}")
    arrays, images = read_npz(path), _pictures(home)
    numbers = _numbers(images, [key for key in arrays if key.startswith("world_mat_")], path)
    masks = _masks(folder, images)
    intrinsics, frames = [], []
    for k, image, mask in zip(numbers, images, masks, strict=True):
        world = matrix(arrays, f"world_mat_{k}", image.name, path)
        scale = matrix(arrays, f"scale_mat_{k}", image.name, path) if f"scale_mat_{k}" in arrays else np.eye(4)
        K, pose = decomposed((world @ scale)[:3], image.name, path)
        intrinsics.append(upright(K, path))
        frames.append(Frame(name=image.name, image=image, pose=pose, heldout=False, mask=mask))
    sizes = [image_size(frame.image, frame.name) for frame in frames]
    optics = [_optics(values, size, frame, path) for values, size, frame in zip(intrinsics, sizes, frames, strict=True)]
    spread = np.ptp(np.array(intrinsics), axis=0).max()
    if spread <= SLACK and len(set(sizes)) == 1:
        recording = Recording(folder=folder, frames=tuple(frames), optics=optics[0], files=(path,))
    else:
        note = f"intrinsics differ by up to {spread:.3g} px: all images are brought to the first one's"
        recording = Recording(
            folder=folder, frames=seen_through(frames, optics), optics=optics[0], files=(path,), notes=(note,)
        )
    return recording.split_every(HELDOUT_EVERY)


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).exists()), None)


def _pictures(home: Path) -> list[Path]:
    """Images of a folder, in the order of the numbers in their names: 2.png before 10.png."""
    found = [path for path in home.iterdir() if path.suffix in SUFFIXES and not path.name.startswith(".")]
    return sorted(found, key=lambda path: natural(path.stem))


def _numbers(images: list[Path], keys: list[str], path: Path) -> list[int]:
    """Which matrices are whose: by place where there are as many as images, else by the number in the name."""
    if len(keys) == len(images):
        return list(range(len(images)))
    named = [re.findall(r"\d+", image.stem) for image in images]
    if all(found and f"world_mat_{int(found[-1])}" in keys for found in named):
        return [int(found[-1]) for found in named]
    raise SceneError(f"{path}: has {len(keys)} world_mat for {len(images)} images, whose names do not tell which")


def _masks(folder: Path, images: list[Path]) -> list[Path | None]:
    """A mask an image, in the same order; none where there is no folder of them. Raises SceneError."""
    home = _first(folder, _MASKS)
    masks = _pictures(home) if home else []
    if not masks:
        return [None] * len(images)
    if len(masks) != len(images):
        raise SceneError(f"{home}: has {len(masks)} masks for {len(images)} images; each image needs its own")
    return list(masks)


def _optics(values: tuple[float, float, float, float], size: tuple[int, int], frame: Frame, path: Path) -> Optics:
    fx, fy, cx, cy = values
    width, height = size
    if abs(cx / width - 0.5) > _MIDDLE or abs(cy / height - 0.5) > _MIDDLE:
        raise SceneError(
            f"{path}: the principal point of {frame.name} is ({cx:.0f}, {cy:.0f}), far from the middle of its "
            f"{width}x{height} px: the matrices are for images of another size"
        )
    return Optics(camera=Camera(width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy))


# reference: converters write these files from COLMAP's cameras too
LAYOUT = Layout(name=NAME, version=1, reference="unknown", objection=objection, read=read)
