"""What is behind the object: a plain colour found from the borders of the images (a black turntable, a white sweep, a
green screen), or a real background."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from datasets import cache
from datasets.images.decode import decoded
from datasets.images.resample import area_average, fitted
from datasets.loaders.recording import Recording

Colour = tuple[float, float, float]
"""sRGB in [0, 1]."""

SIDE = 128  # px, longest side of the images looked at
LOOKED_AT = 24  # training views, evenly chosen
EDGE = 0.02  # of the longest side: the width of the border
TOLERANCE = 16.0
"""Of 255, in every channel: a backdrop's shading, its dust and the noise of a dark image, and no more."""

PLAIN_FROM = 0.7
"""Confidence from which a background is plain. A sky, a floor or a letterbox takes one or two sides of an image and
parts of others, up to two thirds of its border. Measured: 0.81 on Middlebury's rings, whose table is seen; 0.11, 0.02
and 0.00 on fern, fox and DTU's scan24."""

NEARLY_FROM = 0.4
"""Confidence from which a background that is taken for a real one is said to have nearly been plain."""

FRAMED_BELOW = 0.25
"""What is left of the border where bars are cut off: a picture within a frame has less than this of their colour, an
object before a backdrop, whose outline is no rectangle, has more."""

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
    share, framed = float(np.percentile(_border(plain).mean(axis=1), 10)), _framed(plain)
    return Backdrop(colour=(red, green, blue), confidence=share if framed >= FRAMED_BELOW else min(share, framed))


def _border(stack: NDArray[Any]) -> NDArray[Any]:
    """The border's pixels of a stack (N, H, W, ...): (N, B, ...)."""
    height, width = stack.shape[1:3]
    edge = max(1, round(EDGE * max(height, width)))
    inside = np.zeros((height, width), bool)
    inside[edge : height - edge, edge : width - edge] = True
    return stack[:, ~inside]


def _framed(plain: NDArray[np.bool_]) -> float:
    """The plain share of the border of the smallest rectangle that holds all that is not plain in some view: where bars
    frame a picture, of the picture's own border."""
    rows, columns = np.flatnonzero(~plain.all(axis=(0, 2))), np.flatnonzero(~plain.all(axis=(0, 1)))
    if not len(rows) or not len(columns):
        return 0.0  # images of one colour show no object
    return float(_border(plain[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]).mean())


def look(recording: Recording) -> Backdrop:
    """Of a scene's training views, looked at small. Raises SceneError."""
    frames = [frame for frame in recording.frames if not frame.heldout]
    chosen = np.linspace(0, len(frames) - 1, min(LOOKED_AT, len(frames))).round().astype(int)
    images, size = [], None
    for frame in (frames[k] for k in chosen):
        image = decoded(frame.image, frame.name, "RGB", upright=recording.upright, least=SIDE)
        size = size or fitted(image.shape[1], image.shape[0], SIDE)
        if image.shape[1] < size[0] or image.shape[0] < size[1]:
            continue  # of another shape: whoever develops the images says so
        images.append(area_average(image, *size))
    return backdrop_of(images)


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
