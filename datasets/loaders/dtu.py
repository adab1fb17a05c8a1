"""DTU scans as IDR and MonoSDF hand them on (Yariv et al. 2020, Yu et al. 2022): cameras.npz and cropped images."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from bench.scene import SceneError
from bench.task import Camera
from datasets.images.decode import image_size
from datasets.images.lens import Optics
from datasets.loaders.arrays import read_npz
from datasets.loaders.projections import SLACK, Array, decomposed, matrix, upright
from datasets.loaders.recording import Frame, Layout, Recording

NAME = "dtu"
HELDOUT_EVERY = 8  # no split is published: the files are for surfaces

_IMAGE = re.compile(r"(\d{6})_rgb\.png")
_TAKEN = (1600, 1200)  # DTU's photographs, which the matrices are for; the file does not say so


def objection(folder: Path) -> str | None:
    """Why this folder is not of this layout; None where it is."""
    if not (folder / "cameras.npz").is_file():
        return "no cameras.npz"
    return None if _images(folder) else "cameras.npz is there, but no images like 000000_rgb.png"


def read(folder: Path) -> Recording:
    """Images in the order of their numbers; the first of every 8 is held out. Raises SceneError.

    The world is that of `scale_mat`, in which the object fills the unit sphere.
    """
    path = folder / "cameras.npz"
    arrays = read_npz(path)
    intrinsics: list[Array] = []
    frames: list[Frame] = []
    for k, image in _images(folder).items():
        world, scale = (matrix(arrays, f"{kind}_mat_{k}", image.name, path) for kind in ("world", "scale"))
        K, pose = decomposed((world @ scale)[:3], image.name, path)
        intrinsics.append(K)
        frames.append(Frame(name=image.name, image=image, pose=pose, heldout=False))
        if np.abs(K - intrinsics[0]).max() > SLACK:
            raise SceneError(
                f"{path}: {image.name} has another K than {frames[0].name}; all images of a scene must come from one "
                "camera: split it into one folder a camera"
            )
    size = image_size(frames[0].image, frames[0].name)
    camera = _cropped(_photographs(intrinsics[0], path), *size)
    recording = Recording(folder=folder, frames=tuple(frames), optics=Optics(camera=camera), files=(path,))
    return recording.split_every(HELDOUT_EVERY)


def _images(folder: Path) -> dict[int, Path]:
    """By their numbers, in order."""
    numbered = ((_IMAGE.fullmatch(path.name), path) for path in folder.iterdir())
    return dict(sorted((int(match[1]), path) for match, path in numbered if match))


def _photographs(K: Array, path: Path) -> Camera:
    """The camera of the photographs, before they were scaled and cropped."""
    fx, fy, cx, cy = upright(K, path)
    width, height = _TAKEN
    if max(abs(cx / width - 0.5), abs(cy / height - 0.5)) > 0.1:
        raise SceneError(
            f"{path}: has its principal point at ({cx:.0f}, {cy:.0f}), far from the middle of DTU's photographs of "
            f"{width}x{height} px; write the cameras of another set as transforms.json"
        )
    return Camera(width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy)


def _cropped(camera: Camera, width: int, height: int) -> Camera:
    """The camera of images scaled until they just cover `width` x `height` px, and cropped to that in the middle."""
    scale = max(width / camera.width, height / camera.height)
    cx, cy = (camera.cx - camera.width / 2) * scale + width / 2, (camera.cy - camera.height / 2) * scale + height / 2
    return Camera(width=width, height=height, fx=camera.fx * scale, fy=camera.fy * scale, cx=cx, cy=cy)


# reference: converters write these files from COLMAP's cameras too
LAYOUT = Layout(name=NAME, version=1, reference="unknown", objection=objection, read=read)
