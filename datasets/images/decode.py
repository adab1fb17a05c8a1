"""Images from disk: decoded, composited, undistorted and resampled, or refused in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.scene import SceneError
from bench.task import Camera
from datasets.images.lens import Distortion, pinhole_for, undistort
from datasets.images.resample import area_average, fitted

if TYPE_CHECKING:
    import PIL.Image

_EIGHT_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


@dataclass(frozen=True, kw_only=True)
class Darkroom:
    """How every image of a scene is developed: from the camera that took it to the one that is shown."""

    taken: Camera
    distortion: Distortion | None
    background: tuple[float, float, float] | None  # behind transparent pixels; None: there are none
    shown: Camera  # a pinhole at the size shown

    def develop(self, path: Path, frame: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """(H, W, 3) sRGB on the background, and coverage (H, W) or None. Raises SceneError.

        Colours are weighted by their alpha before they are averaged: what is behind a transparent pixel's edge
        must not bleed into it. Averages are of displayed values (sRGB), as NeRF-Synthetic's own are.
        """
        image = _decoded(path, frame, alpha=self.background is not None)
        height, width = image.shape[:2]
        if (width, height) != (self.taken.width, self.taken.height):
            raise SceneError(
                f"{frame}: {path} is {width}x{height} px, but the scene's first image is "
                f"{self.taken.width}x{self.taken.height} px; all images of a scene must share one size"
            )
        if self.background is not None:
            image[..., :3] *= image[..., 3:] / 255
        image = self._resampled(image)
        if self.background is None:
            return _quantised(image), None
        behind = (255 - image[..., 3:]) * np.array(self.background, dtype=np.float32)
        return _quantised(image[..., :3] + behind), _quantised(image[..., 3])

    def _resampled(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Undistortion works at up to twice the size shown: sharp enough, and cheap for a photograph of 12 MP."""
        if self.distortion is not None:
            width, height = min(2 * self.shown.width, self.taken.width), min(2 * self.shown.height, self.taken.height)
            lens, pinhole = self.taken.resized(width, height), self.shown.resized(width, height)
            image = undistort(area_average(image, width, height), pinhole, lens, self.distortion)
        return area_average(image, self.shown.width, self.shown.height)


def darkroom(
    taken: Camera, distortion: Distortion | None, background: tuple[float, float, float] | None, side: int
) -> Darkroom:
    """For images shown with their longest side at most `side` pixels; never enlarged."""
    pinhole = taken if distortion is None else pinhole_for(taken, distortion)
    shown = pinhole.resized(*fitted(taken.width, taken.height, side))
    return Darkroom(taken=taken, distortion=distortion, background=background, shown=shown)


def image_size(path: Path, frame: str) -> tuple[int, int]:
    """Width and height, from the file's header alone. Raises SceneError."""
    return _opened(path, frame).size


def has_alpha(path: Path, frame: str) -> bool:
    """Whether the image can be transparent, from the file's header alone. Raises SceneError."""
    image = _opened(path, frame)
    return "A" in image.getbands() or "transparency" in image.info


def _opened(path: Path, frame: str) -> PIL.Image.Image:
    import PIL.Image

    try:
        with PIL.Image.open(path) as image:
            return image
    except (OSError, SyntaxError, ValueError) as error:
        raise SceneError(f"{frame}: {path} is not an image that can be read; fetch or export it again") from error


def _decoded(path: Path, frame: str, *, alpha: bool) -> NDArray[np.float32]:
    """(H, W, 3) or, with alpha, (H, W, 4) in [0, 255]."""
    import PIL.Image

    try:
        with PIL.Image.open(path) as image:
            if image.mode not in _EIGHT_BIT:
                raise SceneError(f"{frame}: {path} has pixels of kind {image.mode}; save it with 8 bits a channel")
            return np.array(image.convert("RGBA" if alpha else "RGB"), dtype=np.float32)
    except (OSError, SyntaxError, ValueError) as error:
        raise SceneError(f"{frame}: {path} is broken ({error}); fetch or export it again") from error


def _quantised(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.round(np.clip(values, 0, 255)).astype(np.uint8)
