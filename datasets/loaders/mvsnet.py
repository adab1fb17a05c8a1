"""MVSNet's layout (Yao et al. 2018), as for DTU and BlendedMVS: cams/00000000_cam.txt, and images by number."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from bench.geometry import inverse
from bench.scene import SceneError
from bench.task import Camera
from datasets.images.decode import image_size
from datasets.images.lens import Optics
from datasets.loaders.image_files import SUFFIXES
from datasets.loaders.projections import Array
from datasets.loaders.recording import Frame, Layout, Recording, rigid, seen_through

NAME = "mvsnet"
HELDOUT_EVERY = 8  # no split is published: the files are for stereo
_CAMERAS, _IMAGES = ("cams", "cams_1", "cameras"), ("images", "blended_images", "image")
_RECTIFIED = re.compile(r"rect_(\d{3})_3_r5000")  # of DTU's training set: numbered from 1, by the light that is full
_SHARE = 0.01  # intrinsics that differ by less are one camera's


def objection(folder: Path) -> str | None:
    """Why this folder is not of this layout; None where it is."""
    home = _cameras(folder)
    if home is None:
        return "no cams/*_cam.txt"
    return None if _images(folder) else f"{home.name}/ is there, but no folder `images`"


def _cameras(folder: Path) -> Path | None:
    """Of one scan, or of DTU's training set, whose scans lie in `Rectified` and share `Cameras`."""
    root = folder.parent.parent
    shared = (root / "Cameras" / "train", root / "Cameras") if folder.parent.name == "Rectified" else ()
    return next(
        (home for home in (*(folder / name for name in _CAMERAS), *shared) if any(home.glob("*_cam.txt"))), None
    )


def _images(folder: Path) -> dict[int, Path]:
    """By the numbers of their cameras' files."""
    rectified = {
        int(m[1]) - 1: path for path in sorted(folder.glob("rect_*")) if (m := _RECTIFIED.fullmatch(path.stem))
    }
    return rectified or {
        int(found[0]): path
        for name in _IMAGES
        for path in sorted((folder / name).glob("*"))
        if path.suffix in SUFFIXES and "masked" not in path.stem and (found := re.findall(r"\d+", path.stem))
    }


def read(folder: Path) -> Recording:
    """Images in the order of their numbers, the first of every 8 held out. Raises SceneError."""
    home, images = _cameras(folder), _images(folder)
    if home is None:
        raise SceneError(f"{folder}: {objection(folder)}")
    files, frames, optics = [], [], []
    for file in sorted(home.glob("*_cam.txt")):
        k = int(re.findall(r"\d+", file.stem)[0])
        if k not in images:
            continue
        extrinsic, K = _parsed(file)
        size = image_size(images[k], images[k].name)
        pose = inverse(rigid(extrinsic, images[k].name, file))
        files.append(file)
        frames.append(Frame(name=images[k].name, image=images[k], pose=pose, heldout=False))
        optics.append(_optics(K, size, file))
    if not frames:
        raise SceneError(f"{folder}: no image has the number of a file in {home.name}/")
    first = optics[0].camera
    values = np.array([(each.camera.fx, each.camera.fy, each.camera.cx, each.camera.cy) for each in optics])
    alike = len({(each.camera.width, each.camera.height) for each in optics}) == 1
    if not alike or np.abs(values / values[0] - 1).max() > _SHARE:
        frames = seen_through(frames, optics)
        shared = optics[0]
    else:
        fx, fy, cx, cy = np.median(values, axis=0).tolist()
        shared = Optics(camera=Camera(width=first.width, height=first.height, fx=fx, fy=fy, cx=cx, cy=cy))
    recording = Recording(folder=folder, frames=tuple(frames), optics=shared, files=tuple(files))
    return recording.split_every(HELDOUT_EVERY)


def _parsed(path: Path) -> tuple[Array, Array]:
    """`extrinsic` (4, 4), camera_from_world, and `intrinsic` (3, 3). Raises SceneError."""
    words = path.read_text(encoding="utf-8", errors="replace").split()
    try:
        a, b = words.index("extrinsic") + 1, words.index("intrinsic") + 1
        extrinsic = np.array(words[a : a + 16], dtype=np.float64).reshape(4, 4)
        K = np.array(words[b : b + 9], dtype=np.float64).reshape(3, 3)
    except ValueError as error:
        raise SceneError(f"{path}: needs `extrinsic` with 16 numbers and `intrinsic` with 9") from error
    if not np.isfinite(extrinsic).all() or not np.isfinite(K).all() or min(K[0, 0], K[1, 1]) <= 0:
        raise SceneError(f"{path}: holds numbers that are no camera")
    return extrinsic, K


def _optics(K: Array, size: tuple[int, int], path: Path) -> Optics:
    """At the size of the image. MVSNet's own files are for a quarter of it: told by where the middle is."""
    width, height = size
    cx, cy = float(K[0, 2]), float(K[1, 2])
    shrunk = min((1, 2, 4, 8), key=lambda factor: abs(factor * cx / width - 0.5) + abs(factor * cy / height - 0.5))
    if abs(shrunk * cx / width - 0.5) > 0.25 or abs(shrunk * cy / height - 0.5) > 0.25:
        raise SceneError(
            f"{path}: the principal point ({cx:.0f}, {cy:.0f}) is far from the middle of {width}x{height} px: its "
            "intrinsics are for an image of another size"
        )
    scale = np.array([K[0, 0], K[1, 1], cx, cy]) * shrunk
    fx, fy, cx, cy = scale.tolist()
    return Optics(camera=Camera(width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy))


# reference: converters write these files from COLMAP's cameras too
LAYOUT = Layout(name=NAME, version=2, reference="unknown", objection=objection, read=read)
