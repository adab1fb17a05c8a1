"""The official layout of LLFF (Mildenhall et al. 2019): poses_bounds.npy, and the images at one or more sizes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.regime import SIDE
from bench.scene import SceneError
from bench.task import Camera, Pose
from datasets.images.decode import image_size
from datasets.images.lens import Optics
from datasets.loaders.arrays import read_npy
from datasets.loaders.image_files import SUFFIXES
from datasets.loaders.recording import Frame, Layout, Recording, rigid

NAME = "llff"
HELDOUT_EVERY = 8  # NeRF's `llffhold`

_FOLDER = re.compile(r"images(_\d+(x\d+)?)?")


def objection(folder: Path) -> str | None:
    """Why this folder is not of this layout; None where it is."""
    return None if (folder / "poses_bounds.npy").is_file() else "no poses_bounds.npy"


def read(folder: Path, least: int = max(SIDE.values())) -> Recording:
    """Rows are the images in the order of their names; the first of every 8 is held out. Raises SceneError.

    What the file cannot say is not made up: the principal point is the middle, and the radial term that COLMAP
    estimated beside these poses is lost. The depth bounds are not read, for no method is told any.
    """
    path = folder / "poses_bounds.npy"
    matrices = _matrices(path)
    images, (width, height) = _images(folder, least)
    if len(images) != len(matrices):
        raise SceneError(
            f"{path}: has {len(matrices)} rows, but {images[0].parent} holds {len(images)} images; "
            "it needs one row an image, in the order of their names"
        )
    names = [f"row {k} ({image.name})" for k, image in enumerate(images)]
    frames = tuple(
        Frame(name=name, image=image, pose=_opencv_from_llff(matrix, name, path), heldout=False)
        for name, image, matrix in zip(names, images, matrices, strict=True)
    )
    camera = _camera(matrices[:, :, 4], path)
    # By the images themselves, for a folder's number is rounded: a side may be off by less than a pixel, no more.
    if abs(width * camera.height - height * camera.width) >= camera.width + camera.height:
        raise SceneError(
            f"{path}: is for images of {camera.width}x{camera.height} px, but {names[0]} is {width}x{height} px; "
            "scale the originals evenly, and neither turn nor crop them"
        )
    recording = Recording(
        folder=folder, frames=frames, optics=Optics(camera=camera.resized(width, height)), files=(path,)
    )
    return recording.split_every(HELDOUT_EVERY)


def _matrices(path: Path) -> NDArray[np.float64]:
    """(N, 3, 5): [R | t | height, width, focal length] of every image, in pixels of the originals."""
    rows = read_npy(path)
    if rows.dtype.kind not in "fiu" or rows.ndim != 2 or rows.shape[1] != 17 or not len(rows):
        raise SceneError(f"{path}: must hold rows of 17 numbers, and holds {rows.dtype} of shape {rows.shape}")
    return rows[:, :15].astype(np.float64).reshape(-1, 3, 5)


def _images(folder: Path, least: int) -> tuple[list[Path], tuple[int, int]]:
    """The images of one of the folders, by name, and the size (width, height) of the first.

    It is the smallest whose longest side is `least` px: more would be decoded only to be averaged away, fewer would
    blur what is shown. Where all are too small, it is the largest.
    """
    found: dict[tuple[int, int], list[Path]] = {}
    for below in sorted(path for path in folder.iterdir() if _FOLDER.fullmatch(path.name) and path.is_dir()):
        images = sorted(path for path in below.iterdir() if path.suffix in SUFFIXES and path.name[0] != ".")
        if images:
            found.setdefault(image_size(images[0], f"{below.name}/{images[0].name}"), images)
    if not found:
        raise SceneError(f"{folder}: holds poses_bounds.npy but no images; put them into `images` or `images_8`")
    sizes = sorted(found, key=max)
    size = next((size for size in sizes if max(size) >= least), sizes[-1])
    return found[size], size


def _camera(hwf: NDArray[np.float64], path: Path) -> Camera:
    """The one camera of the originals, from height, width and focal length (N, 3) of each."""
    height, width, focal = hwf[0].tolist()
    if not (np.isfinite(hwf[0]).all() and hwf[0].min() > 0):
        raise SceneError(f"{path}: height, width and focal length must be positive, and are {_listed(hwf[0])}")
    for k, other in enumerate(hwf):
        if (other != hwf[0]).any():
            raise SceneError(
                f"{path}: height, width and focal length are {_listed(hwf[0])} in row 0 but {_listed(other)} in row "
                f"{k}; all images of a scene must come from one camera: split it into one folder a camera"
            )
    return Camera(width=round(width), height=round(height), fx=focal, fy=focal, cx=width / 2, cy=height / 2)


def _listed(values: NDArray[np.float64]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _opencv_from_llff(matrix: NDArray[np.float64], frame: str, path: Path) -> Pose:
    """LLFF's camera axes are down, right, backward; OpenCV's right, down, forward."""
    return rigid(matrix[:, [1, 0, 2, 3]] * [1, 1, -1, 1], frame, path)


LAYOUT = Layout(name=NAME, version=1, reference="colmap", objection=objection, read=read, read_sized=read)
