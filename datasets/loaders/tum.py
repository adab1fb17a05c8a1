"""Images with a trajectory in TUM's text (Sturm et al. 2012): `groundtruth.txt` or one `*.tum`, and `rgb.txt`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.scene import SceneError
from bench.task import Pose
from datasets.loaders.calibration import calibration
from datasets.loaders.image_files import find_image
from datasets.loaders.photographs import photographs_in
from datasets.loaders.recording import Frame, Layout, Recording

if TYPE_CHECKING:
    Array = NDArray[np.float64]

NAME = "tum"
HELDOUT_EVERY = 8
TRUTH, LIST = "groundtruth.txt", "rgb.txt"
APART = 0.02  # s between an image and the nearest pose, at most, as in TUM's `associate.py`
COLUMNS = "t x y z qx qy qz qw"


def objection(folder: Path) -> str | None:
    """Why this folder is not of this layout; None where it is."""
    if _trajectory(folder) is None:
        return f"no {TRUTH} or single *.tum"
    return None if (folder / LIST).is_file() or photographs_in(folder) else "a trajectory is there, but no images"


def _trajectory(folder: Path) -> Path | None:
    if (folder / TRUTH).is_file():
        return folder / TRUTH
    (path, *others) = [*sorted(folder.glob("*.tum")), None]
    return path if others == [None] else None


def read(folder: Path) -> Recording:
    """Images in the order of their times, the first of every 8 held out. Raises SceneError.

    A time is what `rgb.txt` says, else the number in an image's name. Poses are world_from_camera in OpenCV axes,
    interpolated at the images' times between neighbours of which one is within 0.02 s. Intrinsics are those of
    `calib.txt`, or the card's.
    """
    path = _trajectory(folder)
    if path is None:
        raise SceneError(f"{folder}: {objection(folder)}")
    rows = _rows(path)
    images = sorted(_listed(folder) if (folder / LIST).is_file() else _named(folder))
    times = np.array([time for time, _ in images])
    near = np.abs(times[:, None] - rows[None, :, 0]).min(axis=1) <= APART
    if not near.any():
        raise SceneError(
            f"{path}: no pose is within {APART} s of an image; images are from {times.min():.6f} to {times.max():.6f}, "
            f"poses from {rows[:, 0].min():.6f} to {rows[:, 0].max():.6f}"
        )
    poses = _at(rows, times[near])
    frames = tuple(
        Frame(name=f"{image.name} ({time:.6f})", image=image, pose=pose, heldout=False)
        for (time, image), pose in zip(
            [each for each, has in zip(images, near, strict=True) if has], poses, strict=True
        )
    )
    without = int((~near).sum())
    notes = (f"{without} of {len(images)} images have no pose within {APART} s and are left out",) if without else ()
    optics, files, calibrated = calibration(folder, frames[0].image)
    listed = (folder / LIST,) if (folder / LIST).is_file() else ()
    recording = Recording(
        folder=folder, frames=frames, optics=optics, files=(path, *listed, *files), notes=notes, calibrated=calibrated,
        reference="measured" if path.name == TRUTH else "unknown",
    )  # fmt: skip
    return recording.split_every(HELDOUT_EVERY)


def _rows(path: Path) -> Array:
    """(N, 8) numbers, in the order of their times, no two alike. Raises SceneError."""
    rows = []
    for k, line in _lines(path):
        words = line.replace(",", " ").split()
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = []
        if len(row) != 8 or not np.isfinite(row).all() or not abs(np.linalg.norm(row[4:]) - 1) < 1e-2:
            raise SceneError(f"{path}: line {k} is not `{COLUMNS}`, eight finite numbers with a quaternion of length 1")
        rows.append(row)
    if not rows:
        raise SceneError(f"{path}: holds no poses")
    ordered = np.array(sorted(rows))
    return ordered[np.append(True, np.diff(ordered[:, 0]) > 0)]


def _lines(path: Path) -> list[tuple[int, str]]:
    """Numbered from 1, without comments and blanks. Raises SceneError."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SceneError(f"{path}: cannot be read as text") from error
    return [(k, line) for k, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")]


def _listed(folder: Path) -> list[tuple[float, Path]]:
    """Times and images of `rgb.txt`. Raises SceneError."""
    found = []
    for k, line in _lines(folder / LIST):
        time, _, name = line.strip().partition(" ")
        if not _is_time(time) or not name.strip():
            raise SceneError(f"{folder / LIST}: line {k} is not a time and the name of an image")
        found.append((float(time), find_image(folder, name.strip(), f"line {k} of {LIST}", NAME)))
    return found


def _named(folder: Path) -> list[tuple[float, Path]]:
    """By the time, or the number, that each image is called: 1305031102.175304.png, v012.png."""
    images = photographs_in(folder)
    times = [image.stem if _is_time(image.stem) else (re.findall(r"\d+", image.stem) or [""])[-1] for image in images]
    if not all(map(_is_time, times)):
        without = images[[_is_time(time) for time in times].index(False)]
        raise SceneError(f"{folder}: {without.name} has no time in its name; list times and images in {LIST}")
    return [(float(time), image) for time, image in zip(times, images, strict=True)]


def _is_time(word: str) -> bool:
    return re.fullmatch(r"\d{1,20}(\.\d*)?", word) is not None


def _at(rows: Array, times: Array) -> Pose:
    """Poses (M, 4, 4) at `times` (M,), between those of `rows` before and after."""
    from scipy.spatial.transform import Rotation, Slerp  # 0.1 s to import: not needed to list scenes

    inside = np.clip(times, rows[0, 0], rows[-1, 0])
    poses = np.tile(np.eye(4), (len(times), 1, 1))
    poses[:, :3, 3] = np.stack([np.interp(inside, rows[:, 0], rows[:, k]) for k in (1, 2, 3)], axis=1)
    rotations = Rotation.from_quat(rows[:, 4:])
    poses[:, :3, :3] = (Slerp(rows[:, 0], rotations)(inside) if len(rows) > 1 else rotations).as_matrix()
    return poses


LAYOUT = Layout(name=NAME, version=1, reference="unknown", objection=objection, read=read)
