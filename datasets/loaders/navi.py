"""NAVI's layout (Jampani et al. 2023): annotations.json, a list with a camera an image, `images/` and `masks/`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.geometry import inverse
from bench.scene import SceneError
from datasets.loaders.image_files import find_image
from datasets.loaders.intrinsics import Listed, read_intrinsics
from datasets.loaders.recording import Frame, Layout, Recording, rigid, seen_through

NAME = "navi"
FILE = "annotations.json"
HELDOUT_EVERY = 8  # where no image is of the split `val`


def objection(folder: Path) -> str | None:
    """Why this folder is not of this layout; None where it is."""
    if not (folder / FILE).is_file():
        return f"no {FILE}"
    return None if (folder / "images").is_dir() else f"{FILE} is there, but no folder `images`"


def read(folder: Path) -> Recording:
    """Images in the order of the list, those of its split `val` held out. Raises SceneError.

    `q` (w, x, y, z) and `t` are camera_from_world in OpenCV axes, for images as EXIF turns them; the world is the
    scanned object's, so that of `wild_set` the surroundings differ from image to image.
    """
    path = folder / FILE
    listed, frames = [], []
    for k, each in enumerate(_entries(path)):
        name = f"entry {k} ({each['filename']})"
        image = find_image(folder / "images", each["filename"], name, NAME)
        camera, (height, width) = _camera(each, name, path), _numbers(each.get("image_size"), 2, name, path)
        said = {"w": width, "h": height, "fl_x": camera.get("focal_length")}
        said |= {"cx": width // 2, "cy": height // 2}  # as in the authors' own reader
        pose = inverse(rigid(_matrix(camera, name, path), name, path))
        mask = folder / "masks" / f"{image.stem}.png"
        frames.append(
            Frame(name=name, image=image, pose=pose, heldout=each.get("split") == "val",
                  mask=mask if mask.is_file() else None)
        )  # fmt: skip
        listed.append(Listed(name, image, said, path))
    lenses = read_intrinsics(listed)
    if not all(frame.mask for frame in frames):
        frames = [replace(frame, mask=None) for frame in frames]
    recording = Recording(
        folder=folder, frames=seen_through(frames, lenses.own), optics=lenses.optics, files=(path,),
        upright=lenses.upright, notes=lenses.notes,
    )  # fmt: skip
    return recording if any(frame.heldout for frame in frames) else recording.split_every(HELDOUT_EVERY)


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SceneError(f"{path}: is not JSON ({str(error)[:100]})") from error
    if not isinstance(raw, list) or not raw:
        raise SceneError(f"{path}: is not a list with one entry an image")
    for k, each in enumerate(raw):
        if not isinstance(each, dict) or not isinstance(each.get("filename"), str):
            raise SceneError(f"{path}: entry {k} has no `filename`")
    return raw


def _camera(each: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
    if not isinstance(each.get("camera"), dict):
        raise SceneError(f"{path}: {name} has no `camera`")
    return each["camera"]


def _matrix(camera: dict[str, Any], name: str, path: Path) -> NDArray[np.float64]:
    from scipy.spatial.transform import Rotation  # 0.1 s to import: not needed to list scenes

    w, x, y, z = _numbers(camera.get("q"), 4, name, path)
    if not w * w + x * x + y * y + z * z > 1e-12:
        raise SceneError(f"{path}: {name} has a quaternion `q` of length 0")
    out = np.eye(4)
    out[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix()
    out[:3, 3] = _numbers(camera.get("t"), 3, name, path)
    return out


def _numbers(value: Any, count: int, name: str, path: Path) -> list[float]:
    sound = isinstance(value, list) and len(value) == count
    if not sound or not all(isinstance(v, int | float) and np.isfinite(v) for v in value):
        raise SceneError(f"{path}: {name} needs {count} numbers, and has {str(value)[:60]}")
    return value


LAYOUT = Layout(name=NAME, version=1, reference="measured", objection=objection, read=read)
