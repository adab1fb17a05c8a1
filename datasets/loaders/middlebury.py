"""The layout of Middlebury's multi-view stereo sets (Seitz et al. 2006): *_par.txt, one line an image."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.scene import SceneError
from bench.task import Camera, Pose
from datasets.epipolar import FITS, error_px
from datasets.images.decode import decoded, image_size
from datasets.images.lens import Optics
from datasets.loaders.image_files import find_image
from datasets.loaders.recording import Frame, Layout, Recording, rigid
from datasets.matches import match

Array = NDArray[np.float64]

NAME = "middlebury"
HELDOUT_EVERY = 8  # no split is published
_TRIED = 4  # images, to find out which way they were turned


def objection(folder: Path) -> str | None:
    """Why this folder is not of this layout; None where it is."""
    match len(list(folder.glob("*_par.txt"))):
        case 0:
            return "no *_par.txt"
        case 1:
            return None
        case _:
            return "more than one *_par.txt"


def read(folder: Path) -> Recording:
    """Images in the order of the file's lines; the first of every 8 is held out. Raises SceneError.

    Photographs from a place where one was taken before are left out: the gantry comes round to where it began, and a
    held-out camera must not be shown.
    """
    (path,) = folder.glob("*_par.txt")
    views = _views(path)
    first, K, *_ = views[0]
    frames: list[Frame] = []
    poses: list[Pose] = []
    for name, own, R, t in views:
        if (own != K).any():
            raise SceneError(
                f"{path}: {name} has another K than {first}; all images of a scene must come from one camera: "
                "split it into one folder a camera"
            )
        pose = rigid(np.column_stack([R.T, -R.T @ t]), name, path)
        if not any(np.abs(pose - other).max() < 1e-6 for other in poses):
            poses.append(pose)
            frames.append(Frame(name=name, image=find_image(folder, name, name, NAME), pose=pose, heldout=False))
    size = image_size(frames[0].image, first)
    lying = size[1], size[0]
    notes: tuple[str, ...] = ()
    if _off_middle(K, size) > 2 * _off_middle(K, lying):
        frames, size = _turned_back(frames, np.stack(poses), _camera(K, lying, path), path), lying
        notes = (f"images lie turned by a quarter against their calibration, for {size[0]}x{size[1]} px: turned back",)
    recording = Recording(
        folder=folder, frames=tuple(frames), optics=Optics(camera=_camera(K, size, path)), files=(path,), notes=notes
    )
    return recording.split_every(HELDOUT_EVERY)


def _off_middle(K: Array, size: tuple[int, int]) -> float:
    """How far the principal point is from the middle of an image of this size, in shares of it."""
    return float(np.hypot(K[0, 2] / size[0] - 0.5, K[1, 2] / size[1] - 0.5))


def _turned_back(frames: list[Frame], poses: Pose, camera: Camera, path: Path) -> list[Frame]:
    """Frames with their turns. The gantry rolls the camera either way: images that were stood upright were turned one
    way by one half of it and the other way by the other, and each half is asked. Raises SceneError."""
    along = np.einsum("ni,i->n", poses[:, :3, 0], poses[0, :3, 0]) > 0
    turns: dict[bool, int] = {}
    for side in (True, False):
        kept = np.flatnonzero(along == side)
        if len(kept) > 1:
            turns[side] = _quarter_turn([frames[k] for k in kept[:_TRIED]], poses[kept[:_TRIED]], camera, path)
        elif len(kept):  # one alone has no match: as the others, which are asked first, say of upright images
            turns[side] = 4 - turns.get(not side, 3)
    return [replace(frame, turn=turns[bool(side)]) for frame, side in zip(frames, along, strict=True)]


def _quarter_turn(few: list[Frame], poses: Pose, camera: Camera, path: Path) -> int:
    """Which way images were turned that were stood upright after their calibration: 1 or 3 quarter turns, whichever
    puts matches between them on their epipolar lines. Raises SceneError where neither does."""
    images = [decoded(frame.image, frame.name, "RGB", upright=False).astype(np.uint8) for frame in few]
    pairs = list(combinations(range(len(few)), 2))
    matches = match(images, pairs)
    errors = {}
    for turn, (width, height) in ((1, images[0].shape[1::-1]), (3, images[0].shape[1::-1])):
        u, v = (lambda at: at[:, 0::2], lambda at: at[:, 1::2])
        moved = [
            np.stack([v(at), width - u(at)] if turn == 1 else [height - v(at), u(at)], axis=-1).reshape(-1, 4)
            for at in matches
        ]
        found = [item for item in zip(pairs, moved, strict=True) if len(item[1])]
        errors[turn] = error_px(poses, camera, found) if found else np.inf
    turn = min(errors, key=lambda each: errors[each])
    if not errors[turn] < FITS:
        raise SceneError(
            f"{path}: is for images of {camera.width}x{camera.height} px, but {few[0].name} is "
            f"{camera.height}x{camera.width} px; turn the images back as they were taken"
        )
    return turn


def _views(path: Path) -> list[tuple[str, Array, Array, Array]]:
    """Name, K (3, 3), and R (3, 3) and t (3,) of camera_from_world, of each image."""
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise SceneError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise SceneError(f"{path}: is not UTF-8 text") from error
    if len(lines) < 2 or lines[0] != [str(len(lines) - 1)]:
        raise SceneError(f"{path}: must begin with the number of images, and then have one line for each")
    views = []
    for name, *words in lines[1:]:
        try:
            numbers = np.array(words, dtype=np.float64)
        except ValueError:
            numbers = np.empty(0)
        if numbers.shape != (21,) or not np.isfinite(numbers).all():
            raise SceneError(f"{path}: {name} must be followed by 21 finite numbers: K, R and t")
        views.append((name, numbers[:9].reshape(3, 3), numbers[9:18].reshape(3, 3), numbers[18:]))
    return views


def _camera(K: Array, size: tuple[int, int], path: Path) -> Camera:
    (fx, _, cx), (_, fy, cy), _ = K.tolist()
    if min(fx, fy) <= 0 or not np.array_equal(K, [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]):
        raise SceneError(f"{path}: K must be fx 0 cx, 0 fy cy, 0 0 1 with positive focal lengths, and is {K.tolist()}")
    return Camera(width=size[0], height=size[1], fx=fx, fy=fy, cx=cx, cy=cy)


LAYOUT = Layout(name=NAME, version=2, reference="measured", objection=objection, read=read)
