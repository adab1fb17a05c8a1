"""Intrinsics as transforms files say them, at the top or in each frame: one camera, nearly one, or several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.scene import SceneError
from bench.task import Camera
from datasets.images.decode import image_size, is_lying
from datasets.images.lens import Bend, Distortion, Fisheye, Optics
from datasets.images.resample import same_shape
from datasets.loaders.recording import Recording, number

ONE_CAMERA = 0.01
"""Focal lengths (relative) and principal points (in image sizes) that differ by no more are one camera's: phones focus
anew for each frame. The median is taken."""

KEYS = (
    "w", "h", "fl_x", "fl_y", "cx", "cy", "camera_angle_x", "camera_angle_y", "camera_model", "is_fisheye",
    "k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2",
)  # fmt: skip
FOCAL = {"fl_x", "fl_y", "camera_angle_x", "camera_angle_y"}
"""Any of these says a focal length."""

_BROWN = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "FULL_OPENCV")
_FISHEYE = ("OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")


class Listed(NamedTuple):
    """A frame, and all that its file says of its camera."""

    name: str  # for messages
    image: Path
    said: Mapping[str, Any]
    path: Path  # the file that says it


@dataclass(frozen=True, kw_only=True)
class Intrinsics:
    """The cameras of a scene's images, as they are stored or as EXIF turns them."""

    optics: Optics  # of all images, or of the first
    own: Sequence[Optics | None]  # a frame each: its own optics, where there are several cameras
    upright: bool  # images are to be turned as their EXIF orientation says
    notes: tuple[str, ...]
    calibrated: bool = True  # else `optics` is a guess


def listed(name: str, image: Path, raw: Mapping[str, Any], frame: Mapping[str, Any], path: Path) -> Listed:
    """A frame's own intrinsics where it has some, else those at the top of its file."""
    said = {key: raw[key] for key in KEYS if key in raw} | {key: frame[key] for key in KEYS if key in frame}
    return Listed(name, image, said, path)


def guessed(width: int, height: int) -> Optics:
    """A pinhole for images of which nothing is known but their size (px): COLMAP's first guess, 1.2 times the longest
    side."""
    focal = 1.2 * max(width, height)
    return Optics(camera=Camera(width=width, height=height, fx=focal, fy=focal, cx=width / 2, cy=height / 2))


def uncalibrated(frames: Sequence[Listed]) -> Intrinsics | None:
    """A guess for frames none of which says a focal length; None where one does. Raises SceneError."""
    if any(FOCAL & set(frame.said) for frame in frames):
        return None
    first = frames[0]
    _model(first.said, first.path)
    optics = guessed(*image_size(first.image, first.name))
    return Intrinsics(optics=optics, own=[None] * len(frames), upright=False, notes=(), calibrated=False)


def as_told(recording: Recording, said: Mapping[str, Any], path: Path) -> Recording:
    """The same frames by one camera, whose intrinsics `said` gives in the words of transforms.json, in the file `path`.

    Raises SceneError.
    """
    first = recording.frames[0]
    width, height = image_size(first.image, first.name, upright=recording.upright)
    notes: list[str] = []
    size = (height, width) if recording.frames[0].turn % 2 else (width, height)
    optics = _optics(Listed(first.name, first.image, said, path), size, notes)
    frames = tuple(replace(frame, optics=None) for frame in recording.frames)
    said_so = ("intrinsics as the card says", *notes)
    return replace(recording, frames=frames, optics=optics, calibrated=True, notes=(*recording.notes, *said_so))


def read_intrinsics(frames: Sequence[Listed]) -> Intrinsics:
    """The optics of every frame. Raises SceneError."""
    first = frames[0]
    upright = _is_upright(first)
    size = image_size(first.image, first.name, upright=upright)
    notes: list[str] = []
    if not upright and is_lying(first.image, first.name):
        notes.append(f"{first.name} has an EXIF orientation, and is read as it is stored, as its intrinsics say")
    if all(frame.said == first.said for frame in frames):
        return Intrinsics(
            optics=_optics(first, size, notes), own=[None] * len(frames), upright=upright, notes=tuple(notes)
        )
    sizes = [image_size(frame.image, frame.name, upright=upright) for frame in frames]
    every = [_optics(frame, size, notes) for frame, size in zip(frames, sizes, strict=True)]
    if (median := _nearly_one(every)) is not None:
        notes.append(f"intrinsics differ by frame, by less than {ONE_CAMERA:.0%}: the median is taken for all")
        return Intrinsics(optics=median, own=[None] * len(frames), upright=upright, notes=tuple(notes))
    notes.append(f"{len(set(every))} cameras: all images are brought to the first one's intrinsics")
    return Intrinsics(optics=every[0], own=every, upright=upright, notes=tuple(notes))


