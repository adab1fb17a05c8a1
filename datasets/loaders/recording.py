"""What the files of a scene say, whatever their layout: frames, their true cameras, and one lens for all."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.geometry import OPENGL_AXES
from bench.scene import Reference, SceneError
from bench.task import Pose
from datasets.images.lens import Optics, refocused

_POSED: tuple[Reference, ...] = ("exact", "measured", "colmap", "device", "unknown")
_NAMED: Mapping[str, Reference] = {"arkit": "device", "arcore": "device", "record3d": "device", "polycam": "device",
                                  "colmap": "colmap"}  # fmt: skip

_PATH = re.compile(r"^(/|~|\.\.?[/\\]|[A-Za-z]:[/\\])|^\S*[/\\]\S*$|^\S+\.[A-Za-z]\w{1,4}$")
"""A file's or folder's name among the words of a transforms file."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    name: str  # for messages: "frame 12 (train/r_12.png)"
    image: Path
    pose: Pose | None  # (4, 4) world_from_camera, OpenCV axes; None where nobody knows them, in all frames alike
    heldout: bool
    optics: Optics | None = None  # its own, where the scene was taken by several cameras
    mask: Path | None = None  # an image of the object's pixels
    turn: int = 0  # quarter turns, counter-clockwise, that bring the image as it is stored to its calibration


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A scene before its images are decoded. Frames are in the order in which they were taken."""

    folder: Path
    frames: tuple[Frame, ...]
    optics: Optics  # of every image that has none of its own, as it is stored or as EXIF turns it
    files: tuple[Path, ...]  # the descriptions read, beside the images
    upright: bool = False  # images are to be turned as their EXIF orientation says
    notes: tuple[str, ...] = ()  # what was assumed or left out: whoever uses the scene should know
    reference: Reference | None = None  # where the files say that their poses come from; None: as the layout's usually
    calibrated: bool = True  # the intrinsics are known; else `optics` is a guess that nobody is given

    @property
    def posed(self) -> bool:
        return all(frame.pose is not None for frame in self.frames)

    def split_every(self, n: int) -> Recording:
        """The same frames with the first of every `n` held out, as LLFF has it."""
        frames = tuple(replace(frame, heldout=k % n == 0) for k, frame in enumerate(self.frames))
        return replace(self, frames=frames)

    def thinned(self, views: int) -> Recording:
        """The same held-out frames, and so many of the others, evenly chosen in the order in which they were taken."""
        train = [frame for frame in self.frames if not frame.heldout]
        if views >= len(train):
            return replace(self, notes=(*self.notes, f"{views} training views are asked for, and it has {len(train)}"))
        chosen = {round(k * (len(train) - 1) / (views - 1)) for k in range(views)}
        kept = {id(train[k]) for k in chosen}
        return replace(self, frames=tuple(frame for frame in self.frames if frame.heldout or id(frame) in kept))

    def with_focal(self, millimetres: float) -> Recording:
        """The same frames by a camera of this focal length, in terms of 35 mm film; a lens's bend stays."""
        frames = tuple(
            replace(frame, optics=frame.optics and refocused(frame.optics, millimetres)) for frame in self.frames
        )
        note = f"focal length {millimetres:g} mm, in terms of 35 mm film, as the card says"
        return replace(
            self, frames=frames, optics=refocused(self.optics, millimetres), notes=(*self.notes, note), calibrated=True
        )

    def checked(self) -> Recording:
        """Itself, if it can be a scene. Raises SceneError for duplicates and for an empty side of the split."""
        twice = [image for image, count in Counter(frame.image for frame in self.frames).items() if count > 1]
        if twice:
            names = " and ".join(frame.name for frame in self.frames if frame.image == twice[0])
            raise SceneError(f"{self.folder}: {names} are the same image; keep one of them")
        for heldout, what in ((False, "training"), (True, "held-out")):
            if not any(frame.heldout == heldout for frame in self.frames):
                raise SceneError(f"{self.folder}: of {len(self.frames)} frames none is a {what} view; mend the split")
        return self


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A loader: one way, found in the wild, of laying out a scene's files."""

    name: str
    version: int  # raised when the same files come to mean other pixels or poses
    reference: Reference  # where its poses come from, unless a card says otherwise
    objection: Callable[[Path], str | None]  # why a folder is not of this layout; None where it is
    read: Callable[[Path], Recording]  # frames and cameras; images are only looked for; raises SceneError
    # the same from the smallest copies of the images whose longest side is so many px, where a layout has copies
    read_sized: Callable[[Path, int], Recording] | None = None


