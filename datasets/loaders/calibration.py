"""Intrinsics in a text file of their own, beside poses that come without: `fx fy cx cy [k1 k2 p1 p2 [k3]]`, or K."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.scene import SceneError
from bench.task import Camera
from datasets.images.decode import image_size
from datasets.images.lens import Distortion, Optics
from datasets.loaders.intrinsics import guessed

FILES = ("calib.txt", "calibration.txt", "camera.txt", "intrinsics.txt", "K.txt")
_TERMS = ("k1", "k2", "p1", "p2", "k3")


def calibration(folder: Path, image: Path) -> tuple[Optics, tuple[Path, ...], bool]:
    """The optics of the images of a folder, of which `image` is one, the file that says them, and whether one does.

    Else they are a guess. Raises SceneError.
    """
    size = image_size(image, image.name)
    file = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if file is None:
        return guessed(*size), (), False
    try:
        text = file.read_text(encoding="utf-8-sig")
        lines = [line.split("#")[0].replace(",", " ").split() for line in text.splitlines()]
        numbers = np.array([word for line in lines for word in line], dtype=np.float64)
    except (OSError, ValueError) as error:
        raise SceneError(f"{file}: must hold numbers alone: fx fy cx cy k1 k2 p1 p2 k3, or K") from error
    fx, fy, cx, cy, *bent = _values(numbers, file).tolist()
    if not np.isfinite(numbers).all() or min(fx, fy) <= 0 or not (0 < cx < size[0] and 0 < cy < size[1]):
        raise SceneError(f"{file}: is no camera of images of {size[0]}x{size[1]} px")
    bend = Distortion(**dict(zip(_TERMS, bent, strict=False))) if any(bent) else None
    return Optics(camera=Camera(width=size[0], height=size[1], fx=fx, fy=fy, cx=cx, cy=cy), bend=bend), (file,), True


def _values(numbers: np.ndarray, file: Path) -> np.ndarray:
    """fx, fy, cx, cy and what bends, of a row of them or of a matrix K with rows of three or four."""
    for shape in ((3, 3), (3, 4), (4, 4)):
        if numbers.size == shape[0] * shape[1]:
            K = numbers.reshape(shape)
            if K[0, 1] == K[1, 0] == K[2, 0] == K[2, 1] == 0 and K[2, 2] == 1:
                return np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2]])
    if not 4 <= numbers.size <= 4 + len(_TERMS):
        raise SceneError(f"{file}: must hold fx fy cx cy k1 k2 p1 p2 k3, or K, and holds {numbers.size} numbers")
    return numbers
