"""What is behind the object: a plain colour found from the borders of the images (a black turntable, a white sweep, a
green screen), or a real background."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from datasets import cache
from datasets.images.decode import darkroom
from datasets.loaders.recording import Recording

Colour = tuple[float, float, float]
"""sRGB in [0, 1]."""

SIDE = 128  # px, longest side of the images looked at
LOOKED_AT = 24  # training views, evenly chosen
EDGE = 0.02  # of the longest side: the width of the border
TOLERANCE = 16.0
"""Of 255, in every channel: a backdrop's shading, its dust and the noise of a dark image, and no more."""

PLAIN_FROM = 0.7
"""Confidence from which a background is plain. Measured: 0.82 and 0.80 on Middlebury's rings, whose table is seen; 0.06
on fern, 0.00 on fox and DTU's scan24."""

NEARLY_FROM = 0.4
"""Confidence from which a background that is taken for a real one is said to have nearly been plain."""

EACH_SIDE_FROM = 0.4
"""Of each side of the border by itself: under a plain sky, however much of the image it fills, lies another ground. A
table that the object stands on leaves 0.59 of its side on Middlebury's templeRing."""

FRAMED_BELOW = 0.25
"""What is left of the border where bars, or a black surround, are cut off: a picture within a frame has less than this
of their colour, an object before a backdrop, whose outline is no rectangle and no circle, has more."""

BUSY_FROM = 0.1
"""Of what the busiest row is not plain: rows (and columns) with less, a clock in a bar or dust, are of the frame."""

CIRCLE_FROM = 0.7
"""Of the shorter side: the diameter from which a circle is a fisheye lens's image, and not a ball."""

NAMED: dict[str, Colour] = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0)}


@dataclass(frozen=True, kw_only=True)
class Backdrop:
    """The colour that the borders of images agree on, and how far they do."""

    colour: Colour
    confidence: float  # the share of the border that is of this colour, in nine of ten views at least

    @property
    def plain(self) -> bool:
        return self.confidence >= PLAIN_FROM

    @property
    def note(self) -> str | None:
        """For a person; None where nothing hints at a plain background."""
        red, green, blue = (round(255 * channel) for channel in self.colour)
        agreed = f"{self.confidence:.0%} of the images' borders are ({red}, {green}, {blue})"
        if self.plain:
            return (
                f'background: plain, for {agreed} ({PLAIN_FROM:.0%} is enough); `background = "real"` in its '
                "unposed.toml, or --background real, says that it is not"
            )
        if self.confidence >= NEARLY_FROM:
            named = ", ".join(f"{channel:.3g}" for channel in self.colour)
            return (
                f"background: taken for a real one, though {agreed} ({PLAIN_FROM:.0%} would be enough); "
                f"`background = [{named}]` in its unposed.toml says that it is plain"
            )
        return None


def backdrop_of(images: Sequence[NDArray[Any]] | NDArray[Any]) -> Backdrop:
    """Of images (H, W, 3) of one size, in [0, 255]."""
    stacked = np.asarray(images, dtype=np.float32)  # (N, H, W, 3)
    border = _border(stacked)
    colour = np.median(border.reshape(-1, 3), axis=0)
    plain = np.abs(stacked - colour).max(axis=-1) <= TOLERANCE  # (N, H, W)
    agreeing = border[_border(plain)]
    colour = np.median(agreeing, axis=0) if len(agreeing) else colour
    red, green, blue = (colour / 255).round(4).tolist()
    share, side = _usual(_border(plain)), min(_usual(each) for each in _sides(plain))
    bounds = [share] + ([side] if side < EACH_SIDE_FROM else [])
    bounds += [left for left in _within_frames(plain) if left < FRAMED_BELOW]
    return Backdrop(colour=(red, green, blue), confidence=min(bounds))


def _usual(plain: NDArray[np.bool_]) -> float:
    """The plain share in nine of ten views (N, ...) at least."""
    return float(np.percentile(plain.reshape(len(plain), -1).mean(axis=1), 10))


