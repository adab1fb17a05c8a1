"""CO3D's layout (Reizenstein et al. 2021): a folder a sequence, described by its category's frame_annotations.jgz."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.geometry import inverse
from bench.scene import SceneError
from bench.task import Pose
from datasets.loaders.image_files import find_image
from datasets.loaders.intrinsics import Listed, read_intrinsics
from datasets.loaders.recording import Frame, Layout, Recording, rigid, seen_through

NAME = "co3d"
FILE = "frame_annotations.jgz"  # gzip of a JSON list of all frames of a category
HELDOUT_EVERY = 8  # its own splits are of sequences, and of frames for single-sequence tests
_BOUNDS, _ISOTROPIC = "ndc_norm_image_bounds", "ndc_isotropic"
_PIECE, _LONGEST = 1 << 20, 1 << 22  # characters read at once, and of one entry at most
_AXES = np.diag([-1.0, -1.0, 1.0])  # PyTorch3D's cameras: x left, y up, z forward


def objection(folder: Path) -> str | None:
    """Why this folder is not of this layout; None where it is."""
    if _annotations(folder) is None:
        return f"no {FILE} in it or above"
    return None if (folder / "images").is_dir() else f"{FILE} is there, but no folder `images`: name a sequence"


def _annotations(folder: Path) -> Path | None:
    return next((home / FILE for home in (folder, folder.parent) if (home / FILE).is_file()), None)


def read(folder: Path) -> Recording:
    """Frames of this sequence in the order in which they were taken, the first of every 8 held out; masks are CO3D's
    own estimates. Raises SceneError."""
    path = _annotations(folder)
    if path is None:
        raise SceneError(f"{folder}: {objection(folder)}")
    frames, listed = [], []
    for each in sorted(_entries(path, folder.name, path.stat().st_mtime_ns), key=lambda entry: entry["frame_number"]):
        name = f"frame {each['frame_number']}"
        try:
            file, (height, width) = each["image"]["path"], each["image"]["size"]
            pose, said = _pose(each["viewpoint"], name, path), _intrinsics(each["viewpoint"], width, height)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, SceneError):
                raise
            raise SceneError(f"{path}: {name} of {folder.name} has no image, or a viewpoint that is none") from error
        image = find_image(folder, _of_sequence(str(file), folder.name), name, NAME)
        mask = folder / "masks" / f"{image.stem}.png"
        frames.append(
            Frame(name=name, image=image, pose=pose, heldout=False, mask=mask if mask.is_file() else None)
        )  # fmt: skip
        listed.append(Listed(name, image, said, path))
    if not frames:
        raise SceneError(f"{path}: has no frame of a sequence called {folder.name!r}")
    lenses = read_intrinsics(listed)
    if not all(frame.mask for frame in frames):
        frames = [replace(frame, mask=None) for frame in frames]
    return Recording(
        folder=folder,
        frames=seen_through(frames, lenses.own),
        optics=lenses.optics,
        files=(path,),
        notes=lenses.notes,
        upright=lenses.upright,
    ).split_every(HELDOUT_EVERY)


def _of_sequence(file: str, sequence: str) -> str:
    """`apple/110_13051_23361/images/frame000001.jpg` -> `images/frame000001.jpg`."""
    return file.partition(f"{sequence}/")[2] or file


@lru_cache(maxsize=4)
def _entries(path: Path, sequence: str, _changed: int) -> tuple[dict[str, Any], ...]:
    return tuple(entry for entry in _streamed(path) if entry.get("sequence_name") == sequence and _is_numbered(entry))


def _is_numbered(entry: dict[str, Any]) -> bool:
    return isinstance(entry.get("frame_number"), int)


def _streamed(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a list, one at a time: a category has tens of thousands. Raises SceneError."""
    decoder, held, at = json.JSONDecoder(), "", 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            while True:
                at = len(held) - len(held[at:].lstrip("[, \n\r\t]"))
                try:
                    entry, at = decoder.raw_decode(held, at) if at < len(held) else (None, at)
                except json.JSONDecodeError:
                    entry = None
                if isinstance(entry, dict):
                    yield entry
                    continue
                piece = file.read(_PIECE)
                if entry is not None or len(held) - at > _LONGEST or (not piece and held[at:].strip()):
                    raise SceneError(f"{path}: is not a JSON list of frames; fetch it again")
                if not piece:
                    return
                held, at = held[at:] + piece, 0
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise SceneError(
            f"{path}: cannot be unpacked ({' '.join(str(error).split())[:100]}); fetch it again"
        ) from error


def _pose(viewpoint: dict[str, Any], name: str, path: Path) -> Pose:
    """PyTorch3D has rows, X_camera = X_world R + T."""
    R, T = (np.array(viewpoint[key], dtype=np.float64) for key in ("R", "T"))
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = _AXES @ R.reshape(3, 3).T, _AXES @ T.reshape(3)
    return inverse(rigid(out, name, path))


def _intrinsics(viewpoint: dict[str, Any], width: int, height: int) -> dict[str, float]:
    """From normalised device coordinates, x left and y up, in which the image, or its shorter side (`ndc_isotropic`),
    is 2 wide; files that do not say which mean the image (`ViewpointAnnotation` of facebookresearch/co3d)."""
    half = np.array([width, height], dtype=np.float64) / 2
    form = str(viewpoint.get("intrinsics_format", _BOUNDS)).lower()
    if form not in (_BOUNDS, _ISOTROPIC):
        raise ValueError(f"intrinsics in {form}")
    unit = half.min() if form == _ISOTROPIC else half
    focal: NDArray[np.float64] = np.array(viewpoint["focal_length"], dtype=np.float64) * unit
    middle = half - np.array(viewpoint["principal_point"], dtype=np.float64) * unit
    keys = ("w", "h", "fl_x", "fl_y", "cx", "cy")
    return dict(zip(keys, [width, height, *focal.tolist(), *middle.tolist()], strict=True))


LAYOUT = Layout(name=NAME, version=2, reference="colmap", objection=objection, read=read)