def read_json(path: Path) -> dict[str, Any]:
    """Raises SceneError where it cannot be read or is not a JSON object."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SceneError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise SceneError(f"{path}: is not JSON (not UTF-8 text)") from error
    except json.JSONDecodeError as error:
        raise SceneError(f"{path}: is not JSON (line {error.lineno}, column {error.colno}: {error.msg})") from error
    if not isinstance(raw, dict):
        raise SceneError(f"{path}: is not a JSON object but a {type(raw).__name__}")
    return raw


def frames_of(raw: Mapping[str, Any], path: Path, *, posed: bool = True) -> list[tuple[str, dict[str, Any]]]:
    """The frames listed in a transforms file, each with its name for messages. Raises SceneError, also where one has
    no pose and `posed` ones are asked for."""
    frames = raw.get("frames")
    if not isinstance(frames, list) or not frames:
        raise SceneError(f"{path}: has no frames; it needs a list `frames` with one entry an image")
    named = []
    for k, frame in enumerate(frames):
        if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
            raise SceneError(f"{path}: frame {k} has no `file_path`")
        if posed and "transform_matrix" not in frame:
            raise SceneError(f"{path}: frame {k} ({frame['file_path']}) has no `transform_matrix`")
        named.append((f"frame {k} ({frame['file_path']})", frame))
    return named


def reference_of(raw: Mapping[str, Any], path: Path) -> Reference:
    """Where the poses of a transforms file come from: `reference` says it; ns-process-data leaves COLMAP's ids in its
    frames, colmap2nerf a sharpness; other programs leave their names, which paths are no sign of. Raises SceneError."""
    if "reference" in raw:
        for kind in _POSED:
            if kind == raw["reference"]:
                return kind
        raise SceneError(f"{path}: `reference` must be one of {', '.join(_POSED)}, and is {raw['reference']!r}")
    first = raw["frames"][0]
    if "colmap_im_id" in first or {"sharpness", "colmap_image_id"} & set(first):
        return "colmap"
    words = " ".join(value for value in raw.values() if isinstance(value, str) and not _PATH.search(value)).lower()
    for word, kind in _NAMED.items():
        if word in words:
            return kind
    return "unknown"


def number(raw: Mapping[str, Any], key: str, path: Path, default: float | None = None) -> float:
    """A finite number of a JSON object. Raises SceneError where it is absent (and has no default) or another thing."""
    value = raw.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        given = f"is {value!r}" if key in raw else "is absent"
        raise SceneError(f"{path}: `{key}` must be a number, and {given}")
    return float(value)


def opencv_from_opengl(matrix: ArrayLike, frame: str, path: Path) -> Pose:
    """A camera-to-world matrix in OpenGL axes (x right, y up, z backward) as `world_from_camera` in OpenCV axes.

    Raises SceneError where it is not a rigid one of 4x4 or 3x4 numbers.
    """
    try:
        given = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        given = np.empty(0)
    if given.shape not in ((4, 4), (3, 4)):
        raise SceneError(f"{path}: {frame} has a transform_matrix that is not 4x4 numbers")
    return rigid(given, frame, path) @ OPENGL_AXES


def rigid(given: NDArray[np.float64], frame: str, path: Path) -> Pose:
    """A rotation and a translation, (4, 4), from a matrix (4, 4) or (3, 4) that was rounded when it was written.

    The rotation is the nearest exact one. Raises SceneError where it is none to begin with.
    """
    if not np.isfinite(given).all():
        raise SceneError(f"{path}: {frame} has a matrix that is not finite (NaN or infinity)")
    rotation = given[:3, :3]
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers so large that they can be nothing
        error = float(np.abs(rotation.T @ rotation - np.eye(3)).max())
    if not error <= 1e-3:
        raise SceneError(
            f"{path}: {frame} has a matrix that is not a rotation: its axes miss unit length or right angles by "
            f"{error:.2g}; remove scale and shear from the poses"
        )
    if np.linalg.det(rotation) < 0:
        raise SceneError(
            f"{path}: {frame} has a matrix that is not a rotation but a reflection (determinant -1); "
            "one axis of the poses has the wrong sign"
        )
    u, _, vt = np.linalg.svd(rotation)
    pose = np.eye(4)
    pose[:3, :3] = u @ vt
    pose[:3, 3] = given[:3, 3]
    return pose


def seen_through(frames: Sequence[Frame], own: Sequence[Optics | None]) -> tuple[Frame, ...]:
    """The same frames, each with its own optics, or None for those of all."""
    return tuple(replace(frame, optics=optics) for frame, optics in zip(frames, own, strict=True))


def turned(frames: Sequence[Frame], up: Sequence[float]) -> tuple[Frame, ...]:
    """Frames in a world turned, by the least rotation, so that the direction `up` becomes +z."""
    x, y, z = np.asarray(up, dtype=np.float64) / np.linalg.norm(up)
    turn = np.eye(4)
    if z > -1 + 1e-9:  # Rodrigues' formula about up x z
        cross = np.array([[0, 0, -x], [0, 0, -y], [x, y, 0]])
        turn[:3, :3] = np.eye(3) + cross + cross @ cross / (1 + z)
    else:
        turn[:3, :3] = np.diag([1.0, -1.0, -1.0])
    return tuple(replace(frame, pose=None if frame.pose is None else turn @ frame.pose) for frame in frames)
