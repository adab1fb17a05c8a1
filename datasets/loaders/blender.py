"""The official layout of NeRF-Synthetic (Mildenhall et al. 2020): transforms_{train,test}.json and RGBA images."""

from __future__ import annotations

import math
from pathlib import Path

from bench.scene import SceneError
from bench.task import Camera
from datasets.images.decode import image_size
from datasets.loaders.recording import (
    Frame,
    Layout,
    Recording,
    find_image,
    frames_of,
    number,
    opencv_from_opengl,
    read_json,
)

NAME = "blender"
_SPLITS = ("train", "test")  # the frames of `val` are neither shown nor judged


def objection(folder: Path) -> str | None:
    """Why this folder is not of this layout; None where it is."""
    for split in _SPLITS:
        if not (folder / f"transforms_{split}.json").is_file():
            return f"no transforms_{split}.json"
    return None


def read(folder: Path) -> Recording:
    """Training views are those of `train`, held-out views those of `test`. Raises SceneError."""
    frames, angles, files = [], set(), [folder / f"transforms_{split}.json" for split in _SPLITS]
    for split, path in zip(_SPLITS, files, strict=True):
        raw = read_json(path)
        angles.add(number(raw, "camera_angle_x", path))
        for name, frame in frames_of(raw, path):
            frames.append(
                Frame(
                    name=f"{split} {name}",
                    image=find_image(folder, frame["file_path"], f"{split} {name}", NAME),
                    pose=opencv_from_opengl(frame["transform_matrix"], name, path),
                    heldout=split == "test",
                )
            )
    if len(angles) > 1 or not 0 < min(angles) < math.pi:
        raise SceneError(
            f"{folder}: camera_angle_x must be one angle between 0 and pi in both files, "
            f"and is {' and '.join(f'{angle:g}' for angle in sorted(angles))}"
        )
    width, height = image_size(frames[0].image, frames[0].name)
    focal = 0.5 * width / math.tan(0.5 * angles.pop())
    camera = Camera(width=width, height=height, fx=focal, fy=focal, cx=0.5 * width, cy=0.5 * height)
    return Recording(folder=folder, frames=tuple(frames), camera=camera, files=tuple(files))


LAYOUT = Layout(name=NAME, version=1, reference="exact", objection=objection, read=read)
