"""`transforms.json` as instant-ngp and nerfstudio write it: one file for all frames, with intrinsics and distortion."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.scene import SceneError
from bench.task import Camera
from datasets.images.decode import image_size
from datasets.images.lens import Distortion
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

NAME = "transforms"
HELDOUT_EVERY = 8  # where no frame says its split

_INTRINSICS = ("w", "h", "fl_x", "fl_y", "cx", "cy", "camera_angle_x", "camera_angle_y", "k1", "k2", "p1", "p2")
_UNKNOWN_LENS = ("k3", "k4", "is_fisheye")
_MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")


def objection(folder: Path) -> str | None:
    """Why this folder is not of this layout; None where it is."""
    return None if (folder / "transforms.json").is_file() else "no transforms.json"


def read(folder: Path) -> Recording:
    """Frames in the order of their file names; held out are those of the split `test`, else every 8th.

    A split is said by each frame's `split`, or by nerfstudio's lists `train_filenames` and `test_filenames`. Frames
    of any other split (`val`) are neither shown nor judged. Masks of pixels to ignore are not read.
    Raises SceneError.
    """
    path = folder / "transforms.json"
    raw = read_json(path)
    named = sorted(frames_of(raw, path), key=lambda item: item[1]["file_path"])
    lens = _one_lens(raw, named, path)
    splits = _splits(raw, named)
    frames = tuple(
        Frame(
            name=name,
            image=find_image(folder, frame["file_path"], name, NAME),
            pose=opencv_from_opengl(frame["transform_matrix"], name, path),
            heldout=splits.get(name) == "test",
        )
        for name, frame in named
        if not splits or splits.get(name) in ("train", "test")
    )
    if not frames:
        raise SceneError(f"{path}: no frame has a `split` of train or test")
    size = image_size(frames[0].image, frames[0].name)
    recording = Recording(
        folder=folder,
        frames=frames,
        camera=_camera(lens, size, frames[0].name, path),
        distortion=_distortion(lens, path),
        files=(path,),
    )
    return recording if splits else recording.split_every(HELDOUT_EVERY)


def _splits(raw: Mapping[str, Any], named: list[tuple[str, dict[str, Any]]]) -> dict[str, str]:
    """Split of each frame by its name, as far as the file says; empty where it says nothing."""
    lists = {file: split for split in ("train", "test") for file in raw.get(f"{split}_filenames") or ()}
    told = {name: frame.get("split", lists.get(frame["file_path"])) for name, frame in named}
    return {name: str(split) for name, split in told.items() if split is not None}


def _one_lens(raw: Mapping[str, Any], named: list[tuple[str, dict[str, Any]]], path: Path) -> dict[str, Any]:
    """The intrinsics of all frames, written at the top or in each of them. Raises SceneError where they differ."""
    keys = (*_INTRINSICS, *_UNKNOWN_LENS, "camera_model")
    shared = {key: raw[key] for key in keys if key in raw}
    lenses = [(name, {**shared, **{key: frame[key] for key in keys if key in frame}}) for name, frame in named]
    first, lens = lenses[0]
    for name, other in lenses[1:]:
        for key in keys:
            if other.get(key) is not lens.get(key) and other.get(key) != lens.get(key):
                raise SceneError(
                    f"{path}: {first} has {key}={lens.get(key)} but {name} has {key}={other.get(key)}; "
                    "all images of a scene must come from one camera: split it into one folder a camera"
                )
    return lens


def _camera(lens: Mapping[str, Any], size: tuple[int, int], frame: str, path: Path) -> Camera:
    width, height = size
    said = tuple(int(number(lens, key, path, default)) for key, default in (("w", width), ("h", height)))
    if said != size:
        raise SceneError(
            f"{path}: says w={said[0]}, h={said[1]}, but {frame} is {width}x{height} px; "
            "scale the intrinsics to the images"
        )
    fx = _focal(lens, "x", width, path)
    if fx is None:
        raise SceneError(f"{path}: no focal length; it needs `fl_x` in pixels or `camera_angle_x` in radians")
    fy = _focal(lens, "y", height, path) or fx
    cx, cy = number(lens, "cx", path, width / 2), number(lens, "cy", path, height / 2)
    return Camera(width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy)


def _focal(lens: Mapping[str, Any], axis: str, size: int, path: Path) -> float | None:
    """Focal length in pixels along an axis, given as such or as the angle of view; None where it is not given."""
    if f"fl_{axis}" in lens:
        focal = number(lens, f"fl_{axis}", path)
    elif f"camera_angle_{axis}" in lens:
        focal = 0.5 * size / math.tan(0.5 * number(lens, f"camera_angle_{axis}", path))
    else:
        return None
    if not 0 < focal < math.inf:
        raise SceneError(f"{path}: the focal length along {axis} must be positive, and is {focal:g} px")
    return focal


def _distortion(lens: Mapping[str, Any], path: Path) -> Distortion | None:
    model = str(lens.get("camera_model", "OPENCV"))
    if model not in _MODELS:
        raise SceneError(f"{path}: camera_model {model} is not supported; known are {', '.join(_MODELS)}")
    for key in _UNKNOWN_LENS:
        if lens.get(key):
            raise SceneError(f"{path}: {key}={lens[key]} is not supported; undistort the images beforehand")
    terms = {key: number(lens, key, path, 0.0) for key in ("k1", "k2", "p1", "p2")}
    return Distortion(**terms) if any(terms.values()) else None


LAYOUT = Layout(name=NAME, version=1, reference="colmap", objection=objection, read=read)
