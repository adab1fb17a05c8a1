"""Images with a trajectory as Redwood, Open3D and Tanks and Temples (Knapitsch et al. 2017) write it: one `*.log`."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from bench.scene import SceneError
from bench.task import Pose
from datasets.loaders.calibration import calibration
from datasets.loaders.photographs import photographs_in
from datasets.loaders.recording import Frame, Layout, Recording, rigid

NAME = "log"
HELDOUT_EVERY = 8
_LINES = 5
"""A pose: three whole numbers and four rows. The first number is the image's; the second is -1, and the matrix that of
identity, where the authors' converter knew no pose (`convert_to_logfile.py` of isl-org/TanksAndTemples)."""


def objection(folder: Path) -> str | None:
    """Why this folder is not of this layout; None where it is."""
    found = list(folder.glob("*.log"))
    if len(found) != 1 or not _begins(found[0]):
        return "no *.log of poses" if len(found) < 2 else "more than one *.log"
    return None if photographs_in(folder) else f"{found[0].name} is there, but no images"


def _begins(path: Path) -> bool:
    """Whether a file begins as a trajectory does: other programs' logs have other words."""
    try:
        with path.open(encoding="utf-8", errors="strict") as file:
            words = file.readline(200).split()
    except (OSError, UnicodeDecodeError):
        return False
    return len(words) == 3 and all(re.fullmatch(r"-?\d+", word) for word in words)


def read(folder: Path) -> Recording:
    """The k-th image, in natural order, has the pose of the number k, world_from_camera in OpenCV axes; the first of
    every 8 is held out. Intrinsics are those of `calib.txt`, or the card's. Raises SceneError."""
    (path,) = folder.glob("*.log")
    images, numbered = photographs_in(folder), _numbered(path)
    if beyond := [k for k in numbered if k >= len(images)]:
        raise SceneError(f"{path}: has a pose of image {beyond[0]}, and there are {len(images)} images, counted from 0")
    frames = tuple(
        Frame(name=f"image {k} ({images[k].name})", image=images[k], pose=pose, heldout=False)
        for k, pose in sorted(numbered.items())
    )
    without = len(images) - len(frames)
    notes = (f"{without} of {len(images)} images have no pose and are left out",) if without else ()
    optics, files, calibrated = calibration(folder, frames[0].image)
    recording = Recording(
        folder=folder, frames=frames, optics=optics, files=(path, *files), notes=notes, calibrated=calibrated,
        reference="colmap" if "colmap" in path.name.lower() else "unknown",
    )  # fmt: skip
    return recording.split_every(HELDOUT_EVERY)


def _numbered(path: Path) -> dict[int, Pose]:
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise SceneError(f"{path}: cannot be read as text") from error
    if not lines or len(lines) % _LINES:
        raise SceneError(f"{path}: must have {_LINES} lines a pose, its number and four rows, and has {len(lines)}")
    poses: dict[int, Pose] = {}
    for at in range(0, len(lines), _LINES):
        head, *rows = lines[at : at + _LINES]
        where = f"the pose of line {at + 1}"
        try:
            k, given = int(head[0]), np.array(rows, dtype=np.float64)
            placed = int(head[1]) >= 0 or len(head) < 3
        except (ValueError, IndexError) as error:
            raise SceneError(f"{path}: {where} is not a number and 4x4 numbers") from error
        if given.shape != (4, 4) or k < 0 or k in poses:
            raise SceneError(f"{path}: {where} is not 4x4 numbers, or image {k} has two")
        if placed:
            poses[k] = rigid(given, where, path)
    if not poses:
        raise SceneError(f"{path}: says of every image that it has no pose (`k -1 0`)")
    return poses


LAYOUT = Layout(name=NAME, version=2, reference="unknown", objection=objection, read=read)
