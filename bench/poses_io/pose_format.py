"""What a file format of pose estimates is, and what all of them share: how images are named, and one camera for all."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from bench.task import Camera, Estimate, Pose, ViewId

Note = str | float | int | bool
IMAGES = "images"
"""Folder of the views beside the files that name them."""

_NAME = re.compile(r"[vh]\d{3,}")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a file said, and what of it was not taken over: a lens's distortion, intrinsics that differ by view."""

    estimate: Estimate
    notes: Mapping[str, Note] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Form:
    """One way in which poses are handed from program to program."""

    name: str
    summary: str
    objection: Callable[[Path], str | None]  # why a file or folder is not of this form; None where it is
    read: Callable[[Path], Reading]  # raises ValueError: one sentence with the file's name
    write: Callable[[Path, Mapping[ViewId, Pose], Camera, Mapping[ViewId, str]], Path]
    """Into a folder; the last says where each image lies, from there."""


def view_of(name: str, where: str) -> ViewId:
    """`images/v012.png` -> `v012`. Raises ValueError for a name that no image of the suite has."""
    stem = PurePosixPath(name.replace("\\", "/")).stem
    if not _NAME.fullmatch(stem):
        raise ValueError(f"{where} names the image {name!r}; images keep the names they were handed out with, v000.png")
    return ViewId(stem)


def collect(named: Sequence[tuple[ViewId, Pose]], where: str | Path) -> dict[ViewId, Pose]:
    """Poses by view, in the views' order. Raises ValueError where there is none, or one view has two."""
    poses = dict(named)
    if not poses:
        raise ValueError(f"{where}: holds no poses")
    if len(poses) < len(named):
        views = [view for view, _ in named]
        twice = next(view for view in views if views.count(view) > 1)
        raise ValueError(f"{where}: {twice} has two poses; keep one of them")
    return dict(sorted(poses.items()))


def one_camera(cameras: Sequence[Camera], notes: dict[str, Note]) -> Camera | None:
    """The camera of all views: the suite's images share one. Intrinsics that differ by view are joined by medians."""
    if not cameras:
        return None
    first = cameras[0]
    if any(camera != first for camera in cameras):
        notes["intrinsics"] = f"medians of {len(cameras)} that differ by view"
    scaled = [camera.resized(first.width, first.height) for camera in cameras]
    fx, fy, cx, cy = np.median([(c.fx, c.fy, c.cx, c.cy) for c in scaled], axis=0).tolist()
    return Camera(width=first.width, height=first.height, fx=fx, fy=fy, cx=cx, cy=cy)