def _border(stack: NDArray[Any]) -> NDArray[Any]:
    """The border's pixels of a stack (N, H, W, ...): (N, B, ...)."""
    height, width = stack.shape[1:3]
    edge = _edge(height, width)
    inside = np.zeros((height, width), bool)
    inside[edge : height - edge, edge : width - edge] = True
    return stack[:, ~inside]


def _edge(height: int, width: int) -> int:
    return max(1, round(EDGE * max(height, width)))


def _sides(stack: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Upper, lower, left and right side of the border."""
    edge = _edge(*stack.shape[1:3])
    return stack[:, :edge], stack[:, -edge:], stack[:, :, :edge], stack[:, :, -edge:]


def _within_frames(plain: NDArray[np.bool_]) -> tuple[float, float]:
    """The plain share along the inside of the smallest rectangle that holds what is not plain, and of the smallest
    circle about its middle (1 where that is small): where bars or a lens frame a picture, of the picture's own border.
    """
    _, height, width = plain.shape
    busy = 1 - plain.mean(axis=0)  # (H, W), the share of views
    if not busy.any():
        return 0.0, 0.0  # images of one colour show no object
    (top, bottom), (left, right) = _extent(busy.mean(axis=1)), _extent(busy.mean(axis=0))
    rectangle = float(_border(plain[:, top : bottom + 1, left : right + 1]).mean())
    v, u = np.mgrid[:height, :width]
    distance = np.hypot(v - (top + bottom) / 2, u - (left + right) / 2)
    order = np.argsort(distance, axis=None)
    held = np.cumsum(busy.ravel()[order])
    radius = distance.ravel()[order][np.searchsorted(held, 0.99 * held[-1])]  # the rest is dust
    if 2 * radius < CIRCLE_FROM * min(height, width):
        return rectangle, 1.0
    rim = (distance <= radius) & (distance > radius - 2 * _edge(height, width))
    return rectangle, float(plain[:, rim].mean())


def _extent(busy: NDArray[np.float64]) -> tuple[int, int]:
    """First and last row, or column, that is of the picture."""
    of_picture = np.flatnonzero(busy >= BUSY_FROM * busy.max())
    return int(of_picture[0]), int(of_picture[-1])


def look(recording: Recording) -> Backdrop:
    """Of a scene's training views, looked at small, as they are shown: undistorted. Raises SceneError."""
    frames = [frame for frame in recording.frames if not frame.heldout]
    chosen = np.linspace(0, len(frames) - 1, min(LOOKED_AT, len(frames))).round().astype(int)
    others = [frame.optics for frame in recording.frames if frame.optics is not None]
    room = darkroom(recording.optics, None, SIDE, upright=recording.upright, others=others)
    taken = (frames[k] for k in chosen)
    return backdrop_of([room.develop(f.image, f.name, f.optics, turn=f.turn)[0] for f in taken])


def remembered(name: str, found: Callable[[], Backdrop]) -> Backdrop:
    """What was found, kept in the cache folder: images are decoded for it once."""

    def made() -> cache.Arrays:
        backdrop = found()
        return {"colour": np.array(backdrop.colour), "confidence": np.array(backdrop.confidence)}

    kept = cache.kept(name, {"colour": (3,), "confidence": ()}, made)
    red, green, blue = kept["colour"].tolist()
    return Backdrop(colour=(red, green, blue), confidence=float(kept["confidence"]))


def spoken(text: str) -> Colour | Literal["real"]:
    """`white`, `black`, `green`, `real`, or `R,G,B` from 0 to 1 -> what a card says. Raises ValueError."""
    if text == "real":
        return "real"
    if text in NAMED:
        return NAMED[text]
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        red = green = blue = -1.0
    if not all(0 <= channel <= 1 for channel in (red, green, blue)):
        raise ValueError(f"--background {text!r}: say {', '.join(NAMED)}, real, or R,G,B as shares from 0 to 1")
    return red, green, blue