def _nearly_one(every: Sequence[Optics]) -> Optics | None:
    """The median of optics that differ by autofocus alone; None where they are several cameras."""
    first = every[0].camera
    if any((each.camera.width, each.camera.height) != (first.width, first.height) for each in every):
        return None
    if any(type(each.bend) is not type(every[0].bend) for each in every):
        return None
    values = np.array([(c.fx, c.fy, c.cx, c.cy) for c in (each.camera for each in every)])
    middle = np.median(values, axis=0)
    unit = np.array([middle[0], middle[1], first.width, first.height])
    if (np.abs(values - middle) / unit).max() > ONE_CAMERA:
        return None
    nearest = every[int(np.argmin(np.abs((values - middle) / unit).max(axis=1)))]
    fx, fy, cx, cy = middle.tolist()
    return Optics(camera=Camera(width=first.width, height=first.height, fx=fx, fy=fy, cx=cx, cy=cy), bend=nearest.bend)


def _is_upright(frame: Listed) -> bool:
    """Whether the intrinsics are for the image as EXIF turns it: only then do `w` and `h` fit its size."""
    if not is_lying(frame.image, frame.name) or not {"w", "h"} <= set(frame.said):
        return False
    said = (int(number(frame.said, "w", frame.path)), int(number(frame.said, "h", frame.path)))
    width, height = image_size(frame.image, frame.name, upright=True)
    return same_shape(said, (width, height)) and not same_shape(said, (height, width))


def _optics(frame: Listed, size: tuple[int, int], notes: list[str]) -> Optics:
    """For images of `size` (width, height) px; intrinsics for a larger or smaller one of that shape are scaled."""
    said, path = frame.said, frame.path
    width, height = (
        int(number(said, key, path, default)) for key, default in (("w", float(size[0])), ("h", float(size[1])))
    )
    if width < 1 or height < 1 or ((width, height) != size and not same_shape((width, height), size)):
        raise SceneError(
            f"{path}: says w={width}, h={height}, but {frame.name} is {size[0]}x{size[1]} px; "
            "scale the intrinsics to the images"
        )
    model = _model(said, path)
    fx, fy = focal_px(said, "x", width, path), focal_px(said, "y", height, path)
    fx, fy = fx or fy, fy or fx
    if fx is None or fy is None:
        raise SceneError(f"{path}: no focal length; it needs `fl_x` in pixels or `camera_angle_x` in radians")
    cx, cy = number(said, "cx", path, width / 2), number(said, "cy", path, height / 2)
    optics = Optics(
        camera=Camera(width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy), bend=_bend(said, model, path)
    )
    if (width, height) == size:
        return optics
    note = f"intrinsics for {width}x{height} px are scaled to the images of {size[0]}x{size[1]} px"
    if note not in notes:
        notes.append(note)
    return optics.resized(*size)


def focal_px(said: Mapping[str, Any], axis: str, size: int, path: Path) -> float | None:
    """Focal length in pixels along an axis, given as such or as the angle of view; None where it is not given."""
    if f"fl_{axis}" in said:
        focal = number(said, f"fl_{axis}", path)
    elif f"camera_angle_{axis}" in said:
        angle = number(said, f"camera_angle_{axis}", path)
        if not 0 < angle < math.pi:
            raise SceneError(
                f"{path}: camera_angle_{axis} must be an angle between 0 and pi, in radians, and is {angle:g}"
            )
        focal = 0.5 * size / math.tan(0.5 * angle)
    else:
        return None
    if not 0 < focal < math.inf:
        raise SceneError(f"{path}: the focal length along {axis} must be positive, and is {focal:g} px")
    return focal


def _model(said: Mapping[str, Any], path: Path) -> str:
    model = str(said.get("camera_model", "OPENCV"))
    if model not in (*_BROWN, *_FISHEYE):
        raise SceneError(f"{path}: camera_model {model} is not supported; known are {', '.join((*_BROWN, *_FISHEYE))}")
    return model


def _bend(said: Mapping[str, Any], model: str, path: Path) -> Bend | None:
    """What the lens does; nerfstudio's k4 is of the eighth power unless the model is OpenCV's full one."""
    terms = {key: number(said, key, path, 0.0) for key in ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")}
    if model in _FISHEYE or said.get("is_fisheye"):
        return Fisheye(**{key: terms[key] for key in ("k1", "k2", "k3", "k4")})
    if not any(terms.values()):
        return None
    if model != "FULL_OPENCV" and not terms["k5"] and not terms["k6"]:
        terms |= {"k4": 0.0, "r8": terms["k4"]}
    return Distortion(**terms)
